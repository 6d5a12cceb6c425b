//! Samples fewer frames when the chip is hot or the CPU is overloaded, and more again when there is headroom.
//!
//! The governor takes measurements and returns the factor by which the stride is stretched; it reads no sensor and no
//! clock. It slows down at once. It speeds up one step at a time, each after `stable_s` of stable conditions, and
//! doubles the wait each time that speeding up soon had to be undone, so that the rate does not oscillate.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::measure::THERMAL_FOLDER;
use crate::error::{Error, Result};
use crate::units::check_range;

/// The factors by which the stride can be stretched.
const FACTORS: [f64; 11] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0];

/// If the temperature exceeds `hot_c` by this much, the largest factor is used at once. Degrees Celsius.
const EMERGENCY_MARGIN_C: f64 = 8.0;

/// The longest wait before speeding up, as a multiple of `stable_s`.
const MAX_WAIT_FACTOR: f64 = 16.0;

/// When the sampling rate is lowered: the `[governor]` section of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GovernorSpec {
    /// Whether the stride may be stretched.
    pub enabled: bool,
    /// The temperature from which fewer frames are sampled, degrees Celsius, 20..=150.
    pub hot_c: f64,
    /// The temperature below which more frames are sampled again, degrees Celsius, 0..=150 and below `hot_c`.
    pub cool_c: f64,
    /// The load above which fewer frames are sampled, 0.1..=1. A load of 1 means that the work of a step takes the
    /// whole stride.
    pub max_load: f64,
    /// The rate is raised only if the load would stay below this, 0.05..=1 and below `max_load`.
    pub resume_load: f64,
    /// The largest factor by which the stride is stretched, 1..=64.
    pub max_stretch: f64,
    /// Seconds between two measurements, 0.1..=3600.
    pub interval_s: f64,
    /// Seconds of low temperature and load before the rate is raised, 0..=86400.
    pub stable_s: f64,
    /// The folder of the kernel's thermal zones.
    pub thermal: PathBuf,
}

impl Default for GovernorSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            hot_c: 78.0,
            cool_c: 70.0,
            max_load: 0.9,
            resume_load: 0.7,
            max_stretch: 8.0,
            interval_s: 5.0,
            stable_s: 30.0,
            thermal: THERMAL_FOLDER.into(),
        }
    }
}

impl GovernorSpec {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key.
    pub fn check(&self) -> Result<()> {
        check_range("hot_c", self.hot_c, 20.0..=150.0, "degrees Celsius")?;
        check_range("cool_c", self.cool_c, 0.0..=150.0, "degrees Celsius")?;
        check_range("max_load", self.max_load, 0.1..=1.0, "a share")?;
        check_range("resume_load", self.resume_load, 0.05..=1.0, "a share")?;
        check_range("max_stretch", self.max_stretch, 1.0..=64.0, "a factor")?;
        check_range("interval_s", self.interval_s, 0.1..=3600.0, "seconds")?;
        check_range("stable_s", self.stable_s, 0.0..=86_400.0, "seconds")?;
        if self.cool_c >= self.hot_c {
            let problem = format!("{} is not below hot_c, {}", self.cool_c, self.hot_c);
            return Err(Error::setting("cool_c", problem, "give a temperature below hot_c"));
        }
        if self.resume_load >= self.max_load {
            let problem = format!("{} is not below max_load, {}", self.resume_load, self.max_load);
            return Err(Error::setting("resume_load", problem, "give a share below max_load"));
        }
        Ok(())
    }
}

/// A measurement of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Seconds by a monotonic clock.
    pub at_s: f64,
    /// The chip's temperature, degrees Celsius; `None` if there is no sensor.
    pub temperature_c: Option<f64>,
    /// The time that the work of a step takes, as a share of the current stride; above 1 the work takes longer than the
    /// stride.
    pub load: f64,
}

/// Why the stride was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeReason {
    /// The chip is hot.
    Hot,
    /// The work takes too long.
    Overloaded,
    /// Temperature and load have recovered.
    Headroom,
}

/// A change of the stride.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrideChange {
    /// The factor by which the stride is stretched from now on.
    pub factor: f64,
    /// Why it was changed.
    pub reason: ChangeReason,
}

/// Decides how much the stride is stretched, from one measurement to the next.
#[derive(Clone, Debug)]
pub struct Governor {
    spec: GovernorSpec,
    /// The current index into [`FACTORS`].
    factor: usize,
    /// The largest index that `max_stretch` allows.
    max_factor: usize,
    last_measured: Option<f64>,
    /// Since when temperature and load have allowed a higher rate.
    stable_since: Option<f64>,
    /// When the rate was last raised.
    raised_at: Option<f64>,
    /// How long conditions must be stable before the rate is raised.
    wait_s: f64,
    changes: u64,
}

