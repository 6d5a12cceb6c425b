//! The clock of this machine: whether it can be trusted, and its times as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, after which RFC 3339 has no form for a time.
const LAST_SECOND: u64 = 253_402_300_799;

/// Whether the clock of this machine was set since it started, by a time server or otherwise; `None` if the system does
/// not report it. A board without a battery starts with the time of its last shutdown, or in 1970.
pub fn clock_is_synchronised() -> Option<bool> {
    // Nothing was built before 2020, and the clock runs forward.
    if SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() < 1_577_836_800 {
        return Some(false);
    }
    kernel_says_synchronised()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn kernel_says_synchronised() -> Option<bool> {
    // SAFETY: all zeros is a valid request, which reads the state of the clock and changes nothing.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `request` is valid and exclusively borrowed.
    let state = unsafe { libc::adjtimex(&raw mut request) };
    (state >= 0).then_some(state != libc::TIME_ERROR && request.status & libc::STA_UNSYNC == 0)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn kernel_says_synchronised() -> Option<bool> {
    None
}

/// Formats a time as RFC 3339 in UTC, with milliseconds. Times before 1970 and after 9999, which a wrong clock may give,
/// become the first and the last one that have a form.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(Duration::from_secs(LAST_SECOND));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_form() {
        let years = |n: u64| Duration::from_secs(n * 31_556_952);
        for (time, text) in [
            (UNIX_EPOCH + Duration::from_millis(1_700_000_000_250), "2023-11-14T22:13:20.250Z"),
            (UNIX_EPOCH, "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH - years(50), "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH + years(9000), "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(time), text);
        }
    }
}
