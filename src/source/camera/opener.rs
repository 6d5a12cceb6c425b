//! Opens a camera, and opens it again.

use std::ffi::OsStr;
use std::time::Duration;

use super::capture::Camera;
use super::choose::Ask;
use super::find::{self, Asked, Known};
use super::wish::CameraWish;
use crate::source::SourceOptions;
use crate::source::live::keeper::{Device, Fault, Keeping, Open};
use crate::{Error, Result};

pub use super::find::list;

/// A camera that gives nothing for so long is opened again, unless less was asked for.
const SILENCE_S: f64 = 5.0;

/// What opens the camera that `input` names, again and again, always the same one in the same size.
///
/// # Errors
/// A name that no camera can have.
pub fn open(input: &OsStr, name: String, wish: &CameraWish, options: &SourceOptions) -> Result<(Keeping, Open)> {
    let asked = input.to_str().ok_or_else(|| Error::input(&name, "is no name that a camera can have"))?;
    let (asked, matrix, wish) = (Asked::new(asked), options.matrix, wish.clone());
    let mut known: Option<(Known, Ask<'static>)> = None;
    let open: Open = Box::new(move || {
        let found = find::find(&asked, known.as_ref().map(|(known, _)| known)).map_err(Fault::Lost)?;
        if let Some((_, again)) = &known {
            let camera = Camera::open(&found, again, matrix).map_err(|fault| match fault {
                // What it gave before it may give again: another program, or its own start, may be in the way now.
                Fault::Refused(e) => Fault::Lost(e.to_string()),
                fault => fault,
            })?;
            return Ok(Box::new(camera) as Box<dyn Device>);
        }
        let camera = Camera::open(&found, &Ask::Wish(&wish), matrix)?;
        log::info!("{}: {} at {}", found.card, camera.mode(), found.path.display());
        known = Some((found.known(), camera.again()));
        Ok(Box::new(camera) as Box<dyn Device>)
    });
    let silence = Duration::try_from_secs_f64(options.io_timeout_s.min(SILENCE_S)).unwrap_or(Duration::from_secs(5));
    Ok((Keeping { name, silence, ..Keeping::default() }, open))
}
