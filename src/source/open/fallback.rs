//! Falls back to an installed `ffmpeg` where a reader of our own cannot read a file, wholly or in part.

use std::path::{Path, PathBuf};

use super::super::recorded::{FfmpegFile, OpenError, Reader, Recording, Wanted, add_warnings, find_ffmpeg};
use crate::picture::Picture;
use crate::source::{ClipInfo, SourceOptions};
use crate::units::{Seconds, TIME_TOLERANCE_S};
use crate::{Error, Result};

/// A file, and what is needed to read it by `ffmpeg` instead.
#[derive(Clone)]
pub(super) struct FfmpegFallback {
    input: String,
    path: PathBuf,
    options: SourceOptions,
}

impl FfmpegFallback {
    pub(super) fn new(input: &str, path: &Path, options: &SourceOptions) -> Self {
        Self { input: input.into(), path: path.into(), options: options.clone() }
    }

    /// Opens a file by its own reader; by `ffmpeg` if that cannot read it, or if it has doubts and `ffmpeg` none.
    ///
    /// # Errors
    /// The reason of the own reader if `ffmpeg` cannot read it either.
    pub(super) fn open<R: Recording + 'static>(self, opened: Result<R, OpenError>) -> Result<Box<dyn Recording>> {
        let own = match opened {
            Ok(own) => Box::new(own) as Box<dyn Recording>,
            Err(OpenError::Refused(e)) => return Err(e),
            Err(OpenError::Unsupported(what)) => {
                return Ok(Box::new(FfmpegFile::open(&self.input, self.path, &what, &self.options)?));
            }
            Err(OpenError::Unreadable(e)) => return self.instead_of(e),
        };
        let mut recording = FallbackRecording { fallback: self, own, ffmpeg: None, tried: false, warnings: Vec::new() };
        if let Some(doubt) = recording.own.doubt() {
            recording.replace(&doubt, 0);
        }
        Ok(Box::new(recording))
    }

    fn is_available(&self) -> bool {
        find_ffmpeg(&self.options).is_some()
    }

    fn ffmpeg(&self) -> Result<FfmpegFile> {
        FfmpegFile::open(&self.input, self.path.clone(), "this file", &self.options)
    }

    /// Reads the whole file by `ffmpeg`, because its own reader failed with `e`.
    fn instead_of(self, e: Error) -> Result<Box<dyn Recording>> {
        if !self.is_available() {
            return Err(match e {
                Error::Input { input, problem } => {
                    Error::input(input, format!("{problem}; an installed ffmpeg may be able to read it"))
                }
                e => e,
            });
        }
        let warnings = vec![format!("read by ffmpeg, because {}", reason(&e))];
        Ok(Box::new(WarnedRecording { recording: self.ffmpeg()?, own: Some(e), warnings }))
    }
}

/// First words of problems whose subject is the input.
const VERBS: [&str; 7] = ["is ", "has ", "cannot ", "contains ", "ended ", "claims ", "needs "];

/// The problem of an error, without the input's name.
fn reason(e: &Error) -> String {
    match e {
        Error::Input { problem, .. } if VERBS.iter().any(|verb| problem.starts_with(verb)) => format!("it {problem}"),
        Error::Input { problem, .. } => problem.clone(),
        e => e.to_string(),
    }
}

/// The warning about pictures that cannot be vouched for.
fn doubtful(doubt: &str) -> String {
    format!("{doubt}; answers may be wrong, and an installed ffmpeg would read it")
}

/// A recording by `ffmpeg`, and why it is.
struct WarnedRecording {
    recording: FfmpegFile,
    /// The error of the own reader, which is reported in place of that of `ffmpeg`.
    own: Option<Error>,
    warnings: Vec<String>,
}

impl WarnedRecording {
    /// The result of `ffmpeg`; the error of the own reader if `ffmpeg` cannot read the file either.
    fn or_own<T>(&mut self, result: Result<T>) -> Result<T> {
        match self.own.take() {
            Some(own) if result.is_err() => Err(own),
            _ => result,
        }
    }
}

impl Recording for WarnedRecording {
    fn info(&self) -> &ClipInfo {
        self.recording.info()
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        self.recording.reader()
    }

    fn forward_reader(&mut self) -> Result<Box<dyn Reader>> {
        let reader = self.recording.forward_reader();
        let reader = self.or_own(reader)?;
        let reasons = self.warnings.clone();
        Ok(Box::new(FallbackReader::new(reader, None, reasons)))
    }

