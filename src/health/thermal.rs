//! How hot the chip is.

use std::fs;
use std::path::PathBuf;

/// The kernel's thermal zones.
#[derive(Clone, Debug)]
pub struct ThermalZones {
    folder: PathBuf,
}

impl ThermalZones {
    /// Zones below `folder`, as /sys/class/thermal.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The hottest zone, degrees Celsius; `None` where none can be read. What no chip can be is passed over.
    pub fn hottest_c(&self) -> Option<f64> {
        let zones = fs::read_dir(&self.folder).ok()?.flatten();
        let readings = zones.filter_map(|zone| fs::read_to_string(zone.path().join("temp")).ok()?.trim().parse().ok());
        readings.map(|milli: f64| milli / 1000.0).filter(|c| (-50.0..200.0).contains(c)).reduce(f64::max)
    }
}

impl Default for ThermalZones {
    fn default() -> Self {
        Self::new("/sys/class/thermal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_believable_zone_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (zone, text) in [("a", "41000\n"), ("b", "67500\n"), ("c", "-274000\n"), ("d", "?\n")] {
            fs::create_dir(folder.path().join(zone)).unwrap();
            fs::write(folder.path().join(zone).join("temp"), text).unwrap();
        }
        assert_eq!(ThermalZones::new(folder.path()).hottest_c(), Some(67.5));
        assert_eq!(ThermalZones::new(folder.path().join("none")).hottest_c(), None);
    }
}
