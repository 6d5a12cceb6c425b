//! What is wished for of a camera.

use crate::cli::args::CameraArgs;
use crate::error::Result;
use crate::source::{CameraWish, LiveOptions, SourceOptions};

/// How live sources are opened: the flags for cameras, beside those for every source.
///
/// # Errors
/// [`crate::Error::Usage`] naming the flag.
pub fn live_options(args: &CameraArgs, source: &SourceOptions) -> Result<LiveOptions> {
    let camera = CameraWish::parse(args.camera_format.as_deref(), args.camera_size.as_deref(), args.camera_fps)?;
    Ok(LiveOptions { source: source.clone(), camera, awaited: false })
}
