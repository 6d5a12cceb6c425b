//! Live sources: cameras, and pipes and URLs that are read live.
//!
//! A [`super::Stream`] waits for its reader; a [`Live`] source does not. Frames that are not taken in time are dropped and
//! counted, so that the frame returned is always the newest one. A lost source is reopened by itself, with back-off; its
//! reader is informed once of the loss, and receives frames again when the source is back.

mod pipe;
mod raw_frame;
mod reconnect;
mod v4l2;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use v4l2::{CameraFormat, CameraInfo, CaptureRequest, ModeInfo, SizeInfo, list_cameras};

use self::reconnect::{ReconnectSpec, ReconnectingSource};
use super::open::name_of;
use super::{ClipInfo, Frame, SourceOptions};
use crate::Result;
use crate::picture::ViewPainter;
use crate::units::Seconds;

/// How live sources are opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveOptions {
    /// Options of all sources.
    pub source: SourceOptions,
    /// The requested mode of a camera.
    pub capture: CaptureRequest,
    /// Waits for a source that is not available yet, instead of failing.
    pub wait_for_source: bool,
}

impl LiveOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] of the key that is out of range.
    pub fn check(&self) -> Result<()> {
        self.source.check()?;
        self.capture.check()
    }
}

/// A source that runs at its own pace. Frames that are not taken in time are dropped and counted.
pub trait Live: Send {
    /// The source's properties. They may change when a lost source comes back.
    fn info(&self) -> &ClipInfo;

    /// Waits at most `wait` for the newest frame that was not returned yet; older frames are dropped and counted. Frames
    /// before the time `from` (within half a millisecond) are skipped without decoding, and counted separately. With 0 every
    /// frame is taken.
    ///
    /// A frame's time is in seconds since the first frame, by the driver's clock or this machine's monotonic clock; it
    /// continues over losses and never goes back. A frame's index counts every captured frame, including dropped ones.
    ///
    /// # Errors
    /// A failure that waiting cannot fix, such as a picture of an invalid size. Losses are [`LiveUpdate::Lost`].
    fn newest(&mut self, from: Seconds, wait: Duration) -> Result<LiveUpdate<'_>>;

    /// Counts of frames and losses since the source was opened.
    fn counts(&self) -> LiveCounts;
}

/// The result of [`Live::newest`].
#[derive(Debug)]
pub enum LiveUpdate<'a> {
    /// The newest frame.
    Frame(Frame<'a>),
    /// No new frame within the wait: the source is slow, or still lost.
    NoFrame,
    /// The source was lost and is being reopened. Returned once per loss.
    Lost(Loss),
    /// There will be no more frames.
    Ended,
}

/// Why a source was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What happened, without credentials.
    pub reason: String,
    /// Time until the first attempt to reopen it.
    pub retry_in: Duration,
}

/// Counts of a source's frames and losses since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LiveCounts {
    /// Captured frames, usable or not.
    pub captured: u64,
    /// Frames from before the requested time.
    pub passed: u64,
    /// Usable frames that were not taken in time, and frames that the driver reports as dropped.
    pub dropped: u64,
    /// Frames that the driver marked as damaged, or that could not be decoded.
    pub corrupt: u64,
    /// Frames with fewer bytes than their size needs.
    pub short: u64,
    /// Losses because no frame arrived for too long.
    pub timeouts: u64,
    /// How often the source came back after a loss.
    pub reconnects: u64,
}

impl std::ops::AddAssign for LiveCounts {
    fn add_assign(&mut self, other: Self) {
        self.captured += other.captured;
        self.passed += other.passed;
        self.dropped += other.dropped;
        self.corrupt += other.corrupt;
        self.short += other.short;
        self.timeouts += other.timeouts;
        self.reconnects += other.reconnects;
    }
}

/// True if `input` names a camera: `camera:ID` or a device file.
pub fn is_camera(input: &OsStr) -> bool {
    match input.to_str() {
        Some(text) if text.starts_with("camera:") => true,
        _ => is_device(Path::new(input)),
    }
}

#[cfg(unix)]
fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let named = path.to_str().is_some_and(|path| path.starts_with("/dev/video") || path.starts_with("/dev/v4l/"));
    // The device file of an unplugged camera does not exist.
    named
        || std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_char_device())
            && path != Path::new("/dev/stdin")
}

#[cfg(not(unix))]
fn is_device(_: &Path) -> bool {
    false
}

/// Opens a camera, or reads a pipe or a URL live: `-`, a named pipe, `rtsp://...`.
///
/// # Errors
/// A source that cannot be opened now, unless [`LiveOptions::wait_for_source`] is set; files, which are not live;
/// [`crate::Error::Setting`] for options out of range.
pub fn open_live(input: &OsStr, options: &LiveOptions) -> Result<Box<dyn Live>> {
    options.check()?;
    let name = name_of(input);
    let painter = ViewPainter::new(options.source.view.clone());
    let (spec, open) = if is_camera(input) {
        v4l2::camera(input, name, &options.capture, &options.source)?
    } else {
        pipe::pipe_or_url(input, name, options)?
    };
    let spec = ReconnectSpec { wait_for_source: options.wait_for_source, ..spec };
    Ok(Box::new(ReconnectingSource::start(spec, open, painter)?))
}
