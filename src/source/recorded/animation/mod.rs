//! Reads animated GIF and PNG files.
//!
//! Times are the file's own. The canvas is black at first.

mod apng;
mod frames;
mod gif;

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::ClipInfo;
use super::{OpenError, Reader, Recording, Wanted};
use crate::picture::{Picture, PixelAspect, Pixels, Rotation};
use crate::units::{Seconds, ticks_to_seconds};
use crate::{Error, Result};
use apng::ApngFrames;
use frames::{AnimationFrames, CountedFile, Problem, TICKS};
use gif::GifFrames;

/// The format of an animation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum AnimationFormat {
    Gif,
    /// Animated PNG.
    Apng,
}

impl AnimationFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Gif => "GIF",
            Self::Apng => "animated PNG",
        }
    }
}

/// An animated file.
pub(in crate::source) struct AnimationFile {
    input: String,
    path: PathBuf,
    format: AnimationFormat,
    info: ClipInfo,
    warnings: Vec<String>,
}

impl AnimationFile {
    pub(in crate::source) fn open(input: &str, path: &Path, format: AnimationFormat) -> Result<Self, OpenError> {
        let (width, height) = frames(input, path, format)?.size();
        let info = ClipInfo { format: format.name().into(), width, height, fps: None, duration_s: None };
        Ok(Self { input: input.into(), path: path.into(), format, info, warnings: Vec::new() })
    }

    fn animation_reader(&self) -> Result<AnimationReader> {
        let frames = frames(&self.input, &self.path, self.format).map_err(|e| match e {
            OpenError::Refused(e) | OpenError::Unreadable(e) => e,
            OpenError::Unsupported(what) => Error::input(&self.input, what),
        })?;
        Ok(AnimationReader { frames, format: self.format, passed: 0, ticks: 0, ended: false, warnings: Vec::new() })
    }
}

impl Recording for AnimationFile {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(self.animation_reader()?))
    }

    fn count(&mut self) -> Result<u64> {
        let mut reader = self.animation_reader()?;
        while reader.advance(&|_, _| false)?.is_some() {}
        let duration = reader.time();
        self.info.duration_s = Some(duration);
        if duration > 0.0 {
            self.info.fps = Some(reader.passed as f64 / duration);
        }
        self.warnings = reader.warnings;
        Ok(reader.passed)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Opens the frames of a file; a canvas that is too large is refused before anything of its size is allocated.
fn frames(input: &str, path: &Path, format: AnimationFormat) -> Result<Box<dyn AnimationFrames>, OpenError> {
    let file = File::open(path).map_err(|e| Error::input(input, format!("cannot be read: {e}")))?;
    let opened = match format {
        AnimationFormat::Gif => {
            GifFrames::open(CountedFile::new(file)).map(|f| Box::new(f) as Box<dyn AnimationFrames>)
        }
        AnimationFormat::Apng => ApngFrames::open(CountedFile::new(file)).map(|f| Box::new(f) as _),
    };
    opened.map_err(|problem| match problem {
        Problem::TooLarge(problem) => OpenError::Refused(Error::input(input, problem)),
        Problem::Damaged(e) => {
            let what = format.name();
            OpenError::Unreadable(Error::input(input, format!("is a damaged {what} ({e}); copy or export it again")))
        }
    })
}

struct AnimationReader {
    frames: Box<dyn AnimationFrames>,
    format: AnimationFormat,
    passed: u64,
    /// Durations of the passed frames together.
    ticks: u64,
    ended: bool,
    warnings: Vec<String>,
}

impl AnimationReader {
    /// The time of the next frame.
    fn time(&self) -> Seconds {
        ticks_to_seconds(self.ticks.into(), TICKS)
    }
}

impl Reader for AnimationReader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        while !self.ended {
            let (index, time) = (self.passed, self.time());
            match self.frames.next() {
                Some(Ok(ticks)) => {
                    self.ticks = self.ticks.saturating_add(ticks);
                    self.passed += 1;
                    if wanted(index, time) {
                        return Ok(Some((index, time)));
                    }
                }
                Some(Err(problem)) => {
                    self.ended = true;
                    let what = self.format.name();
                    self.warnings
                        .push(format!("the {what} is damaged after frame {index} ({problem}); the rest was skipped"));
                }
                None => self.ended = true,
            }
        }
        Ok(None)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        let (width, height) = self.frames.size();
        let pixels = Pixels::Rgb { data: self.frames.rgb(), stride: width as usize * 3 };
        Ok(Picture { width, height, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn doubt(&self) -> Option<&str> {
        self.warnings.last().map(String::as_str)
    }
}
