//! What is known of boards: settings that suit them, laid under the file, and what `doctor` expects of them.

use serde::{Deserialize, Serialize};
use toml::Table;

use super::file::ServiceFile;
use crate::error::{Error, Result};

/// The profiles in this binary, board/profiles/; `generic` comes last, as it fits every machine.
const PROFILES: [(&str, &str); 5] = [
    ("rpi4", include_str!("../../../board/profiles/rpi4.toml")),
    ("rpi5", include_str!("../../../board/profiles/rpi5.toml")),
    ("rk3588", include_str!("../../../board/profiles/rk3588.toml")),
    ("jetson-orin", include_str!("../../../board/profiles/jetson-orin.toml")),
    ("generic", include_str!("../../../board/profiles/generic.toml")),
];

/// Takes the profile by what the device tree says of the board.
pub(super) const AUTO: &str = "auto";

/// Settings and expectations for a kind of board.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What `doctor` expects.
    pub needs: Needs,
    /// Keys of the configuration, to be laid under it.
    pub settings: Table,
}

/// `[machine]` of a profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Needs {
    /// The board's full name, for people.
    pub title: String,
    /// Text of /proc/device-tree/model that tells the board.
    pub device_tree: Vec<String>,
    /// Cores it has.
    pub cores: usize,
    /// Memory that the service is comfortable with, MiB.
    pub memory_mib: u64,
    /// Instructions that its kernels are fast by.
    pub features: Vec<String>,
    /// Where the chip slows itself down, degrees Celsius; absent where it differs.
    pub throttles_c: Option<f64>,
    /// A GPU that doctor should find.
    pub gpu: bool,
}

/// Names of the profiles.
pub fn profile_names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

impl Profile {
    /// A profile by name, or by `board`, the device tree's model, where the name is `auto`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that there is not.
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
        let needs = settings.remove("machine").map(Needs::deserialize).transpose().map_err(broken)?;
        ServiceFile::deserialize(settings.clone()).map_err(broken)?;
        Ok(Self { name, needs: needs.unwrap_or_default(), settings })
    }
}

fn unknown(name: &str) -> Error {
    let known: Vec<_> = profile_names().collect();
    Error::Usage(format!(
        "profile `{}`: there is none of that name; there are {AUTO}, {}",
        name.escape_debug(),
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_are_told_by_their_device_tree() {
        let name = |board| Profile::find(AUTO, board).unwrap().name;
        assert_eq!(name(Some("Raspberry Pi 5 Model B Rev 1.0")), "rpi5");
        assert_eq!(name(Some("Raspberry Pi 4 Model B Rev 1.4")), "rpi4");
        assert_eq!(name(Some("Radxa ROCK 5B")), "rk3588");
        assert_eq!(name(Some("NVIDIA Jetson Orin Nano Developer Kit")), "jetson-orin");
        assert_eq!((name(Some("Some other board")), name(None)), ("generic", "generic"));
    }

    #[test]
    fn every_profile_is_sound_and_unknown_ones_are_named() {
        for name in profile_names() {
            let profile = Profile::find(name, None).unwrap();
            assert!(!profile.needs.title.is_empty() && profile.needs.cores > 0, "{name}");
            let throttles = profile.needs.throttles_c.unwrap_or(f64::INFINITY);
            let file = ServiceFile::deserialize(profile.settings).unwrap();
            assert!(file.governor.hot_c < throttles, "{name}: the governor must act before the chip does");
            assert!(file.model.threads.unwrap_or(1) <= profile.needs.cores, "{name}");
        }
        assert!(Profile::find("rpi9", None).unwrap_err().to_string().contains("rpi5"));
    }
}
