//! Where frames come from: recorded clips, streams and live sources.
//!
//! The format of an input is detected from its content, not from its name. A [`Clip`] ([`open_clip`]) is recorded and
//! its frames can be read in any order. A [`Stream`] ([`open_stream`]) only moves forward, at the pace of its reader. A
//! [`Live`] source ([`open_live`]: cameras, pipes and URLs) runs at its own pace, and frames that are not taken in time
//! are dropped.
//!
//! A [`Frame`] borrows the picture from its decoder, so that only sampled frames are converted.

mod live;
mod open;
mod recorded;
mod timeline;
mod transform;
mod wait;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use live::{
    CameraFormat, CameraInfo, CaptureRequest, FrameSize, Live, LiveCounts, LiveOptions, LiveUpdate, Loss, ModeInfo,
    SizeInfo, is_camera, list_cameras, open_live,
};
pub use open::{decoded_formats, open_clip, open_stream};
pub use recorded::find_ffmpeg;
#[cfg(fuzzing)]
pub use recorded::fuzz_ffmpeg_log;
#[cfg(all(fuzzing, feature = "h264"))]
pub use recorded::fuzz_h264;

use crate::picture::{Matrix, Picture, PictureTransform};
use crate::units::{ByteSize, Rate, Seconds};
use crate::{Error, Result};

/// Default of [`ReadSpec::timeout_s`].
const DEFAULT_TIMEOUT_S: f64 = 10.0;
/// Default of [`ReadSpec::spool_limit`].
const DEFAULT_SPOOL_LIMIT: ByteSize = ByteSize::new(1 << 30);
/// Default of [`SourceOptions::stills_rate`].
const DEFAULT_STILLS_RATE: Rate = Rate { num: 25, den: 1 };

/// How inputs are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadSpec {
    /// Seconds without data or a frame after which a pipe or `ffmpeg` is abandoned, and a live source is reopened; 0.1
    /// to 86400. V4L2 cameras are reopened after at most 5 s.
    pub timeout_s: f64,
    /// Maximum size of the temporary file for a clip from a pipe.
    pub spool_limit: ByteSize,
    /// The matrix from YUV to RGB, instead of the one that the source specifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
}

impl Default for ReadSpec {
    fn default() -> Self {
        Self { timeout_s: DEFAULT_TIMEOUT_S, spool_limit: DEFAULT_SPOOL_LIMIT, matrix: None }
    }
}

impl ReadSpec {
    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Setting`] of `timeout_s`.
    pub fn check(&self) -> Result<()> {
        if (0.1..=86_400.0).contains(&self.timeout_s) {
            return Ok(());
        }
        Err(Error::setting(
            "timeout_s",
            format!("{} is out of range", self.timeout_s),
            "give seconds from 0.1 to 86400",
        ))
    }
}

/// How inputs are opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceOptions {
    /// How the input is read.
    pub read: ReadSpec,
    /// Masks and rotation.
    pub transform: PictureTransform,
    /// The `ffmpeg` program, which reads all other formats; `None` searches `PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<PathBuf>,
    /// Frame rate of a folder of stills, which contains no times.
    pub stills_rate: Rate,
}

impl Default for SourceOptions {
    fn default() -> Self {
        let (read, transform) = (ReadSpec::default(), PictureTransform::default());
        Self { read, transform, ffmpeg: None, stills_rate: DEFAULT_STILLS_RATE }
    }
}

