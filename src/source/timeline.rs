//! Makes stream times out of a source's timestamps, which cameras, recorders and containers get wrong.
//!
//! Timestamps go back, stand still, are missing, or jump by hours for one frame. Stream time never goes back, and it
//! advances as long as frames arrive, because frames are sampled by it. Correct timestamps are not changed, and neither
//! are gaps, which may be real.

use crate::units::{Seconds, ticks_to_seconds};

/// A distance to the previous timestamp above this may be an error. Which one it is shows in the next timestamp.
const MAX_STEP_S: f64 = 10.0;
/// A larger distance counts as usual after one that was a quarter of it: slide shows, time lapses.
const MAX_STEP_GROWTH: i128 = 4;
/// A step back of at most this is jitter, and no new range of timestamps.
const MAX_JITTER_S: f64 = 0.1;
/// The duration of a frame if nothing is known about it, and the longest that is assumed.
const STEP_S: (f64, f64) = (0.04, 1.0);
/// This many frames in a row without a new timestamp are reported.
const REPORTED_REPEATS: u64 = 3;

/// Computes stream times frame by frame, in ticks of the source.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    /// Seconds per tick, as a fraction.
    tick: (u32, u32),
    max_step: i128,
    max_jitter: i128,
    longest_duration: i128,
    /// Expected duration of a frame, at least 1.
    duration: i128,
    /// What is added to a timestamp.
    offset: i128,
    /// The highest timestamp of the current range.
    stamp: Option<i128>,
    /// The stream time of the newest frame.
    time: i128,
    /// The newest timestamp if it is far from `stamp`: a single error, or the start of another range.
    suspect: Option<i128>,
    frames: u64,
    /// Frames in a row without a new timestamp.
    repeats: u64,
    faults: Faults,
}

/// How often timestamps were corrected.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// The timestamps went back and stayed there.
    restarts: u64,
    /// Single frames with a timestamp far from those around it.
    outliers: u64,
    /// Runs of frames without a new timestamp.
    stops: u64,
    /// Time and number of the first frame with a fault.
    first: Option<(i128, u64)>,
}

impl Timeline {
    /// Creates a timeline for timestamps in units of `tick` seconds, a fraction. `duration` is the nominal duration of
    /// a frame in ticks.
    pub(super) fn new(tick: (u32, u32), duration: Option<i64>) -> Self {
        let tick = (tick.0.max(1), tick.1.max(1));
        let ticks = |seconds: f64| ((seconds * f64::from(tick.1) / f64::from(tick.0)) as i128).max(1);
        let longest_duration = ticks(STEP_S.1);
        let duration = duration.map_or_else(|| ticks(STEP_S.0), i128::from).clamp(1, longest_duration);
        let (max_step, max_jitter) = (ticks(MAX_STEP_S), ticks(MAX_JITTER_S));
        let (offset, time, frames, repeats, faults) = (0, 0, 0, 0, Faults::default());
        let (stamp, suspect) = (None, None);
        Self {
            tick,
            max_step,
            max_jitter,
            longest_duration,
            duration,
            offset,
            stamp,
            time,
            suspect,
            frames,
            repeats,
            faults,
        }
    }

    /// Returns the stream time in ticks of the next frame, whose timestamp is `stamp` if it has one. `following` is the
    /// timestamp of the frame after it if that is known, or its own if it is the last frame. The first frame has time 0.
    pub(super) fn next_ticks(&mut self, stamp: Option<i64>, following: Option<i64>) -> i64 {
        if self.frames > 0 {
            self.advance(stamp.map(i128::from), following.map(i128::from));
        } else {
            self.stamp = stamp.map(i128::from);
            self.offset = -self.stamp.unwrap_or(0);
        }
        self.frames += 1;
        i64::try_from(self.time).unwrap_or(i64::MAX)
    }

    /// Returns a timeline before its first frame, for the same ticks and duration of a frame.
    pub(super) fn restarted(&self) -> Self {
        Self::new(self.tick, i64::try_from(self.duration).ok())
    }

    /// As [`Self::next_ticks`], in seconds.
    pub(super) fn next(&mut self, stamp: Option<i64>, following: Option<i64>) -> Seconds {
        let ticks = self.next_ticks(stamp, following);
        ticks_to_seconds(i128::from(ticks) * i128::from(self.tick.0), self.tick.1)
    }

    /// Whether there was a frame.
    pub(super) fn has_begun(&self) -> bool {
        self.frames > 0
    }

