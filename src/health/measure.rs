//! Measures the temperature of the chip and the memory and CPU time of this process.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The folder of the thermal zones on Linux.
pub(super) const THERMAL_FOLDER: &str = "/sys/class/thermal";

/// The kernel's thermal zones.
#[derive(Clone, Debug)]
pub struct ThermalZones {
    folder: PathBuf,
}

impl ThermalZones {
    /// Uses the zones in `folder`, which is laid out like /sys/class/thermal.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the temperature of the hottest zone, degrees Celsius; `None` if no zone can be read. Skips readings that
    /// no chip can have, such as the -274 of a disconnected sensor.
    pub fn hottest_c(&self) -> Option<f64> {
        let zones = fs::read_dir(&self.folder).ok()?.flatten();
        let readings = zones.filter_map(|zone| fs::read_to_string(zone.path().join("temp")).ok()?.trim().parse().ok());
        readings.map(|milli: f64| milli / 1000.0).filter(|c| (-50.0..200.0).contains(c)).reduce(f64::max)
    }
}

impl Default for ThermalZones {
    fn default() -> Self {
        Self::new(THERMAL_FOLDER)
    }
}

/// Returns the peak memory of this process, bytes; `None` if the kernel does not report it.
pub fn peak_rss_bytes() -> Option<u64> {
    status_kib("VmHWM:").map(|kib| kib * 1024)
}

/// Returns the current memory of this process, bytes; `None` if the kernel does not report it.
pub fn current_rss_bytes() -> Option<u64> {
    status_kib("VmRSS:").map(|kib| kib * 1024)
}

fn status_kib(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Returns the CPU time of all threads of this process; `None` if the system does not report it.
pub fn process_cpu() -> Option<Duration> {
    #[cfg(unix)]
    return clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

/// Returns the CPU time of the calling thread; `None` if the system does not report it.
pub fn thread_cpu() -> Option<Duration> {
    #[cfg(unix)]
    return clock(libc::CLOCK_THREAD_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn clock(id: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call, which writes nothing else.
    let failed = unsafe { libc::clock_gettime(id, &mut time) } != 0;
    (!failed).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_plausible_zone_is_returned() {
        let folder = tempfile::tempdir().unwrap();
        for (zone, text) in [("a", "41000\n"), ("b", "67500\n"), ("c", "-274000\n"), ("d", "?\n")] {
            fs::create_dir(folder.path().join(zone)).unwrap();
            fs::write(folder.path().join(zone).join("temp"), text).unwrap();
        }
        assert_eq!(ThermalZones::new(folder.path()).hottest_c(), Some(67.5));
        assert_eq!(ThermalZones::new(folder.path().join("none")).hottest_c(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_reports_the_peak_memory() {
        assert!(peak_rss_bytes().unwrap() > 1 << 20);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn work_takes_cpu_time() {
        let before = thread_cpu().unwrap();
        let sum: u64 = std::hint::black_box((0..3_000_000u64).map(std::hint::black_box).sum());
        assert!(sum > 0 && thread_cpu().unwrap() > before);
        assert!(process_cpu().unwrap() >= thread_cpu().unwrap());
    }
}