impl Governor {
    /// Creates a governor at full rate.
    pub fn new(spec: GovernorSpec) -> Self {
        let max_factor = FACTORS.iter().rposition(|factor| *factor <= spec.max_stretch).unwrap_or(0);
        Self {
            factor: 0,
            max_factor,
            last_measured: None,
            stable_since: None,
            raised_at: None,
            wait_s: spec.stable_s,
            changes: 0,
            spec,
        }
    }

    /// Returns the factor by which the stride is stretched now.
    pub fn factor(&self) -> f64 {
        FACTORS[self.factor]
    }

    /// Returns how often the factor was changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns whether it is time for a new measurement.
    pub fn is_due(&self, at_s: f64) -> bool {
        self.spec.enabled && self.last_measured.is_none_or(|last| at_s - last >= self.spec.interval_s)
    }

    /// Takes a measurement, and returns the change of the stride if there is one. Ignores measurements that are not
    /// due.
    pub fn measure(&mut self, measurement: Measurement) -> Option<StrideChange> {
        if !self.is_due(measurement.at_s) {
            return None;
        }
        self.last_measured = Some(measurement.at_s);
        let before = self.factor;
        let reason = match self.reason_to_slow_down(&measurement) {
            Some(reason) => {
                self.slow_down(&measurement, reason);
                reason
            }
            None => {
                self.speed_up(&measurement);
                ChangeReason::Headroom
            }
        };
        if self.factor == before {
            return None;
        }
        self.changes += 1;
        Some(StrideChange { factor: self.factor(), reason })
    }

    fn reason_to_slow_down(&self, measurement: &Measurement) -> Option<ChangeReason> {
        if measurement.temperature_c.is_some_and(|c| c >= self.spec.hot_c) {
            return Some(ChangeReason::Hot);
        }
        (measurement.load > self.spec.max_load).then_some(ChangeReason::Overloaded)
    }

    fn slow_down(&mut self, measurement: &Measurement, reason: ChangeReason) {
        self.stable_since = None;
        // If the rate was raised only recently, that had to be undone: wait longer before the next attempt.
        let recently = 2.0 * self.wait_s + self.spec.interval_s;
        if self.raised_at.take().is_some_and(|raised_at| measurement.at_s - raised_at < recently) {
            self.wait_s = (2.0 * self.wait_s).min(MAX_WAIT_FACTOR * self.spec.stable_s);
        }
        let emergency = measurement.temperature_c.is_some_and(|c| c >= self.spec.hot_c + EMERGENCY_MARGIN_C);
        let wanted = match reason {
            _ if emergency => self.max_factor,
            // Go straight to the first factor at which the work fits.
            ChangeReason::Overloaded => (self.factor + 1..FACTORS.len())
                .find(|&factor| self.load_at(factor, measurement.load) <= self.spec.max_load)
                .unwrap_or(self.max_factor),
            ChangeReason::Hot | ChangeReason::Headroom => self.factor + 1,
        };
        self.factor = wanted.min(self.max_factor);
    }

    fn speed_up(&mut self, measurement: &Measurement) {
        let is_cool = measurement.temperature_c.is_none_or(|c| c < self.spec.cool_c);
        let faster = self.factor.checked_sub(1);
        let fits = faster.is_some_and(|factor| self.load_at(factor, measurement.load) < self.spec.resume_load);
        match faster {
            Some(faster) if is_cool && fits => {
                let since = *self.stable_since.get_or_insert(measurement.at_s);
                if measurement.at_s - since >= self.wait_s {
                    self.factor = faster;
                    self.stable_since = Some(measurement.at_s);
                    self.raised_at = Some(measurement.at_s);
                }
            }
            Some(_) => self.stable_since = None,
            // After a long time at full rate the wait returns to its initial value.
            None if self.raised_at.is_some_and(|raised_at| measurement.at_s - raised_at > 4.0 * self.wait_s) => {
                self.wait_s = self.spec.stable_s;
                self.raised_at = None;
            }
            None => {}
        }
    }

