//! Frame rates as exact fractions.

use super::Seconds;

/// Frames a second as a fraction: 30000/1001.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Frames.
    pub num: u32,
    /// In so many seconds; never 0.
    pub den: u32,
}

impl Rate {
    /// When frame `index` is shown. Rounded once, so that the same instant reached through another time base
    /// (ticks of a container) is the same number.
    pub fn time_of(self, index: u64) -> Seconds {
        ticks_to_seconds(i128::from(index) * i128::from(self.den), self.num)
    }

    /// Frames a second.
    pub fn fps(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

/// `ticks / per_second`, rounded once for anything below 2^53 ticks.
pub(super) fn ticks_to_seconds(ticks: i128, per_second: u32) -> Seconds {
    ticks as f64 / f64::from(per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_instant_is_the_same_number_in_any_time_base() {
        let rate = Rate { num: 30000, den: 1001 };
        for index in 0..5000u64 {
            let time = rate.time_of(index);
            assert_eq!(time, ticks_to_seconds(i128::from(index) * 1001, 30_000));
            assert_eq!(time, ticks_to_seconds(i128::from(index) * 3003, 90_000));
        }
        assert_eq!(Rate { num: 25, den: 1 }.time_of(25), 1.0);
    }
}
