//! What every kind of recording has in common: it can be counted, and read forward.

use super::{Clip, ClipInfo, Frame, Picture, Seconds, Stream, Visit};
use crate::{Error, Result};

/// Chooses frames by index and time. Asked in any order, of frames not yet passed.
pub(super) type Wanted<'a> = dyn Fn(u64, Seconds) -> bool + 'a;

/// Slack when a time is compared: half a millisecond.
pub(super) const TIME_TOLERANCE_S: Seconds = 0.0005;

/// Moves forward through a source's frames.
pub(super) trait Reader {
    /// Moves on to the next wanted frame after the current one; `None` at the end.
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>>;

    /// The frame that [`Reader::advance`] last moved to.
    fn picture(&mut self) -> Result<Picture<'_>>;

    /// Looks at what is left after the last wanted frame: false if the count of frames cannot be true.
    fn finish(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// What was lost so far.
    fn warnings(&self) -> &[String];
}

/// A kind of recording.
pub(super) trait Recording {
    /// What is known of it.
    fn info(&self) -> &ClipInfo;

    /// A reader at the first frame.
    fn reader(&mut self) -> Result<Box<dyn Reader>>;

    /// A reader for one pass over frames that nobody has counted.
    fn forward(&mut self) -> Result<Box<dyn Reader>> {
        self.reader()
    }

    /// Frames, by the cheapest means that is right for an intact file.
    fn count(&mut self) -> Result<u64>;

    /// Frames, by decoding every one. Readers made afterwards agree with it.
    fn recount(&mut self) -> Result<u64> {
        self.count()
    }

    /// What was lost, as far as counting found.
    fn warnings(&self) -> &[String];
}

/// A recording, asked for any of its frames.
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

    fn warn(&mut self, more: &[String]) {
        for warning in more {
            if !self.warnings.contains(warning) {
                self.warnings.push(warning.clone());
            }
        }
    }

    fn counted(&mut self, count: u64) -> Result<u64> {
        let more = self.recording.warnings().to_vec();
        self.warn(&more);
        if count == 0 {
            let why = self.warnings.last().map(|w| format!(": {w}")).unwrap_or_default();
            return Err(Error::input(&self.input, format!("not one frame of it can be decoded{why}")));
        }
        self.count = Some(count);
        Ok(count)
    }

    fn recount(&mut self) -> Result<Visit> {
        if std::mem::replace(&mut self.recounted, true) {
            return Err(Error::input(&self.input, "it changed while it was being read; try again when it is complete"));
        }
        let count = self.recording.recount()?;
        self.counted(count)?;
        Ok(Visit::Recounted)
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

    fn visit(&mut self, wanted: &[u64], visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<Visit> {
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
            self.warn(&more);
            return Ok(Visit::Done);
        }
        self.recount()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A recording or pipe, read once.
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
