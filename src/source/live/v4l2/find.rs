//! Finds cameras, by device file or by names that stay the same when their device file changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use v4l::v4l_sys::v4l2_capability;
use v4l::v4l2::vidioc;

use super::CameraInfo;
use super::api::{Api, KernelStruct};
use super::modes::list_modes;
use super::node::{DeviceNode, text};
use crate::{Error, Result};

/// Maximum number of device files that are examined.
const MAX_DEVICES: usize = 256;

/// How the user names a camera.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CameraSelector {
    Path(PathBuf),
    Id(String),
}

impl CameraSelector {
    /// From `camera:ID` or a device file.
    pub fn new(text: &str) -> Self {
        match text.strip_prefix("camera:") {
            Some(id) => Self::Id(id.into()),
            None => Self::Path(text.into()),
        }
    }
}

/// A camera that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FoundCamera {
    pub path: PathBuf,
    pub card: String,
    pub driver: String,
    /// The port that it is plugged into.
    pub bus: String,
    /// Names in /dev/v4l/by-id, which contain the serial number if the camera has one.
    pub by_id: Vec<String>,
    /// Names in /dev/v4l/by-path, which identify the port.
    pub by_path: Vec<String>,
    /// The API of its driver.
    pub api: Api,
}

/// Identifies a camera that was open before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Identity {
    card: String,
    bus: String,
    by_id: Vec<String>,
}

impl FoundCamera {
    pub fn identity(&self) -> Identity {
        Identity { card: self.card.clone(), bus: self.bus.clone(), by_id: self.by_id.clone() }
    }

    /// Names that stay the same, best first.
    fn ids(&self) -> Vec<String> {
        let bus = (!self.bus.is_empty()).then(|| self.bus.clone());
        self.by_id.iter().chain(&self.by_path).cloned().chain(bus).collect()
    }

    fn has_identity(&self, known: &Identity) -> bool {
        if known.by_id.is_empty() {
            self.card == known.card && self.bus == known.bus
        } else {
            self.by_id.iter().any(|id| known.by_id.contains(id))
        }
    }
}

/// Finds the selected camera. If it was open before, finds the same camera again, never another one in its place.
pub(super) fn find(selector: &CameraSelector, known: Option<&Identity>) -> Result<FoundCamera, String> {
    match selector {
        // A device file given by the user may have any path.
        CameraSelector::Path(path) if known.is_none() => probe(path, &Links::read()).ok_or_else(|| path_problem(path)),
        _ => select(scan(), selector, known),
    }
}

/// [`find`] among the cameras in `all`.
fn select(
    mut all: Vec<FoundCamera>,
    selector: &CameraSelector,
    known: Option<&Identity>,
) -> Result<FoundCamera, String> {
    if let Some(known) = known {
        // A camera without a serial number is not recognised on another port, but its name may still select it.
        let same = |found: &FoundCamera| found.has_identity(known);
        if let Some(at) = all.iter().position(same) {
            return Ok(all.swap_remove(at));
        }
        if matches!(selector, CameraSelector::Path(_)) {
            return Err("it is not plugged in".into());
        }
        all.retain(|found| found.card == known.card);
    }
    let CameraSelector::Id(id) = selector else { return Err("it is not plugged in".into()) };
    let exact = |found: &&FoundCamera| found.ids().iter().any(|i| i == id) || found.card == *id;
    let wanted = id.to_lowercase();
    let part = |found: &&FoundCamera| {
        found.ids().iter().chain([&found.card]).any(|name| name.to_lowercase().contains(&wanted)) && !wanted.is_empty()
    };
    let exactly: Vec<&FoundCamera> = all.iter().filter(exact).collect();
    let matching = if exactly.is_empty() { all.iter().filter(part).collect() } else { exactly };
    match matching[..] {
        [one] => Ok(one.clone()),
        [] => Err(format!("there is no camera {id:?}; see `bike-edge camera list`")),
        _ => {
            let names: Vec<_> = matching.iter().map(|f| f.ids().into_iter().next().unwrap_or_default()).collect();
            Err(format!("{id:?} fits {} cameras: {}; give more of the name", matching.len(), names.join(", ")))
        }
    }
}

/// Why there is no usable camera at `path`.
fn path_problem(path: &Path) -> String {
    match DeviceNode::open(path, Api::SinglePlanar) {
        Ok(_) => "is not a camera: it does not capture video; see `bike-edge camera list`".into(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            "there is no such device; see `bike-edge camera list`".into()
        }
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            "permission denied; add the user to the group video: sudo usermod -aG video $USER".into()
        }
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => "it is not plugged in".into(),
        Err(e) => format!("cannot be opened: {e}"),
    }
}

/// The links to device files that udev makes.
struct Links {
    by_id: Vec<(PathBuf, String)>,
    by_path: Vec<(PathBuf, String)>,
}

impl Links {
    fn read() -> Self {
        let links = |folder: &str| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_DEVICES);
            let mut links: Vec<_> = entries
                .filter_map(|entry| Some((fs::canonicalize(entry.path()).ok()?, entry.file_name().into_string().ok()?)))
                .collect();
            links.sort();
            links
        };
        Self { by_id: links("/dev/v4l/by-id"), by_path: links("/dev/v4l/by-path") }
    }

    fn of(links: &[(PathBuf, String)], path: &Path) -> Vec<String> {
        links.iter().filter(|(target, _)| target == path).map(|(_, name)| name.clone()).collect()
    }
}