    /// Returns the load of the same work at another factor.
    fn load_at(&self, factor: usize, load: f64) -> f64 {
        load * FACTORS[self.factor] / FACTORS[factor]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> GovernorSpec {
        GovernorSpec { hot_c: 80.0, ..GovernorSpec::default() }
    }

    /// Returns the factor after each measurement, five seconds apart, of a temperature and a load at full rate.
    fn factors(governor: &mut Governor, at_s: &mut f64, measurements: &[(f64, f64)]) -> Vec<f64> {
        let measure = |&(temperature_c, full_load): &(f64, f64)| {
            *at_s += 5.0;
            let load = full_load / governor.factor();
            governor.measure(Measurement { at_s: *at_s, temperature_c: Some(temperature_c), load });
            governor.factor()
        };
        measurements.iter().map(measure).collect()
    }

    #[test]
    fn heat_lowers_the_rate_step_by_step_and_stable_conditions_raise_it() {
        let (mut governor, mut at_s) = (Governor::new(spec()), 0.0);
        assert_eq!(
            factors(&mut governor, &mut at_s, &[(60.0, 0.3), (80.0, 0.3), (81.0, 0.3), (79.0, 0.3)]),
            [1.0, 1.5, 2.0, 2.0]
        );
        // Between cool and hot the factor does not change, however long it lasts.
        assert_eq!(factors(&mut governor, &mut at_s, &[(75.0, 0.3); 50]), [2.0; 50]);
        let raised = factors(&mut governor, &mut at_s, &[(65.0, 0.3); 14]);
        assert_eq!(raised, [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.0, 1.0]);
        assert_eq!(governor.changes(), 4);
    }

    #[test]
    fn an_emergency_temperature_selects_the_largest_factor_at_once() {
        let (mut governor, mut at_s) = (Governor::new(spec()), 0.0);
        assert_eq!(factors(&mut governor, &mut at_s, &[(88.0, 0.1), (99.0, 0.1)]), [8.0, 8.0]);
    }

    #[test]
    fn overload_takes_the_first_factor_at_which_the_work_fits() {
        let (mut governor, mut at_s) = (Governor::new(spec()), 0.0);
        // 2.5 / 3 is the first below 0.9; going back to 2 would be 1.25.
        assert_eq!(factors(&mut governor, &mut at_s, &[(50.0, 2.5); 40]), [3.0; 40]);
        assert_eq!(factors(&mut governor, &mut at_s, &[(50.0, 100.0)]), [8.0], "max_stretch is the limit");
    }

    #[test]
    fn the_rate_does_not_oscillate() {
        let (mut governor, mut at_s, mut raised_at) = (Governor::new(spec()), 0.0, Vec::new());
        // A chip that is hot at full rate and cool at any other.
        for _ in 0..2000 {
            at_s += 5.0;
            let is_hot = governor.factor() < 1.5;
            let temperature_c = Some(if is_hot { 82.0 } else { 60.0 });
            let change = governor.measure(Measurement { at_s, temperature_c, load: 0.2 });
            raised_at.extend(change.filter(|change| change.reason == ChangeReason::Headroom).map(|_| at_s));
        }
        let waits: Vec<f64> = raised_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]), "waits never shrink: {waits:?}");
        assert!(*waits.last().unwrap() >= 480.0, "{waits:?}");
    }

    #[test]
    fn a_machine_without_a_sensor_and_a_disabled_governor() {
        let without_sensor = |load| Measurement { at_s: 0.0, temperature_c: None, load };
        let overloaded = StrideChange { factor: 1.5, reason: ChangeReason::Overloaded };
        assert_eq!(Governor::new(spec()).measure(without_sensor(0.5)), None);
        assert_eq!(Governor::new(spec()).measure(without_sensor(1.2)), Some(overloaded));
        assert_eq!(Governor::new(GovernorSpec { enabled: false, ..spec() }).measure(without_sensor(9.0)), None);
        assert_eq!(Governor::new(GovernorSpec { max_stretch: 1.0, ..spec() }).measure(without_sensor(9.0)), None);
    }

    #[test]
    fn the_default_is_valid_and_values_out_of_range_are_refused_by_name() {
        GovernorSpec::default().check().unwrap();
        for (text, expected) in [
            ("hot_c = 151.0", "hot_c: 151 is out of range"),
            ("cool_c = -1.0", "cool_c: -1 is out of range"),
            ("max_load = 0.05", "max_load: 0.05 is out of range"),
            ("resume_load = nan", "resume_load: NaN is out of range"),
            ("max_stretch = 0.5", "max_stretch: 0.5 is out of range"),
            ("interval_s = 0.0", "interval_s: 0 is out of range"),
            ("stable_s = 1e6", "stable_s: 1000000 is out of range"),
            ("hot_c = 60.0", "cool_c: 70 is not below hot_c, 60"),
            ("resume_load = 0.95", "resume_load: 0.95 is not below max_load, 0.9"),
        ] {
            let problem = toml::from_str::<GovernorSpec>(text).unwrap().check().unwrap_err().to_string();
            assert!(problem.starts_with(expected), "{problem}");
        }
        assert!(toml::from_str::<GovernorSpec>("room = 0.7").is_err());
    }
}
