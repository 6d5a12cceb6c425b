//! Times, frame rates, sizes in bytes, percentiles, rounding and range checks.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Stream time in seconds: since the first frame of a source, from the source's own timestamps.
pub type Seconds = f64;

/// Tolerance when times are compared: half a millisecond, because containers often round times to milliseconds.
pub const TIME_TOLERANCE_S: Seconds = 0.0005;

/// A text that cannot be parsed, not yet tied to a setting; [`ParseError::setting`] does that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct ParseError {
    /// The problem with the text; names the text.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

impl ParseError {
    /// An error about `text`.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }

    /// Converts this to an [`Error::Setting`] of `key`.
    pub fn setting(self, key: &str) -> Error {
        Error::setting(key, self.problem, self.remedy)
    }
}

/// Lets serde read and write a type as its text, for `#[serde(try_from = "String", into = "String")]`.
macro_rules! serde_as_text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = $crate::units::ParseError;

            fn try_from(text: String) -> Result<Self, $crate::units::ParseError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use serde_as_text;

/// A frame rate as an exact fraction, such as 30000/1001. As text `25` or `30000/1001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Frames.
    pub num: u32,
    /// Seconds in which these frames are shown; never 0.
    pub den: u32,
}

impl Rate {
    /// Returns the time of frame `index`. Rounded once, so that the same instant in another time base (ticks of a
    /// container) is the same number.
    pub fn time_of(self, index: u64) -> Seconds {
        ticks_to_seconds(i128::from(index) * i128::from(self.den), self.num)
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

/// Returns `ticks / per_second`, rounded once for less than 2^53 ticks.
pub(crate) fn ticks_to_seconds(ticks: i128, per_second: u32) -> Seconds {
    ticks as f64 / f64::from(per_second.max(1))
}

impl FromStr for Rate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (num, den) = text.split_once('/').unwrap_or((text, "1"));
        match (num.trim().parse(), den.trim().parse()) {
            (Ok(num @ 1..), Ok(den @ 1..)) => Ok(Self { num, den }),
            _ => Err(ParseError::new(
                format!("{text:?} is not a frame rate"),
                "give frames per second, such as 25 or 30000/1001",
            )),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.den {
            1 => write!(f, "{}", self.num),
            den => write!(f, "{}/{den}", self.num),
        }
    }
}

serde_as_text!(Rate);

/// A size in bytes, at least 1. As text `500000`, `512M` or `2G` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

impl ByteSize {
    /// `bytes`; 0 counts as 1.
    pub const fn new(bytes: u64) -> Self {
        Self(if bytes == 0 { 1 } else { bytes })
    }

    /// A size in MiB.
    pub const fn mib(count: u64) -> Self {
        Self::new(count << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(
                format!("{text:?} is not a size"),
                "give a number of bytes above 0, or a number with K, M or G, such as 512M",
            )
        };
        let trimmed = text.trim().trim_end_matches(['b', 'B']).trim_end_matches(['i']);
        let (number, shift) = match trimmed.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&trimmed[..at], 10),
            Some((at, 'm' | 'M')) => (&trimmed[..at], 20),
            Some((at, 'g' | 'G')) => (&trimmed[..at], 30),
            _ => (trimmed, 0),
        };
        let number: u64 = number.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.0.trailing_zeros() {
            30.. => (30, "G"),
            20.. => (20, "M"),
            10.. => (10, "K"),
            _ => (0, ""),
        };
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

serde_as_text!(ByteSize);

/// Returns the value below which `share` (0..=1) of a sorted list lies, by the nearest rank; `None` for an empty list.
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (sorted.len().max(1) - 1) as f64 * share;
    sorted.get(rank.round() as usize).copied()
}

/// Returns the median, the mean of the two middle values of an even number; `None` for an empty list.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}

/// Rounds a number to `decimals` decimals (at most 9).
pub fn rounded(number: f64, decimals: u32) -> f64 {
    let scale = power_of_ten(decimals);
    (number * scale).round() / scale
}

/// Rounds a score, a confidence or a share to four decimals, more than their accuracy.
pub fn rounded_score(score: f32) -> f64 {
    rounded(f64::from(score), 4)
}