    /// Describes what was corrected, in one sentence.
    pub(super) fn warning(&self) -> Option<String> {
        let Faults { restarts, outliers, stops, first } = self.faults;
        let (time, frame) = first?;
        let count = |count: u64, what: &str| match count {
            0 => None,
            1 => Some(format!("{what} once")),
            n => Some(format!("{what} {n} times")),
        };
        let parts = [
            count(restarts, "go back"),
            count(outliers, "are far off for a single frame"),
            count(stops, "stand still or are missing"),
        ];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let seconds = ticks_to_seconds(time.saturating_mul(self.tick.0.into()), self.tick.1);
        Some(format!("its timestamps {parts}, first at frame {frame} ({seconds:.2} s); time continues without them"))
    }

    fn advance(&mut self, stamp: Option<i128>, following: Option<i128>) {
        let Some(stamp) = stamp else { return self.repeat() };
        let Some(last) = self.stamp else {
            // The first timestamp, after frames without any.
            self.time += self.duration;
            self.offset = self.time - stamp;
            self.stamp = Some(stamp);
            return;
        };
        // After a step back, only a later timestamp shows that the step was a single error.
        let returned = self.suspect.is_none_or(|suspect| suspect > last || stamp > last);
        if self.is_near(last, stamp) && returned {
            if self.suspect.take().is_some() {
                self.fault(|faults| &mut faults.outliers);
            }
            return self.follow(last, stamp);
        }
        match (self.suspect.take(), following) {
            // The timestamps did not return, so the suspect was no error.
            (Some(suspect), _) => {
                self.enter_range(last, suspect, self.time);
                if self.is_near(suspect, stamp) {
                    self.follow(suspect, stamp);
                } else {
                    self.suspect = Some(stamp);
                    self.time += self.duration;
                }
            }
            (None, Some(following)) if self.is_near(last, following) => {
                self.fault(|faults| &mut faults.outliers);
                self.time += self.duration;
            }
            (None, Some(_)) => {
                let restart = self.time + self.duration;
                self.enter_range(last, stamp, restart);
                self.time = restart.max(stamp + self.offset);
            }
            (None, None) => {
                self.suspect = Some(stamp);
                self.time += self.duration;
            }
        }
    }

    /// Whether `stamp` can be the timestamp after `last`.
    fn is_near(&self, last: i128, stamp: i128) -> bool {
        (-self.max_jitter..=self.max_step).contains(&(stamp - last))
    }

    /// Continues after `last` in another range, which begins with `stamp`. A gap is kept; if the timestamps
    /// went back, the range begins at `time`.
    fn enter_range(&mut self, last: i128, stamp: i128, time: i128) {
        if stamp > last {
            self.max_step = self.max_step.max((stamp - last).saturating_mul(MAX_STEP_GROWTH));
        } else {
            self.offset = time - stamp;
            self.fault(|faults| &mut faults.restarts);
        }
        self.stamp = Some(stamp);
    }

    /// Advances to a timestamp that is near the one before.
    fn follow(&mut self, last: i128, stamp: i128) {
        let step = stamp - last;
        if step <= 0 {
            return self.repeat();
        }
        self.repeats = 0;
        self.stamp = Some(stamp);
        let time = stamp + self.offset;
        // After frames without timestamps, time may be ahead: then it advances at half speed.
        self.time = if time > self.time { time } else { self.time + (step / 2).max(1) };
        self.duration = step.min(self.longest_duration);
    }

    fn repeat(&mut self) {
        self.repeats += 1;
        if self.repeats == REPORTED_REPEATS {
            self.fault(|faults| &mut faults.stops);
        }
        self.time += self.duration;
    }

