//! `watch`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::capture::CameraArgs;
use super::events::EventArgs;
use super::model::ModelArgs;
use super::picture::PictureArgs;

/// `watch`
#[derive(Args, Debug)]
#[command(after_help = "Events: docs/events.md; each is told as new, update and end, with one id.
Ctrl-C and SIGTERM end what goes on, tell it, and stop with exit code 130 or 143; a second one stops at once.
Examples:
  bike-edge watch clip.mp4 --on 0.5 --min-length 3
  bike-edge watch clip.mp4 --categories 'cooking,a kitchen' --background 'a kitchen'
  bike-edge watch clip.mp4 --thresholds thresholds.toml     as `bike-edge calibrate` writes them
  bike-edge watch clip.mp4 --steps                          what the window shows at every step
  ffmpeg -i rtsp://camera/1 -pix_fmt yuv420p -f yuv4mpegpipe - | bike-edge watch - --camera hall --stats")]
pub struct WatchArgs {
    /// A clip, a camera (`/dev/video0`, `camera:ID`), a URL for ffmpeg, or `-` for y4m through a pipe.
    #[arg(value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub input: OsString,

    /// Read a pipe or URL as a camera is read: the newest frame counts, late ones are dropped, a URL that breaks off is
    /// opened again.
    #[arg(long)]
    pub live: bool,

    /// Seconds between sampled frames. [default: the bundle's, else 10 / T]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stride: Option<f64>,

    /// The camera's name in events, a part of their ids.
    #[arg(long, value_name = "NAME", default_value = "camera")]
    pub camera: String,

    /// Instead of events, a line for every sampled frame: what the window shows.
    #[arg(long)]
    pub steps: bool,

    /// Answers in a line of --steps.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub top: usize,

    /// Encode every frame, also where the picture has not changed, is dark or of one colour.
    #[arg(long)]
    pub no_gate: bool,

    /// Say on stderr at the end, and every so many seconds if given, what it cost: latency, encoding, CPU, skipped
    /// and dropped frames; one JSON object a line.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub stats: Option<f64>,

    /// Write which frames were sampled to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "sample_at")]
    pub record_trace: Option<PathBuf>,

    /// Sample the frames of a trace that --record-trace wrote, with its times.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "stride")]
    pub sample_at: Option<PathBuf>,

    /// When a category becomes an event.
    #[command(flatten)]
    pub events: EventArgs,

    /// The camera's mode.
    #[command(flatten)]
    pub mode: CameraArgs,

    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// The picture.
    #[command(flatten)]
    pub picture: PictureArgs,
}
