//! Looks at fewer frames while the chip is hot or the CPU behind, and at more again when there is room.
//!
//! Pure: it is told what was measured and says by how much the stride is to be stretched. Down it goes at once, one step
//! at a time; up only after `calm_s` of calm, and after twice as long each time that going up was soon taken back, so
//! that it does not swing.

/// By how much the stride is stretched, level by level.
const FACTORS: [f64; 11] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0];

/// So much above `hot_c` the slowest level is taken at once.
const MUCH_TOO_HOT_C: f64 = 8.0;

/// Longest patience before going up, as a multiple of `calm_s`.
const MOST_PATIENCE: f64 = 16.0;

/// When fewer frames are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GovernorSpec {
    /// Without it the stride stays.
    pub enabled: bool,
    /// At this temperature fewer frames are looked at, degrees Celsius.
    pub hot_c: f64,
    /// Below this one more again, degrees Celsius.
    pub cool_c: f64,
    /// Fewer, too, where work takes more than this share of the time there is, 0..=1.
    pub behind: f64,
    /// More only where work would then take less than this share.
    pub room: f64,
    /// The stride is stretched by this at most.
    pub slowest: f64,
    /// Seconds between two looks.
    pub every_s: f64,
    /// Seconds that all must be well before more frames are looked at.
    pub calm_s: f64,
}

impl Default for GovernorSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            hot_c: 78.0,
            cool_c: 70.0,
            behind: 0.9,
            room: 0.7,
            slowest: 8.0,
            every_s: 5.0,
            calm_s: 30.0,
        }
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Seconds by a clock that goes forward alone.
    pub at_s: f64,
    /// The chip's temperature, degrees Celsius, where it tells.
    pub temperature_c: Option<f64>,
    /// Time that the work of a step takes over the time there is for it at the present stride; above 1 it cannot be done.
    pub load: f64,
}

/// Why the stride was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The chip is hot.
    Hot,
    /// The work takes too long.
    Behind,
    /// There is room again.
    Room,
}

/// A new stride.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The stride is to be stretched by this.
    pub factor: f64,
    /// Why.
    pub why: Why,
}

/// The state between two measurements.
#[derive(Clone, Debug)]
pub struct Governor {
    spec: GovernorSpec,
    level: usize,
    slowest: usize,
    looked: Option<f64>,
    calm_since: Option<f64>,
    raised: Option<f64>,
    patience_s: f64,
    changes: u64,
}

impl Governor {
    /// At full rate.
    pub fn new(spec: GovernorSpec) -> Self {
        let slowest = FACTORS.iter().rposition(|factor| *factor <= spec.slowest).unwrap_or(0);
        Self {
            spec,
            level: 0,
            slowest,
            looked: None,
            calm_since: None,
            raised: None,
            patience_s: spec.calm_s,
            changes: 0,
        }
    }

    /// By how much the stride is stretched now.
    pub fn factor(&self) -> f64 {
        FACTORS[self.level]
    }

    /// How often it was changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether it is time for a new measurement.
    pub fn is_due(&self, at_s: f64) -> bool {
        self.spec.enabled && self.looked.is_none_or(|looked| at_s - looked >= self.spec.every_s)
    }

    /// Takes a measurement; says if the stride is to change.
    pub fn measure(&mut self, measured: Measured) -> Option<Change> {
        if !self.is_due(measured.at_s) {
            return None;
        }
        self.looked = Some(measured.at_s);
        let before = self.level;
        let why = match self.trouble(&measured) {
            Some(why) => {
                self.slow_down(&measured, why);
                why
            }
            None => {
                self.speed_up(&measured);
                Why::Room
            }
        };
        if self.level == before {
            return None;
        }
        self.changes += 1;
        Some(Change { factor: self.factor(), why })
    }

    fn trouble(&self, measured: &Measured) -> Option<Why> {
        if measured.temperature_c.is_some_and(|c| c >= self.spec.hot_c) {
            return Some(Why::Hot);
        }
        (measured.load > self.spec.behind).then_some(Why::Behind)
    }

    fn slow_down(&mut self, measured: &Measured, why: Why) {
        self.calm_since = None;
        // Going up was a mistake: be slower to try again.
        if self.raised.take().is_some_and(|raised| measured.at_s - raised < 2.0 * self.patience_s + self.spec.every_s) {
            self.patience_s = (2.0 * self.patience_s).min(MOST_PATIENCE * self.spec.calm_s);
        }
        let much = measured.temperature_c.is_some_and(|c| c >= self.spec.hot_c + MUCH_TOO_HOT_C);
        let wanted = match why {
            _ if much => self.slowest,
            // Straight to where the work fits.
            Why::Behind => (self.level + 1..FACTORS.len())
                .find(|&level| self.load_at(level, measured.load) <= self.spec.behind)
                .unwrap_or(self.slowest),
            Why::Hot | Why::Room => self.level + 1,
        };
        self.level = wanted.min(self.slowest);
    }

