//! Live sources: cameras, and pipes and URLs that are read live.
//!
//! A [`super::Stream`] waits for its reader; a [`Live`] source does not. Frames that are not taken in time are dropped
//! and counted, so that the frame returned is always the newest one. A lost source is reopened automatically,
//! with back-off; its reader is informed once of the loss, and receives frames again when the source is back.

mod open;
mod raw_frame;
mod reconnect;
mod v4l2;

use std::time::Duration;

use serde::Serialize;

pub use open::{LiveOptions, is_camera, open_live};
pub use v4l2::{CameraFormat, CameraInfo, CaptureRequest, FrameSize, ModeInfo, SizeInfo, list_cameras};

use super::{ClipInfo, Frame};
use crate::Result;
use crate::units::Seconds;

/// A source that runs at its own pace. Frames that are not taken in time are dropped and counted.
pub trait Live: Send {
    /// The source's properties. They may change when a lost source comes back.
    fn info(&self) -> &ClipInfo;

    /// Waits at most `wait` for the newest frame that was not returned yet; older frames are dropped and counted.
    /// Frames before the time `from` (within half a millisecond) are skipped without decoding, and counted separately;
    /// with 0 no frame is too early.
    ///
    /// A frame's time is in seconds since the first frame, by the driver's clock or this machine's monotonic clock; it
    /// continues over losses and never goes back. A frame's index counts every captured frame, including dropped ones.
    ///
    /// # Errors
    /// A failure that waiting cannot fix, such as a picture of an invalid size. Losses are [`LiveUpdate::Lost`].
    fn newest(&mut self, from: Seconds, wait: Duration) -> Result<LiveUpdate<'_>>;

    /// Asks the source to stop without waiting for it. Dropping it then takes less time, above all if several sources are
    /// asked first and dropped afterwards.
    fn cancel(&self) {}

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
    /// Frames that were skipped because they were earlier than the requested time.
    pub passed: u64,
    /// Usable frames that were not taken in time, and frames that the driver reported as dropped.
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
