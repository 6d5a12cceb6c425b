//! Where frames come from: recorded clips and streams.
//!
//! A [`Clip`] is recorded and can be asked for any of its frames; a [`Stream`] only moves forward. Both hand
//! out a [`Frame`] that borrows the decoder's own picture, so that nothing is converted that is not sampled.
//!
//! What an input is, is told from its content ([`open_clip`], [`open_stream`]). Each kind is one folder or file:
//! `mp4` (H.264), `gif`, `stills`, `y4m`, and `ffmpeg` for all else. They meet in `recorded`: a kind says how
//! to count its frames and how to move forward through them, and becomes both a clip and a stream there.

pub mod camera;
mod detect;
mod ffmpeg;
mod gif;
mod limits;
mod live;
mod mask;
#[cfg(feature = "h264")]
mod mp4;
mod open;
mod patient;
mod picture;
mod rate;
mod recorded;
mod redact;
pub mod sampling;
mod spool;
mod stills;
mod view;
mod y4m;

use std::path::PathBuf;

pub use camera::CameraWish;
pub use ffmpeg::find_ffmpeg;
pub use live::{Act, FakeCamera, Live, LiveCounts, LiveOptions, Loss, Moment, is_camera, open_live};
pub use mask::Mask;
pub use open::{open_clip, open_stream};
pub use picture::{Frame, Matrix, Picture, Pixels, Rotation, Seconds, Subsampling};
pub use rate::Rate;
pub use redact::redact;
pub use view::View;

use crate::Result;

/// How inputs are opened.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Most bytes of a pipe that are kept in a temporary file when a clip is wanted of it.
    pub spool_limit: u64,
    /// The matrix from YUV to RGB where the user knows better than the file.
    pub matrix: Option<Matrix>,
    /// The `ffmpeg` program for what is not decoded here; `None` looks in `PATH`.
    pub ffmpeg: Option<PathBuf>,
    /// How long to wait for a pipe's next byte, or for `ffmpeg` to hand over a frame.
    pub io_timeout_s: f64,
    /// Frames a second of a folder of stills, which has no times of its own.
    pub stills_rate: Rate,
    /// How pictures are to be seen.
    pub view: View,
}

impl Default for SourceOptions {
    /// 1 GiB of spool, matrices as tagged, `ffmpeg` from `PATH`, 10 s of patience, stills at 25 a second.
    fn default() -> Self {
        Self {
            spool_limit: 1 << 30,
            matrix: None,
            ffmpeg: None,
            io_timeout_s: 10.0,
            stills_rate: Rate { num: 25, den: 1 },
            view: View::default(),
        }
    }
}

/// What is known of an input without decoding it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipInfo {
    /// What it is, for people: "H.264 in MP4".
    pub format: String,
    /// Width in pixels after rotation; 0 where it is not known before the first frame.
    pub width: u32,
    /// Height in pixels after rotation; 0 where it is not known before the first frame.
    pub height: u32,
    /// Frames a second, nominal or on average.
    pub fps: Option<f64>,
    /// From the first frame's time to the last one's end.
    pub duration_s: Option<Seconds>,
}

/// How a [`Clip::visit`] ended.
#[must_use = "after `Recounted` the frames visited were chosen from a wrong count"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Every wanted frame was visited.
    Done,
    /// The clip is damaged where its container does not say so. It has been counted by decoding all of it;
    /// [`Clip::frame_count`] now says the true count, and frames are to be chosen anew.
    Recounted,
}

/// A recorded clip.
pub trait Clip {
    /// What is known of it.
    fn info(&self) -> &ClipInfo;
    /// Decodable frames in display order. Trusts an intact container until [`Clip::visit`] finds it lying.
    fn frame_count(&mut self) -> Result<u64>;
    /// Calls `visit` with each wanted frame, in display order; `wanted` is sorted, unique and below
    /// [`Clip::frame_count`]. The tail of the clip, where recordings break, is checked on the way.
    /// A second `visit` after [`Visit::Recounted`] sees every frame it asks for.
    fn visit(&mut self, wanted: &[u64], visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<Visit>;
    /// What was lost, one sentence each.
    fn warnings(&self) -> &[String];
}

/// Frames in display order, once.
pub trait Stream {
    /// What is known of it.
    fn info(&self) -> &ClipInfo;
    /// The next frame whose time is at or after `t`, half a millisecond of tolerance allowed; `None` at the
    /// end. Each call moves on by at least one frame. Frames before it are not converted, and not decoded
    /// where the format allows.
    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>>;
    /// What was lost so far, one sentence each.
    fn warnings(&self) -> &[String];
}
