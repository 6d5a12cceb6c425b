//! Numbers as they are said.

use crate::source::Seconds;

/// Four decimals, which is finer than any score or share means.
pub fn brief(number: f32) -> f64 {
    (f64::from(number) * 1e4).round() / 1e4
}

/// To the millisecond, which is as fine as containers tell time.
pub fn rounded(time: Seconds) -> Seconds {
    (time * 1e3).round() / 1e3
}