impl SourceOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Setting`] of the key that is out of range.
    pub fn check(&self) -> Result<()> {
        self.read.check()?;
        self.transform.check()
    }
}

/// One frame of a clip or stream.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// 0-based, in display order, counting every frame of the source.
    pub index: u64,
    /// Stream time.
    pub time: Seconds,
    /// The picture.
    pub picture: Picture<'a>,
}

/// Properties of an input that are found without decoding it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClipInfo {
    /// The format as readable text, such as "H.264 in MP4".
    pub format: String,
    /// Width in pixels after rotation; 0 if unknown before the first frame.
    pub width: u32,
    /// Height in pixels after rotation; 0 if unknown before the first frame.
    pub height: u32,
    /// Frames per second, nominal or on average.
    pub fps: Option<f64>,
    /// From the time of the first frame to the end of the last one.
    pub duration_s: Option<Seconds>,
}

/// How a [`Clip::visit`] ended.
#[must_use = "after `CountChanged` the visited frames were chosen from a wrong count"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitOutcome {
    /// Every wanted frame was visited.
    Done,
    /// The clip is damaged in a way that its container does not show. Its frames have been counted again by decoding
    /// all of them: [`Clip::frame_count`] now returns the true count, and frames must be chosen again.
    CountChanged,
}

/// A recorded clip.
pub trait Clip {
    /// The clip's properties.
    fn info(&self) -> &ClipInfo;
    /// Number of decodable frames. The count of an intact container is trusted until [`Clip::visit`] finds that it is
    /// wrong.
    ///
    /// # Errors
    /// A clip that cannot be read, or has no decodable frame.
    fn frame_count(&mut self) -> Result<u64>;
    /// Calls `visit` with each wanted frame, in display order; `wanted` is sorted, unique and below
    /// [`Clip::frame_count`]. The end of the clip, where recordings are often damaged, is checked too. A second call
    /// after [`VisitOutcome::CountChanged`] visits every wanted frame.
    ///
    /// # Errors
    /// A clip that cannot be read, and the errors of `visit`.
    fn visit(&mut self, wanted: &[u64], visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<VisitOutcome>;
    /// What was lost, one sentence each.
    fn warnings(&self) -> &[String];
}

/// Frames in display order, read once.
pub trait Stream {
    /// The stream's properties.
    fn info(&self) -> &ClipInfo;
    /// Returns the next frame whose time is at or after `t` (within half a millisecond); `None` at the end. Each call
    /// advances by at least one frame. Frames before it are not converted, and not decoded if the format allows.
    ///
    /// # Errors
    /// A stream that cannot be read.
    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>>;
    /// What was lost so far, one sentence each.
    fn warnings(&self) -> &[String];
}

impl<S: Stream + ?Sized> Stream for &mut S {
    fn info(&self) -> &ClipInfo {
        (**self).info()
    }

    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>> {
        (**self).first_at_or_after(t)
    }

    fn warnings(&self) -> &[String] {
        (**self).warnings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_configured_in_toml() {
        let read: ReadSpec =
            toml::from_str("timeout_s = 2.5\nspool_limit = \"512M\"\nmatrix = \"bt709\"").expect("settings");
        let spool_limit = ByteSize::new(512 << 20);
        assert_eq!(read, ReadSpec { timeout_s: 2.5, spool_limit, matrix: Some(Matrix::Bt709) });
        assert_eq!(toml::from_str::<ReadSpec>("").expect("the default"), ReadSpec::default());
        for wrong in ["timeout_s = \"10\"", "spool_limit = \"much\"", "matrix = \"bt470\"", "timeout = 1.0"] {
            assert!(toml::from_str::<ReadSpec>(wrong).is_err(), "{wrong}");
        }
        let options: SourceOptions =
            toml::from_str("stills_rate = \"30000/1001\"\nread.timeout_s = 3.0\ntransform.rotate = 180")
                .expect("options");
        assert_eq!((options.stills_rate.num, options.read.timeout_s), (30000, 3.0));
    }

    #[test]
    fn a_timeout_out_of_range_is_refused() {
        for timeout_s in [0.0, -1.0, 0.05, 86_401.0, f64::NAN, f64::INFINITY] {
            let options = SourceOptions { read: ReadSpec { timeout_s, ..ReadSpec::default() }, ..Default::default() };
            assert!(options.check().expect_err("refused").to_string().starts_with("timeout_s: "), "{timeout_s}");
        }
        assert!(SourceOptions::default().check().is_ok());
    }
}
