//! What this process has used.

use std::time::Duration;

/// The most memory this process has held at once, bytes; `None` where the kernel does not say.
pub fn peak_rss_bytes() -> Option<u64> {
    status_kib("VmHWM:").map(|kib| kib * 1024)
}

/// The memory that this process holds now, bytes; `None` where the kernel does not say.
pub fn current_rss_bytes() -> Option<u64> {
    status_kib("VmRSS:").map(|kib| kib * 1024)
}

fn status_kib(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// CPU time of all threads of this process; `None` where the system does not say.
pub fn process_cpu() -> Option<Duration> {
    #[cfg(unix)]
    return clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

/// CPU time of the calling thread; `None` where the system does not say.
pub fn thread_cpu() -> Option<Duration> {
    #[cfg(unix)]
    return clock(libc::CLOCK_THREAD_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn clock(id: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for the answer, alive during the call.
    let failed = unsafe { libc::clock_gettime(id, &mut time) } != 0;
    (!failed).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_the_peak() {
        assert!(super::peak_rss_bytes().unwrap() > 1 << 20);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn work_takes_cpu_time() {
        let before = super::thread_cpu().unwrap();
        let sum: u64 = std::hint::black_box((0..3_000_000u64).map(std::hint::black_box).sum());
        assert!(sum > 0 && super::thread_cpu().unwrap() > before);
        assert!(super::process_cpu().unwrap() >= super::thread_cpu().unwrap());
    }
}
