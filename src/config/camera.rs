//! One camera of the configuration.

use std::path::{Path, PathBuf};

use bike_edge::io::{is_url, problem_of_address};
use bike_edge::picture::PictureTransform;
use bike_edge::pipeline::FollowSpec;
use bike_edge::preprocess::RegionSpec;
use bike_edge::source::{CaptureRequest, LiveOptions, ReadSpec, SourceOptions, is_camera};
use bike_edge::{Error, Result};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::secret::{Address, Credentials, read_address, read_credential};
use super::spec_table::{check_keys, keys_of, read_spec_of_shared_section};

/// Name and address of a camera.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CameraIdentity {
    /// Its name in events, metrics and logs.
    pub name: String,
    /// A device, a URL or a named pipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A file that contains the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// A systemd credential that contains the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_credential: Option<String>,
}

/// A camera and how it is read: one `[[camera]]` of the configuration, merged over `[camera_defaults]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraSettings {
    /// Its name in events, metrics and logs.
    pub name: String,
    /// Its device, named pipe or URL.
    pub address: Address,
    /// The file that the address was read from.
    pub address_from: Option<PathBuf>,
    /// The mode that is requested from its driver.
    pub capture: CaptureRequest,
    /// Masks and rotation, applied before anything else reads the picture.
    pub transform: PictureTransform,
    /// The region that is analysed, and how it becomes square.
    pub region: RegionSpec,
    /// Whether moving regions are analysed in place of the whole picture.
    pub follow: FollowSpec,
    /// How it is read.
    pub read: ReadSpec,
}

/// Keys that belong to one camera and may not be in `[camera_defaults]`.
const PER_CAMERA_KEYS: [&str; 6] = ["name", "source", "url_file", "url_credential", "roi", "masks"];

/// Returns all keys of `[[camera]]`.
pub(super) fn camera_keys() -> Vec<&'static str> {
    let parts = [
        keys_of::<CameraIdentity>(),
        keys_of::<CaptureRequest>(),
        keys_of::<PictureTransform>(),
        keys_of::<RegionSpec>(),
        keys_of::<FollowSpec>(),
        keys_of::<ReadSpec>(),
    ];
    // Only clips from a pipe are spooled.
    parts.concat().into_iter().filter(|key| *key != "spool_limit").collect()
}

/// Returns the keys of `[camera_defaults]`.
pub(super) fn camera_default_keys() -> Vec<&'static str> {
    camera_keys().into_iter().filter(|key| !PER_CAMERA_KEYS.contains(key)).collect()
}

impl CameraSettings {
    /// Reads a camera's merged table; `section` is its path in messages.
    ///
    /// # Errors
    /// [`Error::Setting`] with the path of the key.
    pub(super) fn read(section: &str, mut table: Table, credentials: &Credentials) -> Result<Self> {
        check_keys(section, &table, &camera_keys())?;
        let identity: CameraIdentity = read_spec_of_shared_section(section, &mut table)?;
        let camera = Self {
            capture: read_spec_of_shared_section(section, &mut table)?,
            transform: read_spec_of_shared_section(section, &mut table)?,
            region: read_spec_of_shared_section(section, &mut table)?,
            follow: read_spec_of_shared_section(section, &mut table)?,
            read: read_spec_of_shared_section(section, &mut table)?,
            name: identity.name.clone(),
            address: Address::new(""),
            address_from: identity.url_file.clone(),
        };
        let check = || {
            check_name(&identity.name)?;
            camera.capture.check()?;
            camera.follow.check()?;
            camera.read.check()?;
            find_address(&identity, credentials)
        };
        let address = check().map_err(|e| e.within(section))?;
        Ok(Self { address, ..camera })
    }

    /// Returns whether the source of `other` is the same and is opened in the same way.
    pub fn has_same_source(&self, other: &Self) -> bool {
        (&self.address, &self.capture, &self.transform, &self.read)
            == (&other.address, &other.capture, &other.transform, &other.read)
    }

    /// Returns how its source is opened. If a camera is missing when the service starts, the
    /// service waits for it.
    pub fn live_options(&self) -> LiveOptions {
        let source =
            SourceOptions { read: self.read.clone(), transform: self.transform.clone(), ..SourceOptions::default() };
        LiveOptions { source, capture: self.capture, wait_for_source: true }
    }
}

/// Checks a name, which appears in metrics and log lines.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    if (1..=64).contains(&name.chars().count()) && name.chars().all(allowed) && name.trim() == name {
        return Ok(());
    }
    let problem = match name {
        "" => "the camera has no name".to_owned(),
        name => format!("`{}` is not a name", name.escape_debug()),
    };
    Err(Error::setting("name", problem, "give 1 to 64 letters, digits, - _ . and spaces (not at either end)"))
}

fn find_address(identity: &CameraIdentity, credentials: &Credentials) -> Result<Address> {
    let CameraIdentity { source, url_file, url_credential, .. } = identity;
    match (source, url_file, url_credential) {
        (Some(source), None, None) => check_address("source", Address::new(source)),
        (None, Some(path), None) => check_address("url_file", read_address(path)?),
        (None, None, Some(name)) => match credentials {
            // The placeholder is not an address.
            Credentials::Placeholder => read_credential(name, credentials),
            Credentials::Folder(_) => check_address("url_credential", read_credential(name, credentials)?),
        },
        (None, None, None) => {
            Err(Error::setting("source", "the camera has no source", "give one of source, url_file and url_credential"))
        }
        _ => Err(Error::setting(
            if url_file.is_some() { "url_file" } else { "url_credential" },
            "the camera has several sources",
            "give one of source, url_file and url_credential",
        )),
    }
}

/// Refuses inputs that are not live: a recorded clip would end. A bare number names a device only in other programs.
fn check_address(key: &str, address: Address) -> Result<Address> {
    let remedy = "give a device such as camera:ID or /dev/video0, a URL such as rtsp://..., or the absolute path of a \
                  named pipe; recorded clips are for `bike-edge watch`";
    let refuse = |problem: &str| Err(Error::setting(key, format!("`{address}` {problem}"), remedy));
    let path = Path::new(address.reveal());
    let text = address.reveal().to_string_lossy();
    if is_url(&text) {
        return match problem_of_address(&text) {
            Some(problem) => Err(Error::setting(key, problem, remedy)),
            None => Ok(address),
        };
    }
    if text.contains("://") || text.starts_with("//") || (text.starts_with("camera:") && text.contains(['@', '='])) {
        return refuse("is not a camera, a URL or an absolute path");
    }
    if is_camera(address.reveal()) {
        return Ok(address);
    }
    if path.is_file() || path.is_dir() {
        return refuse("is a file or folder");
    }
    if !path.is_absolute() {
        return refuse("is not a camera, a URL or an absolute path");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_and_numbers_are_not_cameras() {
        for source in ["clip.mp4", "0", "", " ", "/etc/hostname", "/tmp"] {
            assert!(check_address("source", Address::new(source)).is_err(), "{source}");
        }
        for source in
            [" rtsp://me:hush@cam/1", "1rtsp://me:hush@c", "//me:hush@cam", "camera:me:hush@cam/1", "me:hush@c/1"]
        {
            let problem = check_address("source", Address::new(source)).expect_err("refused").to_string();
            assert!(!problem.contains("hush"), "{problem}");
        }
        for source in ["/dev/video0", "camera:046d", "rtsp://cam/1", "/run/no/pipe/yet"] {
            assert!(check_address("source", Address::new(source)).is_ok(), "{source}");
        }
    }
}
