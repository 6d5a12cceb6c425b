//! `camera`: list cameras, test them, take a picture.

mod list;
mod snapshot;
mod test;

use std::ffi::OsStr;
use std::process::ExitCode;

use crate::cli::args::{CameraArgs, CameraCommand};
use crate::config::{PictureSettings, live_options};
use crate::error::{Error, Result};
use crate::source::{Live, open_live};

/// Runs one of the camera commands.
pub fn run(command: &CameraCommand) -> Result<ExitCode> {
    match command {
        CameraCommand::List { json } => list::run(*json),
        CameraCommand::Snapshot { camera, file, force, after, mode, picture } => {
            let settings = PictureSettings::new(picture)?;
            snapshot::run(camera, file, *force, seconds("--after", *after)?, mode, &settings)
        }
        CameraCommand::Test { camera, seconds: time, json, mode, picture } => {
            test::run(camera, seconds("--seconds", *time)?, *json, mode, picture)
        }
    }
}

/// Opens what was named, in the mode that was wished for.
fn open(camera: &OsStr, mode: &CameraArgs, picture: &PictureSettings) -> Result<Box<dyn Live>> {
    open_live(camera, &live_options(mode, &picture.source)?)
}

fn seconds(flag: &str, seconds: f64) -> Result<f64> {
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err(Error::Usage(format!("{flag} {seconds}: give seconds, from 0 to 86400")));
    }
    Ok(seconds)
}