    fn fault(&mut self, counter: impl FnOnce(&mut Faults) -> &mut u64) {
        *counter(&mut self.faults) += 1;
        self.faults.first.get_or_insert((self.time, self.frames));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Stream times of timestamps in milliseconds, each read without knowing the next one.
    fn streamed(stamps: &[i64]) -> (Vec<i64>, Option<String>) {
        let mut timeline = Timeline::new((1, 1000), Some(40));
        let times = stamps.iter().map(|stamp| timeline.next_ticks(Some(*stamp), None)).collect();
        (times, timeline.warning())
    }

    /// Stream times of timestamps in milliseconds that are all known.
    fn recorded(stamps: &[i64]) -> (Vec<i64>, Option<String>) {
        let mut timeline = Timeline::new((1, 1000), Some(40));
        let following = |i: usize| Some(stamps.get(i + 1).copied().unwrap_or(stamps[i]));
        let times = (0..stamps.len()).map(|i| timeline.next_ticks(Some(stamps[i]), following(i))).collect();
        (times, timeline.warning())
    }

    #[test]
    fn correct_timestamps_are_not_changed() {
        let stamps = [500, 540, 601, 640, 1640, 1680];
        let expected: Vec<i64> = stamps.iter().map(|stamp| stamp - 500).collect();
        assert_eq!(streamed(&stamps), (expected.clone(), None));
        assert_eq!(recorded(&stamps), (expected, None));
    }

    #[test]
    fn gaps_and_time_lapses_are_kept() {
        let gap = [0, 40, 3_600_000, 3_600_040];
        assert_eq!(recorded(&gap), (gap.to_vec(), None));
        assert_eq!(streamed(&gap), (vec![0, 40, 80, 3_600_040], None), "a gap shows one frame later");
        let lapse: Vec<i64> = (0..20).map(|i| i * 15_000).collect();
        assert_eq!(recorded(&lapse), (lapse.clone(), None));
        assert_eq!(streamed(&lapse).0[2..], lapse[2..]);
    }

    #[test]
    fn timestamps_that_begin_again_are_joined() {
        let stamps = [0, 40, 80, 120, 0, 40, 80];
        let (times, warning) = streamed(&stamps);
        assert_eq!(times, [0, 40, 80, 120, 160, 200, 240]);
        let warning = warning.expect("a warning");
        assert!(warning.contains("go back once, first at frame"), "{warning}");
        assert_eq!(recorded(&stamps).0, times);
    }

    #[test]
    fn a_single_frame_that_is_hours_off_changes_nothing() {
        for off in [37_600_000, -9_800_000] {
            let stamps = [0, 40, 80 + off, 120, 160, 200 + off, 240];
            let (times, warning) = streamed(&stamps);
            assert_eq!(times, [0, 40, 80, 120, 160, 200, 240]);
            assert!(warning.expect("a warning").contains("far off for a single frame 2 times"));
            assert_eq!(recorded(&stamps).0, times);
        }
    }

    #[test]
    fn timestamps_that_stand_still_or_are_missing_advance_by_the_frame_rate() {
        let (times, warning) = streamed(&[0; 6]);
        assert_eq!(times, [0, 40, 80, 120, 160, 200]);
        assert!(warning.expect("a warning").contains("stand still"));
        let mut timeline = Timeline::new((1, 25), None);
        let times: Vec<f64> = (0..4).map(|_| timeline.next(None, None)).collect();
        assert_eq!(times, [0.0, 0.04, 0.08, 0.12]);
        assert_eq!(timeline.next(Some(1000), None), 0.16);
        assert_eq!(timeline.next(Some(1002), None), 0.24);
    }

    #[test]
    fn a_repeated_timestamp_is_made_up_for() {
        assert_eq!(streamed(&[0, 40, 40, 80, 120, 160]), (vec![0, 40, 80, 100, 120, 160], None));
    }

    proptest! {
        #[test]
        fn time_never_goes_back_and_never_stands_still(
            steps in prop::collection::vec(
                prop_oneof![
                    4 => -200_i64..200,
                    2 => Just(0_i64),
                    1 => any::<i64>(),
                    1 => -40_000_000_i64..40_000_000,
                ],
                1..300,
            ),
            missing in prop::collection::vec(any::<bool>(), 300),
            known in any::<bool>(),
        ) {
            let mut stamp = 0_i64;
            let stamps: Vec<Option<i64>> = steps.iter().zip(&missing).map(|(step, missing)| {
                stamp = stamp.wrapping_add(*step);
                (!missing || *step % 3 == 0).then_some(stamp)
            }).collect();
            let mut timeline = Timeline::new((1, 1000), Some(40));
            let mut last = None;
            for (i, stamp) in stamps.iter().enumerate() {
                let following = stamps.get(i + 1).copied().flatten().or(*stamp).filter(|_| known);
                let time = timeline.next_ticks(*stamp, following);
                if let Some(last) = last {
                    prop_assert!(time > last || time == i64::MAX, "frame {i}: {time} after {last}");
                } else {
                    prop_assert_eq!(time, 0);
                }
                last = Some(time);
            }
        }

        #[test]
        fn rising_timestamps_without_jumps_are_exact(steps in prop::collection::vec(1_i64..9_999, 1..200)) {
            let mut stamp = 7_i64;
            let stamps: Vec<i64> = steps.iter().map(|step| { stamp += step; stamp }).collect();
            let expected: Vec<i64> = stamps.iter().map(|stamp| stamp - stamps[0]).collect();
            prop_assert_eq!(streamed(&stamps), (expected.clone(), None));
            prop_assert_eq!(recorded(&stamps), (expected, None));
        }
    }
}
