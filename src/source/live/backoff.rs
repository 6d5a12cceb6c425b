//! How long to wait before the next try.

use std::time::Duration;

/// The first wait, which doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(500);
/// Short enough that a camera plugged in again is soon seen.
const LONGEST: Duration = Duration::from_secs(15);

/// Waits that double while tries fail.
#[derive(Clone, Debug, Default)]
pub(in crate::source) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let wait = SHORTEST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Begins anew, once frames have come for a while.
    pub fn recovered(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<f64> = (0..8).map(|_| backoff.failed().as_secs_f64()).collect();
        assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]);
        (0..100).for_each(|_| assert!(backoff.failed() == LONGEST));
        backoff.recovered();
        assert_eq!(backoff.failed(), SHORTEST);
    }
}
