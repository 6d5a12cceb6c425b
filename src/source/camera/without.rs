//! What is said of cameras where this build does not read them.

use std::ffi::OsStr;

use super::info::CameraInfo;
use super::wish::CameraWish;
use crate::source::SourceOptions;
use crate::source::live::keeper::{Keeping, Open};
use crate::{Error, Result};

/// Refuses.
pub fn open(_: &OsStr, name: String, _: &CameraWish, _: &SourceOptions) -> Result<(Keeping, Open)> {
    let problem =
        "is a camera, which this build does not read (it takes Linux and the feature `camera`); pipe it in by ffmpeg";
    Err(Error::input(name, problem))
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn list() -> Result<Vec<CameraInfo>> {
    Err(Error::Usage("this build does not read cameras (it takes Linux and the feature `camera`)".into()))
}
