//! Board profiles: settings for a kind of board, which the configuration overrides, and what `doctor` requires.

use bike_edge::{Error, Result};
use serde::{Deserialize, Serialize};
use toml::Table;

/// The profiles in this program, from board/profiles/; `generic` comes last, because it matches every machine.
const PROFILES: [(&str, &str); 5] = [
    ("rpi4", include_str!("../../board/profiles/rpi4.toml")),
    ("rpi5", include_str!("../../board/profiles/rpi5.toml")),
    ("rk3588", include_str!("../../board/profiles/rk3588.toml")),
    ("jetson-orin", include_str!("../../board/profiles/jetson-orin.toml")),
    ("generic", include_str!("../../board/profiles/generic.toml")),
];

/// Selects the profile by the name of the board in the device tree.
pub(super) const AUTO: &str = "auto";

/// Settings and expectations for a kind of board.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The profile's name.
    pub name: &'static str,
    /// What `doctor` expects.
    pub needs: MachineNeeds,
    /// Keys of the configuration, which overrides them.
    pub settings: Table,
}

/// `[machine]` of a profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineNeeds {
    /// The board's full name.
    pub title: String,
    /// Texts in /proc/device-tree/model that identify the board.
    pub device_tree: Vec<String>,
    /// Minimum number of cores.
    pub cores: usize,
    /// Memory that the service needs, MiB.
    pub memory_mib: u64,
    /// CPU features that its kernels use.
    pub features: Vec<String>,
    /// Temperature at which the chip starts to throttle, degrees Celsius; absent if it differs between boards.
    pub throttles_c: Option<f64>,
    /// Whether `doctor` should find a GPU.
    pub gpu: bool,
}

/// Returns the names of the profiles.
fn profile_names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

impl Profile {
    /// Finds a profile by name. If the name is `auto`, finds it by `board`, the model in the device tree.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name that does not exist.
    pub fn find(name: &str, board: Option<&str>) -> Result<Self> {
        if name != AUTO {
            let found = PROFILES.iter().find(|(known, _)| *known == name);
            return found.map_or_else(|| Err(unknown(name)), |(name, text)| Self::parse(name, text));
        }
        for (name, text) in PROFILES {
            let profile = Self::parse(name, text)?;
            let known = |part: &String| board.is_some_and(|board| board.contains(part.as_str()));
            if name == "generic" || profile.needs.device_tree.iter().any(known) {
                return Ok(profile);
            }
        }
        Err(Error::Internal("there is no generic profile".into()))
    }

    fn parse(name: &'static str, text: &str) -> Result<Self> {
        let broken = |e: toml::de::Error| Error::Internal(format!("profile {name}: {}", e.message()));
        let mut settings: Table = toml::from_str(text).map_err(broken)?;
        let needs = settings.remove("machine").map(MachineNeeds::deserialize).transpose().map_err(broken)?;
        Ok(Self { name, needs: needs.unwrap_or_default(), settings })
    }
}

fn unknown(name: &str) -> Error {
    let known: Vec<_> = profile_names().collect();
    let problem = format!("there is no profile `{}`", name.escape_debug());
    Error::setting("profile", problem, format!("give one of {AUTO}, {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_are_identified_by_their_device_tree() {
        let name = |board| Profile::find(AUTO, board).unwrap().name;
        assert_eq!(name(Some("Raspberry Pi 5 Model B Rev 1.0")), "rpi5");
        assert_eq!(name(Some("Raspberry Pi 4 Model B Rev 1.4")), "rpi4");
        assert_eq!(name(Some("Radxa ROCK 5B")), "rk3588");
        assert_eq!(name(Some("NVIDIA Jetson Orin Nano Developer Kit")), "jetson-orin");
        assert_eq!((name(Some("Some other board")), name(None)), ("generic", "generic"));
    }

    #[test]
    fn every_profile_is_valid_and_unknown_ones_are_refused() {
        for name in profile_names() {
            let profile = Profile::find(name, None).unwrap();
            assert!(!profile.needs.title.is_empty() && profile.needs.cores > 0, "{name}");
            let throttles = profile.needs.throttles_c.unwrap_or(f64::INFINITY);
            let number = |section: &str, key: &str| profile.settings.get(section)?.get(key).cloned();
            let hot_c = number("governor", "hot_c").and_then(|value| value.as_float());
            let hot_c = hot_c.unwrap_or(bike_edge::health::GovernorSpec::default().hot_c);
            assert!(hot_c < throttles, "{name}: the governor must act before the chip does");
            let threads = number("model", "threads").and_then(|value| value.as_integer()).unwrap_or(1);
            assert!(threads as usize <= profile.needs.cores, "{name}");
        }
        assert!(Profile::find("rpi9", None).unwrap_err().to_string().contains("rpi5"));
    }
}
