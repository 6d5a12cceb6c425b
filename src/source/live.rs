//! Sources that go on by themselves: cameras, and pipes or addresses read live.
//!
//! A [`super::Stream`] waits for whoever takes its frames; a [`Live`] source does not. What is not taken in time is
//! dropped and counted, so that the frame handed out is always the newest there is. What breaks is mended by the source
//! itself, with a back-off; the taker is told once that it is lost, and sees frames again when it is back.

mod backoff;
mod fake;
pub(super) mod keeper;
mod latest;
mod open;
pub(super) mod shot;

use std::time::Duration;

use serde::Serialize;

pub use fake::{Act, FakeCamera};
pub use open::{is_camera, open_live};

use super::camera::CameraWish;
use super::{ClipInfo, Frame, Seconds, SourceOptions};
use crate::Result;

/// How live sources are opened.
#[derive(Clone, Debug, Default)]
pub struct LiveOptions {
    /// As for other sources. A pipe or address is lost when nothing comes for
    /// [`SourceOptions::io_timeout_s`], a camera after 5 s at the latest.
    pub source: SourceOptions,
    /// What is wished for of a camera's modes.
    pub camera: CameraWish,
    /// Whether a source that is not there yet is waited for.
    pub awaited: bool,
}

/// A source that goes on by itself; what is not taken in time is dropped and counted.
pub trait Live: Send {
    /// What is known of it. May change when the source is lost and comes back.
    fn info(&self) -> &ClipInfo;

    /// Waits at most `wait` for the newest frame that was not handed out yet; older ones are dropped and counted.
    /// Frames before the time `from` (half a millisecond of tolerance allowed) are passed over and counted as such:
    /// nobody wanted them, and they cost no decoding. 0 takes every frame.
    ///
    /// A frame's time is in seconds since the first one, by the clock of the driver or of this machine that no one sets;
    /// it goes on over losses and never goes back. Its index counts every frame that came, dropped ones included.
    ///
    /// # Errors
    /// What no waiting would mend, such as a picture that decodes to nonsense sizes. Losses are [`Moment::Lost`].
    fn newest(&mut self, from: Seconds, wait: Duration) -> Result<Moment<'_>>;

    /// What happened since the source was opened.
    fn counts(&self) -> LiveCounts;
}

/// What [`Live::newest`] found.
#[derive(Debug)]
pub enum Moment<'a> {
    /// The newest frame.
    Frame(Frame<'a>),
    /// Nothing new within the time given: the source is slow, or still lost.
    Waiting,
    /// The source was lost just now and is being opened again. Told once a loss.
    Lost(Loss),
    /// There will be no more frames.
    Ended,
}

/// Why a source was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What happened, half a sentence without secrets.
    pub reason: String,
    /// When it will be tried again.
    pub retry_in: Duration,
}

/// What happened to a source's frames since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LiveCounts {
    /// Frames that came, usable or not.
    pub captured: u64,
    /// Frames from before the time asked for.
    pub passed: u64,
    /// Usable frames that were not taken in time, or that the driver says it dropped itself.
    pub dropped: u64,
    /// Frames that the driver marked as damaged, or that could not be decoded.
    pub corrupt: u64,
    /// Frames with fewer bytes than their size needs.
    pub short: u64,
    /// Times that nothing came for too long.
    pub timeouts: u64,
    /// Times that the source came back after it was lost.
    pub reconnects: u64,
}
