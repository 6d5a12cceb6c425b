//! Recorded clips, one file or folder per format.
//!
//! A format implements [`Recording`] (counts its frames) and [`Reader`] (moves forward through them); [`RecordedClip`]
//! and [`ReaderStream`] implement clips and streams with them.

mod animation;
mod budget;
mod ffmpeg;
mod jpeg;
#[cfg(feature = "h264")]
mod mp4;
mod stills;
mod y4m;

pub(super) use animation::{AnimationFile, AnimationFormat};
pub use ffmpeg::find_ffmpeg;
#[cfg(fuzzing)]
pub use ffmpeg::fuzz_ffmpeg_log;
pub(super) use ffmpeg::{FfmpegFile, FfmpegInput, open_ffmpeg_stream};
pub(super) use jpeg::{JpegSplitter, MjpegFile, NextImage, is_jpeg_sequence, mjpeg_info, mjpeg_stream, with_tables};
#[cfg(feature = "h264")]
pub(super) use mp4::Mp4File;
#[cfg(all(fuzzing, feature = "h264"))]
pub use mp4::fuzz_h264;
pub(super) use stills::Stills;
pub(super) use y4m::{MAGIC as Y4M_MAGIC, Pipe, Y4mFile, Y4mReader};

use super::{Clip, ClipInfo, Frame, Stream, VisitOutcome};
use crate::picture::Picture;
use crate::units::{Seconds, TIME_TOLERANCE_S};
use crate::{Error, Result};

/// Why a reader does not open a file.
#[derive(Debug)]
pub(super) enum OpenError {
    /// No reader may open it.
    Refused(Error),
    /// Another reader may be able to.
    Unreadable(Error),
    /// It is intact and of a kind that this reader does not support. Describes it, for a sentence that ends in "needs
    /// ffmpeg".
    Unsupported(String),
}

impl From<Error> for OpenError {
    fn from(e: Error) -> Self {
        Self::Unreadable(e)
    }
}

/// Selects frames by index and time. A reader may call it for any frame that it has not moved past, in any order and
/// more than once; the answer for a frame must not change during one [`Reader::advance`].
pub(super) type Wanted<'a> = dyn Fn(u64, Seconds) -> bool + 'a;

/// Moves forward through a source's frames.
pub(super) trait Reader {
    /// Moves to the next wanted frame after the current one; returns its index and time, `None` at the end.
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>>;

    /// The picture of the frame that [`Reader::advance`] last moved to.
    fn picture(&mut self) -> Result<Picture<'_>>;

    /// Reads the rest of the file after the last wanted frame. Returns false if the file has another number of frames
    /// than it states.
    fn finish(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// Losses so far.
    fn warnings(&self) -> &[String];

    /// Why `ffmpeg` should read the rest if it is installed: pictures are lost, or may be wrong. The picture that
    /// [`Reader::advance`] last moved to is already in doubt.
    fn doubt(&self) -> Option<&str> {
        None
    }
}

/// A recorded input of one format.
pub(super) trait Recording {
    /// The recording's properties.
    fn info(&self) -> &ClipInfo;

    /// Returns a reader positioned before the first frame.
    fn reader(&mut self) -> Result<Box<dyn Reader>>;

    /// Returns a reader for a single pass. ffmpeg, whose [`Recording::reader`] counts the frames in a pass of its own,
    /// overrides this.
    fn forward_reader(&mut self) -> Result<Box<dyn Reader>> {
        self.reader()
    }

    /// Counts the frames in the cheapest way that is correct for an intact file.
    fn count(&mut self) -> Result<u64>;

    /// Counts the frames by decoding all of them. Readers created afterwards agree with this count.
    fn recount(&mut self) -> Result<u64> {
        self.count()
    }

    /// What counting found to be lost or wrong, one sentence each.
    fn warnings(&self) -> &[String];

    /// What is lost, as a clause. `ffmpeg`, if it is installed, then counts too, and reads the file if it finds more.
    fn losses(&self) -> Option<String> {
        self.warnings().last().cloned()
    }

    /// Why the file should be read by `ffmpeg` if it is installed, even if that finds fewer frames: pictures of this reader
    /// may be wrong.
    fn doubt(&self) -> Option<String> {
        None
    }
}

/// Appends the sentences that `warnings` does not have yet.
pub(super) fn add_warnings<'a>(warnings: &mut Vec<String>, more: impl IntoIterator<Item = &'a String>) {
    for warning in more {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
}

/// A recording as a clip, whose frames can be read in any order.
pub(super) struct RecordedClip {
    input: String,
    recording: Box<dyn Recording>,
    count: Option<u64>,
    recounted: bool,
    warnings: Vec<String>,
}

impl RecordedClip {
    pub(super) fn new(input: String, recording: Box<dyn Recording>) -> Self {
        Self { input, recording, count: None, recounted: false, warnings: Vec::new() }
    }

    fn counted(&mut self, count: u64) -> Result<u64> {
        add_warnings(&mut self.warnings, self.recording.warnings());
        if count == 0 {
            let why = self.warnings.last().map(|w| format!(": {w}")).unwrap_or_default();
            return Err(Error::input(&self.input, format!("no frame can be decoded{why}")));
        }
        self.count = Some(count);
        Ok(count)
    }

    fn recount(&mut self) -> Result<VisitOutcome> {
        if std::mem::replace(&mut self.recounted, true) {
            return Err(Error::input(&self.input, "it changed while it was being read; try again when it is complete"));
        }
        let count = self.recording.recount()?;
        self.counted(count)?;
        Ok(VisitOutcome::CountChanged)
    }
}

impl Clip for RecordedClip {
    fn info(&self) -> &ClipInfo {
        self.recording.info()
    }

    fn frame_count(&mut self) -> Result<u64> {
        match self.count {
            Some(count) => Ok(count),
            None => {
                let count = self.recording.count()?;
                self.counted(count)
            }
        }
    }

    fn visit(&mut self, wanted: &[u64], visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<VisitOutcome> {
        self.frame_count()?;
        let mut reader = self.recording.reader()?;
        let mut intact = true;
        for &want in wanted {
            match reader.advance(&|index, _| wanted.binary_search(&index).is_ok())? {
                Some((index, time)) if index == want => {
                    visit(Frame { index, time, picture: reader.picture()? })?;
                }
                _ => {
                    intact = false;
                    break;
                }
            }
        }
        intact = intact && reader.finish()?;
        let more = reader.warnings().to_vec();
        drop(reader);
        if intact {
            add_warnings(&mut self.warnings, &more);
            return Ok(VisitOutcome::Done);
        }
        self.recount()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A recording or pipe as a stream.
pub(super) struct ReaderStream {
    info: ClipInfo,
    reader: Box<dyn Reader>,
}

impl ReaderStream {
    pub(super) fn new(info: ClipInfo, reader: Box<dyn Reader>) -> Self {
        Self { info, reader }
    }
}

impl Stream for ReaderStream {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>> {
        match self.reader.advance(&|_, time| time >= t - TIME_TOLERANCE_S)? {
            Some((index, time)) => Ok(Some(Frame { index, time, picture: self.reader.picture()? })),
            None => Ok(None),
        }
    }

    fn warnings(&self) -> &[String] {
        self.reader.warnings()
    }
}