/// Lists the cameras by number.
fn scan() -> Vec<FoundCamera> {
    let links = Links::read();
    devices().iter().filter_map(|path| probe(path, &links)).collect()
}

/// Lists the device files by number.
fn devices() -> Vec<PathBuf> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let paths = fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
    let devices: BTreeSet<(u32, PathBuf)> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    devices.into_iter().take(MAX_DEVICES).map(|(_, path)| path).collect()
}

/// Examines the camera at `path`; `None` if there is none that can be opened.
fn probe(path: &Path, links: &Links) -> Option<FoundCamera> {
    let node = DeviceNode::open(path, Api::SinglePlanar).ok()?;
    let mut capability = v4l2_capability::zeroed();
    node.call(vidioc::VIDIOC_QUERYCAP, &mut capability).ok()?;
    let api = Api::of(capability.device_caps)?;
    let real = fs::canonicalize(path).ok()?;
    Some(FoundCamera {
        card: text(&capability.card),
        driver: text(&capability.driver),
        bus: text(&capability.bus_info),
        by_id: Links::of(&links.by_id, &real),
        by_path: Links::of(&links.by_path, &real),
        path: real,
        api,
    })
}

/// Lists the cameras of this machine and their modes.
///
/// # Errors
/// If there are device files but none of them may be opened. Having no cameras is not an error.
pub fn list_cameras() -> Result<Vec<CameraInfo>> {
    let found = scan();
    if found.is_empty()
        && let Some(path) = devices().first()
        && let Err(e) = DeviceNode::open(path, Api::SinglePlanar)
        && e.kind() == std::io::ErrorKind::PermissionDenied
    {
        return Err(Error::input(path.display().to_string(), path_problem(path)));
    }
    Ok(found.into_iter().map(describe).collect())
}

fn describe(found: FoundCamera) -> CameraInfo {
    let (modes, other_formats) = match DeviceNode::open(&found.path, found.api) {
        Ok(node) => list_modes(&node),
        Err(_) => (Vec::new(), Vec::new()),
    };
    let problem = modes.is_empty().then(|| "offers no supported format".to_owned());
    CameraInfo {
        ids: found.ids(),
        device: found.path,
        name: found.card,
        driver: found.driver,
        modes,
        other_formats,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: u32, card: &str, bus: &str, by_id: &[&str]) -> FoundCamera {
        FoundCamera {
            path: format!("/dev/video{number}").into(),
            card: card.into(),
            driver: "uvcvideo".into(),
            bus: bus.into(),
            by_id: by_id.iter().map(|id| (*id).to_owned()).collect(),
            by_path: Vec::new(),
            api: Api::SinglePlanar,
        }
    }

    fn number(found: Result<FoundCamera, String>) -> Result<String, String> {
        found.map(|found| found.path.display().to_string())
    }

    #[test]
    fn a_camera_is_found_by_its_names_and_their_parts() {
        let all = || {
            vec![
                found(0, "HD Webcam", "usb-1.1", &["usb-Acme_HD_Webcam_AB12-video-index0"]),
                found(2, "HD Webcam", "usb-1.2", &["usb-Acme_HD_Webcam_CD34-video-index0"]),
            ]
        };
        let by = |id: &str| number(select(all(), &CameraSelector::new(id), None));
        assert_eq!(by("camera:usb-Acme_HD_Webcam_CD34-video-index0"), Ok("/dev/video2".into()));
        assert_eq!(by("camera:ab12"), Ok("/dev/video0".into()));
        assert_eq!(by("camera:usb-1.2"), Ok("/dev/video2".into()));
        assert!(by("camera:webcam").expect_err("two").contains("fits 2 cameras"));
        assert!(by("camera:zz").expect_err("none").contains("camera list"));
        assert!(by("camera:").is_err());
    }

    #[test]
    fn a_camera_is_found_again_under_another_number_and_never_replaced() {
        let first = found(0, "HD Webcam", "usb-1.1", &["usb-Acme_AB12"]);
        let known = first.identity();
        let again = |all: Vec<FoundCamera>, name: &str| number(select(all, &CameraSelector::new(name), Some(&known)));
        let other = found(0, "Other", "usb-1.1", &["usb-Other"]);
        let moved = found(3, "HD Webcam", "usb-2.4", &["usb-Acme_AB12"]);
        assert_eq!(again(vec![other.clone(), moved.clone()], "/dev/video0"), Ok("/dev/video3".into()));
        assert_eq!(again(vec![other.clone(), moved], "camera:AB12"), Ok("/dev/video3".into()));
        assert_eq!(again(vec![other.clone()], "/dev/video0"), Err("it is not plugged in".into()));
        assert!(
            again(vec![other], "camera:usb-1.1").is_err(),
            "another camera on the same port is not the same camera"
        );
    }

    #[test]
    fn without_a_serial_number_the_port_identifies_a_camera() {
        let known = found(0, "CSI", "platform:csi0", &[]).identity();
        let twin = found(0, "CSI", "platform:csi1", &[]);
        let same = found(1, "CSI", "platform:csi0", &[]);
        let again = number(select(vec![twin.clone(), same], &CameraSelector::new("/dev/video0"), Some(&known)));
        assert_eq!(again, Ok("/dev/video1".into()));
        assert!(select(vec![twin], &CameraSelector::new("/dev/video0"), Some(&known)).is_err());
    }
}
