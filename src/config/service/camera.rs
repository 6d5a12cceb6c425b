//! One camera of the configuration.

use std::path::PathBuf;

use super::file::{CameraFile, FitName};
use super::secret::{Address, Credentials};
use crate::preprocess::{Fit, Roi};
use crate::source::{CameraWish, LiveOptions, Mask, Rotation, SourceOptions, View};

/// Where a camera is and how its pictures are seen.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraConfig {
    /// Its name in events, metrics and logs.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// The file that the address was read from.
    pub address_from: Option<PathBuf>,
    /// What is asked of its driver.
    pub wish: CameraWish,
    /// The part of the upright picture that is looked at.
    pub roi: Option<Roi>,
    /// Turned, and with private parts blacked out, before anything else sees the picture.
    pub view: View,
    /// How the picture becomes square.
    pub fit: Fit,
    /// Without a byte or a frame for so long it is opened again, seconds.
    pub timeout_s: f64,
}

impl CameraConfig {
    /// # Errors
    /// The key and what is wrong with it.
    pub(super) fn new(file: &CameraFile, credentials: &Credentials) -> Result<Self, (&'static str, String)> {
        let CameraFile { name, roi, masks, fit, rotate, timeout_s, .. } = file;
        if !is_name(name) {
            let shown = name.escape_debug();
            return Err(("name", format!("`{shown}`: give 1 to 64 letters, digits, and - _ . or spaces within")));
        }
        let (address, address_from) = address(file, credentials)?;
        let mask = |text: &String| text.parse::<Mask>();
        let masks = masks.iter().map(mask).collect::<Result<Vec<_>, _>>().map_err(|e| ("masks", plain(&e)))?;
        let rotate = match rotate {
            0 => Rotation::None,
            90 => Rotation::Quarter,
            180 => Rotation::Half,
            270 => Rotation::ThreeQuarters,
            other => return Err(("rotate", format!("{other}: give 0, 90, 180 or 270 degrees clockwise"))),
        };
        if !(0.1..=3600.0).contains(timeout_s) {
            return Err(("timeout_s", format!("{timeout_s}: give seconds from 0.1 to 3600")));
        }
        Ok(Self {
            name: name.clone(),
            address,
            address_from,
            wish: wish(file)?,
            roi: roi.as_deref().map(str::parse).transpose().map_err(|e| ("roi", plain(&e)))?,
            view: View { masks, rotate },
            fit: match fit {
                FitName::Crop => Fit::Crop,
                FitName::Pad => Fit::Pad,
                FitName::Stretch => Fit::Stretch,
            },
            timeout_s: *timeout_s,
        })
    }

    /// How its source is opened.
    pub fn options(&self) -> LiveOptions {
        let source =
            SourceOptions { io_timeout_s: self.timeout_s, view: self.view.clone(), ..SourceOptions::default() };
        LiveOptions { source, camera: self.wish.clone(), awaited: true }
    }
}

/// Each key by itself, so that a complaint names the right one.
fn wish(file: &CameraFile) -> Result<CameraWish, (&'static str, String)> {
    CameraWish::parse(file.format.as_deref(), None, None).map_err(|e| ("format", plain(&e)))?;
    CameraWish::parse(None, file.size.as_deref(), None).map_err(|e| ("size", plain(&e)))?;
    CameraWish::parse(file.format.as_deref(), file.size.as_deref(), file.rate).map_err(|e| ("rate", plain(&e)))
}

/// A complaint that was made for the command line, without its flag.
fn plain(error: &crate::Error) -> String {
    let text = error.to_string();
    match text.split_once(' ') {
        Some((flag, rest)) if flag.starts_with("--") => rest.to_owned(),
        _ => text,
    }
}

/// Names stand in file names, metrics and log lines.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    (1..=64).contains(&name.chars().count()) && name.chars().all(fits) && name.trim() == name
}

type Found = (Address, Option<PathBuf>);

fn address(file: &CameraFile, credentials: &Credentials) -> Result<Found, (&'static str, String)> {
    match (&file.source, &file.url_file, &file.url_credential) {
        (Some(source), None, None) if !source.trim().is_empty() => Ok((Address::new(source), None)),
        (None, Some(path), None) => {
            let address = Address::read(path).map_err(|problem| ("url_file", problem))?;
            Ok((address, Some(path.clone())))
        }
        (None, None, Some(name)) => {
            let address = Address::credential(name, credentials).map_err(|problem| ("url_credential", problem))?;
            Ok((address, None))
        }
        _ => Err(("source", "give one of source, url_file and url_credential".into())),
    }
}
