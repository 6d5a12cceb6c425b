//! Which cameras there are, and the one that is meant, under whatever number it comes up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use v4l::v4l_sys::v4l2_capability;
use v4l::v4l2::vidioc;

use super::dialect::Dialect;
use super::info::CameraInfo;
use super::modes::modes;
use super::node::{Node, Plain, text};
use crate::{Error, Result};

/// Most device files that are looked at.
const MOST_DEVICES: usize = 256;

/// What was named.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    Path(PathBuf),
    Id(String),
}

impl Asked {
    /// `camera:ID` or a device file.
    pub fn new(text: &str) -> Self {
        match text.strip_prefix("camera:") {
            Some(id) => Self::Id(id.into()),
            None => Self::Path(text.into()),
        }
    }
}

/// A camera that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub path: PathBuf,
    pub card: String,
    pub driver: String,
    /// Where it is plugged in.
    pub bus: String,
    /// Names below /dev/v4l/by-id, which hold the serial number where the camera has one.
    pub by_id: Vec<String>,
    /// Names below /dev/v4l/by-path, which say where it is plugged in.
    pub by_path: Vec<String>,
    /// How its driver is spoken to.
    pub dialect: Dialect,
}

/// What a camera is known by once it was open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    card: String,
    bus: String,
    by_id: Vec<String>,
}

impl Found {
    pub fn known(&self) -> Known {
        Known { card: self.card.clone(), bus: self.bus.clone(), by_id: self.by_id.clone() }
    }

    /// Names that stay, best first.
    fn ids(&self) -> Vec<String> {
        let bus = (!self.bus.is_empty()).then(|| self.bus.clone());
        self.by_id.iter().chain(&self.by_path).cloned().chain(bus).collect()
    }

    fn is(&self, known: &Known) -> bool {
        if known.by_id.is_empty() {
            self.card == known.card && self.bus == known.bus
        } else {
            self.by_id.iter().any(|id| known.by_id.contains(id))
        }
    }
}

/// The camera that is meant: the one that was open before where there was one, never another in its place.
pub(super) fn find(asked: &Asked, known: Option<&Known>) -> Result<Found, String> {
    let found = match asked {
        // Named by its file, it need not be among the usual ones.
        Asked::Path(path) if known.is_none() => {
            return look(path, &Links::read()).ok_or_else(|| path_problem(path));
        }
        _ => pick(scan(), asked, known)?,
    };
    Ok(found)
}

/// [`find`] among those that are there.
fn pick(mut all: Vec<Found>, asked: &Asked, known: Option<&Known>) -> Result<Found, String> {
    if let Some(known) = known {
        // The same camera on another port has another bus, but is still what the name says.
        let same = |found: &Found| found.is(known);
        if let Some(at) = all.iter().position(same) {
            return Ok(all.swap_remove(at));
        }
        if matches!(asked, Asked::Path(_)) {
            return Err("it is not plugged in".into());
        }
        all.retain(|found| found.card == known.card);
    }
    let Asked::Id(id) = asked else { return Err("it is not plugged in".into()) };
    let exact = |found: &&Found| found.ids().iter().any(|i| i == id) || found.card == *id;
    let wanted = id.to_lowercase();
    let part = |found: &&Found| {
        found.ids().iter().chain([&found.card]).any(|name| name.to_lowercase().contains(&wanted)) && !wanted.is_empty()
    };
    let exactly: Vec<&Found> = all.iter().filter(exact).collect();
    let fitting = if exactly.is_empty() { all.iter().filter(part).collect() } else { exactly };
    match fitting[..] {
        [one] => Ok(one.clone()),
        [] => Err(format!("there is no camera {id:?} now; `bike-edge camera list` says what there is")),
        _ => {
            let names: Vec<_> = fitting.iter().map(|f| f.ids().into_iter().next().unwrap_or_default()).collect();
            Err(format!("{id:?} fits {} cameras: {}; give more of the name", fitting.len(), names.join(", ")))
        }
    }
}

fn path_problem(path: &Path) -> String {
    match Node::open(path, Dialect::SinglePlanar) {
        Ok(_) => "is no camera: it does not capture video; `bike-edge camera list` says which do".into(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            "there is no such device; `bike-edge camera list` says what there is".into()
        }
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            "may not be opened by this user; add the user to the group video: sudo usermod -aG video $USER".into()
        }
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => "it is not plugged in".into(),
        Err(e) => format!("cannot be opened: {e}"),
    }
}

/// Links that udev makes to device files.
struct Links {
    by_id: Vec<(PathBuf, String)>,
    by_path: Vec<(PathBuf, String)>,
}

impl Links {
    fn read() -> Self {
        let links = |folder: &str| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_DEVICES);
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

/// The cameras that are there, by number.
fn scan() -> Vec<Found> {
    let links = Links::read();
    devices().iter().filter_map(|path| look(path, &links)).collect()
}

fn devices() -> Vec<PathBuf> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let paths = fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
    let devices: BTreeSet<(u32, PathBuf)> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    devices.into_iter().take(MOST_DEVICES).map(|(_, path)| path).collect()
}