    fn count(&mut self) -> Result<u64> {
        let count = self.recording.count();
        let count = self.or_own(count)?;
        add_warnings(&mut self.warnings, self.recording.warnings());
        Ok(count)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A recording that is read by `ffmpeg` once its own reader is found to lose pictures that `ffmpeg` does not.
struct FallbackRecording {
    fallback: FfmpegFallback,
    own: Box<dyn Recording>,
    ffmpeg: Option<Box<dyn Recording>>,
    /// Whether `ffmpeg` was compared with the own reader already.
    tried: bool,
    warnings: Vec<String>,
}

impl FallbackRecording {
    fn active(&mut self) -> &mut dyn Recording {
        match &mut self.ffmpeg {
            Some(ffmpeg) => ffmpeg.as_mut(),
            None => self.own.as_mut(),
        }
    }

    /// Replaces the own reader by `ffmpeg` if that is installed and finds more than `count` frames.
    fn replace(&mut self, reason: &str, count: u64) {
        if std::mem::replace(&mut self.tried, true) || !self.fallback.is_available() {
            return;
        }
        let Ok(mut ffmpeg) = self.fallback.ffmpeg() else { return };
        if ffmpeg.count().is_ok_and(|found| found > count) {
            let warnings = vec![format!("read by ffmpeg, because {reason}")];
            self.ffmpeg = Some(Box::new(WarnedRecording { recording: ffmpeg, own: None, warnings }));
        }
    }

    /// Compares a count of the own reader with that of `ffmpeg` if the own reader has lost or doubtful pictures.
    fn compared(&mut self, count: Result<u64>) -> Result<u64> {
        let doubt = self.own.doubt();
        match (&count, &doubt) {
            (_, Some(doubt)) => self.replace(doubt, 0),
            (Err(e), None) => self.replace(&reason(e), 0),
            (Ok(count), None) => {
                if let Some(losses) = self.own.losses() {
                    self.replace(&losses, *count);
                }
            }
        }
        let result = match &mut self.ffmpeg {
            Some(ffmpeg) => ffmpeg.count(),
            None => count,
        };
        self.warnings = self.active().warnings().to_vec();
        if let (None, Some(doubt)) = (&self.ffmpeg, doubt) {
            self.warnings.push(doubtful(&doubt));
        }
        result
    }
}

impl Recording for FallbackRecording {
    fn info(&self) -> &ClipInfo {
        self.ffmpeg.as_ref().map_or_else(|| self.own.info(), |ffmpeg| ffmpeg.info())
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        self.active().reader()
    }

    fn forward_reader(&mut self) -> Result<Box<dyn Reader>> {
        // Losses that are known before reading are compared now; those that a reader finds make it change over.
        if self.ffmpeg.is_none() && !self.tried && self.own.losses().is_some() {
            self.count()?;
        }
        if let Some(ffmpeg) = &mut self.ffmpeg {
            return ffmpeg.forward_reader();
        }
        let own = self.own.forward_reader()?;
        let fallback = self.fallback.is_available().then(|| self.fallback.clone());
        let reasons = self.own.warnings().to_vec();
        Ok(Box::new(FallbackReader::new(own, fallback, reasons)))
    }

    fn count(&mut self) -> Result<u64> {
        if self.ffmpeg.is_some() {
            return self.active().count();
        }
        let count = self.own.count();
        self.compared(count)
    }

    fn recount(&mut self) -> Result<u64> {
        if self.ffmpeg.is_some() {
            return self.active().recount();
        }
        let count = self.own.recount();
        self.compared(count)
    }

    fn warnings(&self) -> &[String] {
        match &self.ffmpeg {
            Some(ffmpeg) => ffmpeg.warnings(),
            None if self.warnings.is_empty() => self.own.warnings(),
            None => &self.warnings,
        }
    }
}

/// Reads forward by the own reader as long as it has no doubts, and the rest by `ffmpeg`.
struct FallbackReader {
    own: Box<dyn Reader>,
    /// `None` without `ffmpeg`, or once it reads.
    fallback: Option<FfmpegFallback>,
    /// Number and time of the last frame.
    last: Option<(u64, Seconds)>,
    /// What was known before reading, and why `ffmpeg` reads the rest.
    reasons: Vec<String>,
    /// The warnings and the doubt of `own` that `warnings` has.
    collected: Vec<String>,
    doubt: Option<String>,
    /// `reasons` with the warnings of `own`.
    warnings: Vec<String>,
}

impl FallbackReader {
    fn new(own: Box<dyn Reader>, fallback: Option<FfmpegFallback>, reasons: Vec<String>) -> Self {
        Self { own, fallback, last: None, warnings: reasons.clone(), reasons, collected: Vec::new(), doubt: None }
    }

    /// Lets `ffmpeg` read the frames after the last one; returns whether it can.
    fn switch(&mut self, doubt: &str) -> bool {
        let Some(fallback) = self.fallback.take() else { return false };
        let Ok(reader) = fallback.ffmpeg().and_then(|mut file| file.forward_reader()) else { return false };
        self.own = reader;
        let from = self.last.map_or_else(String::new, |(_, time)| format!(" from {time:.2} s on"));
        self.reasons.push(format!("read by ffmpeg{from}, because {doubt}"));
        self.warnings.clone_from(&self.reasons);
        (self.collected, self.doubt) = (Vec::new(), None);
        true
    }

    fn collect_warnings(&mut self) {
        // Damaged streams come here for every frame with the same warnings.
        let doubt = self.own.doubt();
        if self.collected == self.own.warnings() && self.doubt.as_deref() == doubt {
            return;
        }
        self.collected = self.own.warnings().to_vec();
        self.doubt = doubt.map(str::to_owned);
        self.warnings.clone_from(&self.reasons);
        add_warnings(&mut self.warnings, &self.collected);
        if let Some(doubt) = &self.doubt
            && !self.warnings.contains(doubt)
        {
            self.warnings.push(doubtful(doubt));
        }
    }
}

impl Reader for FallbackReader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        let mut found = self.own.advance(wanted);
        let doubt = match (&found, self.own.doubt()) {
            (Err(e), _) => Some(reason(e)),
            (_, doubt) => doubt.filter(|_| self.fallback.is_some()).map(str::to_owned),
        };
        if let Some(doubt) = doubt
            && self.switch(&doubt)
        {
            let after = self.last.map_or(f64::NEG_INFINITY, |(_, time)| time + TIME_TOLERANCE_S);
            found = self.own.advance(&|index, time| time > after && wanted(index, time));
        }
        if let Ok(Some(frame)) = &found {
            self.last = Some(*frame);
        }
        self.collect_warnings();
        found
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        self.own.picture()
    }

    fn finish(&mut self) -> Result<bool> {
        self.own.finish()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
