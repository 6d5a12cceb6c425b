//! How long reads of a source wait, and how another thread stops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait without a check of the flag of [`WaitLimit::cancel`], so that cancelling takes effect soon.
pub(super) const WAIT_SLICE: Duration = Duration::from_millis(200);

/// Stops reads that wait, on whatever thread, because nobody wants their data any more.
#[derive(Clone, Debug, Default)]
pub(super) struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    pub(super) fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long a read waits for data.
#[derive(Clone, Debug)]
pub(super) struct WaitLimit {
    /// The longest time without any sign of life.
    pub(super) timeout: Duration,
    /// Ends the wait early.
    pub(super) cancel: CancelFlag,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitEnd<T> {
    /// What was waited for.
    Ready(T),
    TimedOut,
    Cancelled,
}

impl WaitLimit {
    /// `timeout_s` is at most a day, as [`super::ReadSpec`] checks.
    pub(super) fn new(timeout_s: f64, cancel: &CancelFlag) -> Self {
        Self {
            timeout: Duration::try_from_secs_f64(timeout_s).unwrap_or(Duration::from_secs(3600)),
            cancel: cancel.clone(),
        }
    }

    /// Calls `wait` with short times until it returns something. The wait begins again whenever `activity` changes.
    pub(super) fn wait<T, E>(
        &self,
        activity: impl Fn() -> u64,
        mut wait: impl FnMut(Duration) -> Result<Option<T>, E>,
    ) -> Result<WaitEnd<T>, E> {
        let (mut since, mut before) = (Instant::now(), activity());
        loop {
            if self.cancel.is_cancelled() {
                return Ok(WaitEnd::Cancelled);
            }
            let left = self.timeout.saturating_sub(since.elapsed());
            if let Some(ready) = wait(left.min(WAIT_SLICE))? {
                return Ok(WaitEnd::Ready(ready));
            }
            let now = activity();
            if now != before {
                (since, before) = (Instant::now(), now);
            } else if since.elapsed() >= self.timeout {
                return Ok(WaitEnd::TimedOut);
            }
        }
    }
}

/// Waits at most `wait` until `file` can be read; returns whether it can.
#[cfg(unix)]
pub(super) fn wait_readable(file: &impl std::os::fd::AsRawFd, wait: Duration) -> std::io::Result<Option<()>> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: one valid pollfd, of a descriptor that `file` keeps open.
    match unsafe { libc::poll(&raw mut poll, 1, millis) } {
        0 => Ok(None),
        1.. => Ok(Some(())),
        _ => match std::io::Error::last_os_error() {
            e if e.kind() == std::io::ErrorKind::Interrupted => Ok(None),
            e => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn limit(timeout_ms: u64) -> WaitLimit {
        WaitLimit { timeout: Duration::from_millis(timeout_ms), cancel: CancelFlag::default() }
    }

    #[test]
    fn a_wait_ends_by_data_by_the_timeout_or_by_cancelling() {
        let calls = Cell::new(0);
        let third = |_| {
            calls.set(calls.get() + 1);
            Ok::<_, ()>((calls.get() == 3).then_some("data"))
        };
        assert_eq!(limit(60_000).wait(|| 0, third), Ok(WaitEnd::Ready("data")));
        let nothing = |wait: Duration| {
            std::thread::sleep(wait);
            Ok::<Option<()>, ()>(None)
        };
        assert_eq!(limit(20).wait(|| 0, nothing), Ok(WaitEnd::TimedOut));
        let cancelled = limit(60_000);
        cancelled.cancel.clone().cancel();
        assert_eq!(cancelled.wait(|| 0, nothing), Ok(WaitEnd::Cancelled));
    }

    #[test]
    fn activity_extends_a_wait() {
        let calls = Cell::new(0);
        let wait = |_| {
            calls.set(calls.get() + 1);
            std::thread::sleep(Duration::from_millis(2));
            Ok::<_, ()>((calls.get() == 50).then_some(()))
        };
        assert_eq!(limit(30).wait(|| calls.get(), wait), Ok(WaitEnd::Ready(())));
    }
}
