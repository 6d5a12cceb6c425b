//! How long to wait before the next try.

use std::time::Duration;

/// Waits that double while tries fail.
#[derive(Clone, Debug)]
pub(in crate::source) struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// Half a second to 15 s: short enough that a camera plugged in again is soon seen.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(15))
    }
}

impl Backoff {
    /// From `shortest` to `longest`.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, failures: 0 }
    }

    /// The wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let wait = self.shortest.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
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
        (0..100).for_each(|_| assert!(backoff.failed() == Duration::from_secs(15)));
        backoff.recovered();
        assert_eq!(backoff.failed(), Duration::from_millis(500));
    }
}