/// Rounds stream time to the millisecond, the resolution of timestamps in containers.
pub fn rounded_time(seconds: f64) -> f64 {
    rounded(seconds, 3)
}

/// Returns a duration in milliseconds, rounded to `decimals` decimals (at most 6).
pub fn milliseconds(duration: Duration, decimals: u32) -> f64 {
    // Scaled once: rounding seconds * 1000 to the decimals can differ in the last bit.
    (duration.as_secs_f64() * power_of_ten(decimals + 3)).round() / power_of_ten(decimals)
}

/// Returns bytes as MB (powers of 1000), rounded to one decimal.
pub fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e5).round() / 10.0
}

/// Checks that the value of a setting lies in `range`. The remedy reads "give `what` from A to B"; `what` is a plural
/// or a quantity with an article, such as "seconds" or "a share".
///
/// # Errors
/// [`Error::Setting`] naming `key` and the value. NaN is always out of range.
pub fn check_range<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>, what: &str) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let remedy = format!("give {what} from {} to {}", range.start(), range.end());
    Err(Error::setting(key, format!("{value} is out of range"), remedy))
}

/// Returns a power of ten. Exact, because every power of ten up to 10^22 is an `f64`.
fn power_of_ten(exponent: u32) -> f64 {
    10_u64.pow(exponent) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_the_same_number_in_every_time_base() {
        let rate = Rate { num: 30000, den: 1001 };
        for index in 0..5000u64 {
            let time = rate.time_of(index);
            assert_eq!(time, ticks_to_seconds(i128::from(index) * 1001, 30_000));
            assert_eq!(time, ticks_to_seconds(i128::from(index) * 3003, 90_000));
        }
        assert_eq!(Rate { num: 25, den: 1 }.time_of(25), 1.0);
    }

    #[test]
    fn rates_are_read_and_written_as_text() {
        for (text, num, den) in [("25", 25, 1), ("30000/1001", 30000, 1001), ("15/2", 15, 2)] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!((rate, rate.to_string().as_str()), (Rate { num, den }, text));
        }
        for text in ["", "0", "25/0", "-1", "25.5", "1/2/3"] {
            assert!(text.parse::<Rate>().expect_err(text).to_string().contains("30000/1001"));
        }
    }

    #[test]
    fn sizes_are_read_and_written_as_text() {
        for (text, bytes, shown) in [
            ("1", 1, "1"),
            ("64k", 64 << 10, "64K"),
            ("512M", 512 << 20, "512M"),
            ("2GiB", 2 << 30, "2G"),
            ("3 G", 3 << 30, "3G"),
        ] {
            let size: ByteSize = text.parse().expect(text);
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_size_is_refused() {
        for text in ["", "0", "-1", "1T", "M", "99999999999G"] {
            let message = text.parse::<ByteSize>().expect_err(text).setting("spool_limit").to_string();
            assert!(message.starts_with("spool_limit: ") && message.contains("512M"), "{message}");
        }
    }

    #[test]
    fn percentiles_take_the_nearest_rank() {
        let sorted: Vec<u32> = (1..=101).collect();
        assert_eq!([0.0, 0.5, 0.95, 1.0].map(|share| percentile(&sorted, share)), [1, 51, 96, 101].map(Some));
        assert_eq!(percentile::<u32>(&[], 0.5), None);
    }

    #[test]
    fn numbers_are_rounded_half_away_from_zero() {
        assert_eq!((rounded(0.125, 2), rounded(-0.125, 2), rounded(2.5, 0)), (0.13, -0.13, 3.0));
        assert_eq!((rounded_score(0.123_45), rounded_time(1.234_56)), (0.1235, 1.235));
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567), 3), 1.235);
        assert_eq!(megabytes(12_340_000), 12.3);
    }

    #[test]
    fn values_out_of_range_name_the_key_the_value_and_the_bounds() {
        assert!(check_range("hot_c", 150.0, 20.0..=150.0, "degrees").is_ok());
        let problem = check_range("hot_c", f64::NAN, 20.0..=150.0, "degrees").unwrap_err().to_string();
        assert_eq!(problem, "hot_c: NaN is out of range; give degrees from 20 to 150");
    }
}
