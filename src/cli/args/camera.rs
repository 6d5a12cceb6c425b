//! `camera`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::capture::CameraArgs;
use super::picture::PictureArgs;

/// `camera`
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  bike-edge camera list
  bike-edge camera test /dev/video0 --seconds 30
  bike-edge camera snapshot camera:046d_C920 hall.png --mask 0,0,200,120

CAMERA is a device file (/dev/video0), camera:ID with an id of `camera list` or a part of it that fits one camera
alone, an address for ffmpeg (rtsp://...), or `-` for y4m through a pipe.")]
pub enum CameraCommand {
    /// Say which cameras there are and what they offer.
    List {
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write one picture to a file: what `watch` would see, masks in black.
    Snapshot {
        /// The camera.
        #[arg(value_name = "CAMERA", value_hint = ValueHint::AnyPath)]
        camera: OsString,
        /// The file, .png or .jpg.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the file where there is one.
        #[arg(long)]
        force: bool,
        /// Let the camera set its exposure for so many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0, allow_negative_numbers = true)]
        after: f64,
        /// The camera's mode.
        #[command(flatten)]
        mode: CameraArgs,
        /// The picture; --fit does not apply.
        #[command(flatten)]
        picture: PictureArgs,
    },
    /// Read frames for a while and say how many came, were dropped or damaged.
    Test {
        /// The camera.
        #[arg(value_name = "CAMERA", value_hint = ValueHint::AnyPath)]
        camera: OsString,
        /// For how long.
        #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
        seconds: f64,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
        /// The camera's mode.
        #[command(flatten)]
        mode: CameraArgs,
        /// The picture.
        #[command(flatten)]
        picture: PictureArgs,
    },
}