/// The camera at `path`; `None` where there is none that can be opened.
fn look(path: &Path, links: &Links) -> Option<Found> {
    let node = Node::open(path, Dialect::SinglePlanar).ok()?;
    let mut told = v4l2_capability::zeroed();
    node.call(vidioc::VIDIOC_QUERYCAP, &mut told).ok()?;
    let dialect = Dialect::of(told.device_caps)?;
    let real = fs::canonicalize(path).ok()?;
    Some(Found {
        card: text(&told.card),
        driver: text(&told.driver),
        bus: text(&told.bus_info),
        by_id: Links::of(&links.by_id, &real),
        by_path: Links::of(&links.by_path, &real),
        path: real,
        dialect,
    })
}

/// The cameras there are, and what they offer.
///
/// # Errors
/// None where there are simply no cameras; where there are some and not one may be opened.
pub fn list() -> Result<Vec<CameraInfo>> {
    let found = scan();
    if found.is_empty()
        && let Some(path) = devices().first()
        && let Err(e) = Node::open(path, Dialect::SinglePlanar)
        && e.kind() == std::io::ErrorKind::PermissionDenied
    {
        return Err(Error::input(path.display().to_string(), path_problem(path)));
    }
    Ok(found.into_iter().map(describe).collect())
}

fn describe(found: Found) -> CameraInfo {
    let (modes, other_formats) = match Node::open(&found.path, found.dialect) {
        Ok(node) => modes(&node),
        Err(_) => (Vec::new(), Vec::new()),
    };
    let problem = modes.is_empty().then(|| "offers no format that is read here".to_owned());
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

    fn found(number: u32, card: &str, bus: &str, by_id: &[&str]) -> Found {
        Found {
            path: format!("/dev/video{number}").into(),
            card: card.into(),
            driver: "uvcvideo".into(),
            bus: bus.into(),
            by_id: by_id.iter().map(|id| (*id).to_owned()).collect(),
            by_path: Vec::new(),
            dialect: Dialect::SinglePlanar,
        }
    }

    fn number(found: Result<Found, String>) -> Result<String, String> {
        found.map(|found| found.path.display().to_string())
    }

    #[test]
    fn a_camera_is_found_by_its_names_and_parts_of_them() {
        let all = || {
            vec![
                found(0, "HD Webcam", "usb-1.1", &["usb-Acme_HD_Webcam_AB12-video-index0"]),
                found(2, "HD Webcam", "usb-1.2", &["usb-Acme_HD_Webcam_CD34-video-index0"]),
            ]
        };
        let by = |id: &str| number(pick(all(), &Asked::new(id), None));
        assert_eq!(by("camera:usb-Acme_HD_Webcam_CD34-video-index0"), Ok("/dev/video2".into()));
        assert_eq!(by("camera:ab12"), Ok("/dev/video0".into()));
        assert_eq!(by("camera:usb-1.2"), Ok("/dev/video2".into()));
        assert!(by("camera:webcam").expect_err("two").contains("fits 2 cameras"));
        assert!(by("camera:zz").expect_err("none").contains("camera list"));
        assert!(by("camera:").is_err());
    }

    #[test]
    fn a_camera_is_found_again_under_another_number_and_never_swapped() {
        let first = found(0, "HD Webcam", "usb-1.1", &["usb-Acme_AB12"]);
        let known = first.known();
        let again = |all: Vec<Found>, asked: &str| number(pick(all, &Asked::new(asked), Some(&known)));
        let other = found(0, "Other", "usb-1.1", &["usb-Other"]);
        let moved = found(3, "HD Webcam", "usb-2.4", &["usb-Acme_AB12"]);
        assert_eq!(again(vec![other.clone(), moved.clone()], "/dev/video0"), Ok("/dev/video3".into()));
        assert_eq!(again(vec![other.clone(), moved], "camera:AB12"), Ok("/dev/video3".into()));
        assert_eq!(again(vec![other.clone()], "/dev/video0"), Err("it is not plugged in".into()));
        assert!(again(vec![other], "camera:usb-1.1").is_err(), "another camera on the same port is not the one meant");
    }

    #[test]
    fn without_a_serial_number_the_port_counts() {
        let known = found(0, "CSI", "platform:csi0", &[]).known();
        let twin = found(0, "CSI", "platform:csi1", &[]);
        let same = found(1, "CSI", "platform:csi0", &[]);
        let again = number(pick(vec![twin.clone(), same], &Asked::new("/dev/video0"), Some(&known)));
        assert_eq!(again, Ok("/dev/video1".into()));
        assert!(pick(vec![twin], &Asked::new("/dev/video0"), Some(&known)).is_err());
    }
}
