//! What is wished for of a camera.

use clap::Args;

/// What is wished for of a camera.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Camera")]
pub struct CameraArgs {
    /// Pixel format: mjpeg, yuyv, nv12, yu12, rgb3 or bgr3. [default: what costs least]
    #[arg(long, value_name = "FORMAT")]
    pub camera_format: Option<String>,

    /// Picture size. [default: the smallest of at least 480 lines]
    #[arg(long, value_name = "WxH")]
    pub camera_size: Option<String>,

    /// Frames a second. [default: the lowest rate from 15 on]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub camera_fps: Option<f64>,
}
