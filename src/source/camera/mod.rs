//! Cameras that Linux drives (V4L2): USB cameras, capture cards, and CSI cameras where a driver shows them as such.
//!
//! A camera is named by its device file (`/dev/video0`) or, better, by what stays the same when it is plugged in again
//! (`camera:ID`, see [`list`]). It is opened in the smallest mode that is large enough, or in the one wished for, read
//! in a thread of its own, and opened again when it is lost, under whatever number it comes back.
//!
//! The `v4l` crate gives the kernel's structures and calls. Its stream is not used: after a time-out it queues a buffer
//! that the kernel still owns, it cannot pass on to the newest frame, and it panics where a camera goes at a bad moment.

mod capture;
mod choose;
mod coding;
mod find;
mod modes;
mod node;

use std::time::Duration;

pub use choose::CameraWish;
pub use find::{CameraInfo, list};
pub use modes::{ModeInfo, SizeInfo};

use super::SourceOptions;
use super::live::keeper::{Device, Fault, Keeping, Open};
use crate::{Error, Result};
use find::{Asked, Known};

/// A camera that gives nothing for so long is opened again, unless less was asked for.
const SILENCE_S: f64 = 5.0;

/// What opens the camera that `asked` names, again and again, always the same one in the same size.
pub(super) fn opener(asked: &str, wish: &CameraWish, options: &SourceOptions) -> Open {
    let (asked, matrix, mut wish) = (Asked::new(asked), options.matrix, wish.clone());
    let mut known: Option<Known> = None;
    Box::new(move || {
        let found = find::find(&asked, known.as_ref()).map_err(Fault::Lost)?;
        let first = known.is_none();
        let camera = capture::Camera::open(&found, &wish, matrix).map_err(|fault| match fault {
            // What is wished for and not to be had will not be had later either.
            Fault::Refused(e) if !first => Fault::Lost(e.to_string()),
            fault => fault,
        })?;
        if first {
            log::info!("{}: {} at {}", found.card, camera.mode(), found.path.display());
            // Masks and regions are in pixels of this size.
            wish.size = Some(camera.size());
            known = Some(found.known());
        }
        Ok(Box::new(camera) as Box<dyn Device>)
    })
}

/// How a camera is kept open.
pub(super) fn keeping(name: String, options: &SourceOptions) -> Result<Keeping> {
    let silence = Duration::try_from_secs_f64(options.io_timeout_s.min(SILENCE_S))
        .map_err(|_| Error::Usage(format!("--io-timeout {}: give seconds, from 0.1 to 86400", options.io_timeout_s)))?;
    Ok(Keeping { name, silence, ..Keeping::default() })
}
