//! All that is not decoded here, through an installed `ffmpeg` child process.
//!
//! `ffmpeg` writes y4m to its standard output, every decoded frame once (no frame is doubled or dropped to make
//! the rate even), turned upright, in 8 bits. As y4m has no times, the `showinfo` filter writes each frame's
//! exact time stamp and time base to standard error; both are read side by side. A clip is counted by a first
//! pass that decodes without handing pixels over; in the second `ffmpeg` hands over only the frames wanted.
//!
//! Nothing passes through a shell; a file goes in as `file:PATH`, so that no name is taken for an option or an
//! address, and the protocols `ffmpeg` may use are listed for every kind of input.

mod child;
mod command;
mod find;
mod notes;
mod reader;

use std::path::PathBuf;

use self::command::{Ffmpeg, Job, Output};
use self::reader::FfmpegReader;
use super::recorded::{Reader, Recording};
use super::{ClipInfo, Seconds, SourceOptions, redact};
use crate::{Error, Result};
pub(super) use command::Address;
pub use find::find_ffmpeg;

/// Most frames of a clip, as for every other kind: 46 hours at 24 a second.
const MAX_FRAMES: usize = 4_000_000;
/// Most frames that are picked by name; beyond, all are handed over, as expressions of ffmpeg's `select` filter
/// may not have a hundred terms.
const MAX_PICKED: usize = 64;

/// A file that `ffmpeg` decodes.
pub(super) struct FfmpegFile {
    input: String,
    path: PathBuf,
    ffmpeg: Ffmpeg,
    info: ClipInfo,
    times: Vec<Seconds>,
    warnings: Vec<String>,
}

impl FfmpegFile {
    /// `what` is what the file is, for the sentence where `ffmpeg` is missing.
    pub(super) fn open(input: &str, path: PathBuf, what: &str, options: &SourceOptions) -> Result<Self> {
        let ffmpeg = Ffmpeg::find(input, what, options)?;
        Ok(Self { input: input.into(), path, ffmpeg, info: unknown("ffmpeg"), times: Vec::new(), warnings: Vec::new() })
    }

    fn job(&self, output: Output) -> Job {
        Job { input: self.input.clone(), address: Address::File(self.path.clone()), output }
    }
}

impl Recording for FfmpegFile {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        self.count()?;
        let job = self.job(Output::Nothing);
        Ok(Box::new(FfmpegReader::picked(self.ffmpeg.clone(), job, self.times.clone())))
    }

    fn forward(&mut self) -> Result<Box<dyn Reader>> {
        let job = self.job(Output::Frames { picked: Vec::new() });
        Ok(Box::new(FfmpegReader::all(self.ffmpeg.clone(), job)?))
    }

    fn count(&mut self) -> Result<u64> {
        if self.times.is_empty() {
            let mut run = self.ffmpeg.run(self.job(Output::Nothing))?;
            while let Some(note) = run.notes.next()? {
                if self.times.len() == MAX_FRAMES {
                    return Err(Error::input(&self.input, format!("has more than {MAX_FRAMES} frames; cut it first")));
                }
                self.times.push(note.time);
                (self.info.width, self.info.height) = note.size;
            }
            let ended = run.end()?;
            if self.times.is_empty() {
                return Err(ended.nothing(&self.input));
            }
            self.warnings.extend(ended.warning());
            if let (Some(last), n @ 2..) = (self.times.last(), self.times.len()) {
                let step = last / (n - 1) as f64;
                self.info.duration_s = Some(last + step);
                self.info.fps = (step > 0.0).then(|| 1.0 / step);
            }
        }
        Ok(self.times.len() as u64)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Opens an address (rtsp, http, ...) or a pipe for reading forward.
pub(super) fn open_stream(
    input: &str,
    address: Address,
    options: &SourceOptions,
) -> Result<(ClipInfo, Box<dyn Reader>)> {
    let input = redact(input);
    let ffmpeg = Ffmpeg::find(&input, "reading this", options)?;
    let format = match &address {
        Address::Url(url) => url.split_once("://").map_or("ffmpeg", |(scheme, _)| scheme).to_string(),
        _ => "ffmpeg".to_string(),
    };
    let job = Job { input, address, output: Output::Frames { picked: Vec::new() } };
    Ok((unknown(&format), Box::new(FfmpegReader::all(ffmpeg, job)?)))
}

/// Nothing is known before the first frame.
fn unknown(format: &str) -> ClipInfo {
    ClipInfo { format: format.into(), width: 0, height: 0, fps: None, duration_s: None }
}

#[cfg(test)]
mod tests;