    fn speed_up(&mut self, measured: &Measured) {
        let cool = measured.temperature_c.is_none_or(|c| c < self.spec.cool_c);
        let faster = self.level.checked_sub(1);
        let room = faster.is_some_and(|level| self.load_at(level, measured.load) < self.spec.room);
        match faster {
            Some(faster) if cool && room => {
                let since = *self.calm_since.get_or_insert(measured.at_s);
                if measured.at_s - since >= self.patience_s {
                    self.level = faster;
                    self.calm_since = Some(measured.at_s);
                    self.raised = Some(measured.at_s);
                }
            }
            Some(_) => self.calm_since = None,
            // At full rate for long: what was before is forgotten.
            None if self.raised.is_some_and(|raised| measured.at_s - raised > 4.0 * self.patience_s) => {
                self.patience_s = self.spec.calm_s;
                self.raised = None;
            }
            None => {}
        }
    }

    /// The load at another level, as the same work is done less or more often.
    fn load_at(&self, level: usize, load: f64) -> f64 {
        load * FACTORS[self.level] / FACTORS[level]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: GovernorSpec = GovernorSpec {
        enabled: true,
        hot_c: 80.0,
        cool_c: 70.0,
        behind: 0.9,
        room: 0.7,
        slowest: 8.0,
        every_s: 5.0,
        calm_s: 30.0,
    };

    /// The factor after each look, five seconds apart; loads are for the full rate.
    fn factors(governor: &mut Governor, at: &mut f64, looks: &[(f64, f64)]) -> Vec<f64> {
        let look = |&(temperature_c, full_load): &(f64, f64)| {
            *at += 5.0;
            let load = full_load / governor.factor();
            governor.measure(Measured { at_s: *at, temperature_c: Some(temperature_c), load });
            governor.factor()
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn heat_slows_step_by_step_and_calm_speeds_up_again() {
        let (mut governor, mut at) = (Governor::new(SPEC), 0.0);
        assert_eq!(
            factors(&mut governor, &mut at, &[(60.0, 0.3), (80.0, 0.3), (81.0, 0.3), (79.0, 0.3)]),
            [1.0, 1.5, 2.0, 2.0]
        );
        // Between cool and hot nothing changes, however long.
        assert_eq!(factors(&mut governor, &mut at, &[(75.0, 0.3); 50]), [2.0; 50]);
        let back = factors(&mut governor, &mut at, &[(65.0, 0.3); 14]);
        assert_eq!(back, [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.0, 1.0]);
        assert_eq!(governor.changes(), 4);
    }

    #[test]
    fn much_too_hot_goes_to_the_slowest_at_once() {
        let (mut governor, mut at) = (Governor::new(SPEC), 0.0);
        assert_eq!(factors(&mut governor, &mut at, &[(88.0, 0.1), (99.0, 0.1)]), [8.0, 8.0]);
    }

    #[test]
    fn work_that_does_not_fit_is_done_as_often_as_it_does() {
        let (mut governor, mut at) = (Governor::new(SPEC), 0.0);
        // 2.5 / 3 is the first below 0.9; going back to 2 would be 1.25.
        assert_eq!(factors(&mut governor, &mut at, &[(50.0, 2.5); 40]), [3.0; 40]);
        assert_eq!(factors(&mut governor, &mut at, &[(50.0, 100.0)]), [8.0], "the slowest is the end");
    }

    #[test]
    fn it_does_not_swing() {
        let (mut governor, mut at, mut changes) = (Governor::new(SPEC), 0.0, Vec::new());
        // A chip that is hot at full rate and cool at any other.
        for _ in 0..2000 {
            at += 5.0;
            let hot = governor.factor() < 1.5;
            let temperature_c = Some(if hot { 82.0 } else { 60.0 });
            let change = governor.measure(Measured { at_s: at, temperature_c, load: 0.2 });
            changes.extend(change.filter(|change| change.why == Why::Room).map(|_| at));
        }
        let waits: Vec<f64> = changes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]), "waits never shrink: {waits:?}");
        assert!(*waits.last().unwrap() >= 480.0, "{waits:?}");
    }

    #[test]
    fn a_chip_that_does_not_tell_and_a_governor_that_is_off() {
        let blind = |load| Measured { at_s: 0.0, temperature_c: None, load };
        assert_eq!(Governor::new(SPEC).measure(blind(0.5)), None);
        assert_eq!(Governor::new(SPEC).measure(blind(1.2)), Some(Change { factor: 1.5, why: Why::Behind }));
        assert_eq!(Governor::new(GovernorSpec { enabled: false, ..SPEC }).measure(blind(9.0)), None);
        let stuck = GovernorSpec { slowest: 1.0, ..SPEC };
        assert_eq!(Governor::new(stuck).measure(blind(9.0)), None);
    }
}
