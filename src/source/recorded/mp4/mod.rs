//! Reads H.264 in MP4 and MOV, also fragmented, decoded by OpenH264.
//!
//! Files are not trusted: every table is limited by the bytes that are present, and samples are read from the file one
//! at a time. What OpenH264 cannot decode (4:2:2, 4:4:4, more than 8 bits, interlaced video, HEVC and other codecs) is
//! left to `ffmpeg`.
//!
//! An intact file is counted from its index. When frames are visited, decoding continues to the end of the last group
//! of pictures, where recordings are often damaged. After any error the whole file is decoded once, and from then on
//! only pictures that can be decoded count.

mod boxes;
mod decoder;
mod movie;
mod nal;
mod reader;
mod samples;
mod slice;
mod sps;

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use self::decoder::PictureTags;
use self::movie::{Movie, Parsed};
use self::reader::Mp4Reader;
use self::slice::LONG_TERM;
use super::{OpenError, Reader, Recording};
use crate::picture::Matrix;
use crate::source::ClipInfo;
use crate::{Error, Result};

/// An MP4 file.
pub(in crate::source) struct Mp4File {
    input: String,
    path: PathBuf,
    movie: Rc<Movie>,
    tags: PictureTags,
    info: ClipInfo,
    /// Some pictures cannot be decoded, and it is known which.
    damaged: bool,
    warnings: Vec<String>,
    losses: Option<String>,
    /// A reader found long-term reference pictures.
    long_term: Rc<Cell<bool>>,
}

impl Mp4File {
    /// Reads the index and decodes the first picture.
    pub(in crate::source) fn open(input: &str, path: &Path, matrix: Option<Matrix>) -> Result<Self, OpenError> {
        let failed = |e: std::io::Error| Error::input(input, format!("cannot be read: {e}"));
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let movie = match Movie::parse(&mut file, length).map_err(failed)? {
            Parsed::Movie(movie) => *movie,
            Parsed::Unsupported(what) => return Err(OpenError::Unsupported(what)),
            Parsed::Broken(problem) => return Err(Error::input(input, problem).into()),
            Parsed::Refused(problem) => return Err(OpenError::Refused(Error::input(input, problem))),
        };
        let sps = movie.config.sps.first().map(|(_, sps)| sps);
        let tags = PictureTags {
            rotation: movie.rotation,
            full_range: sps.and_then(|s| s.full_range).or(movie.full_range).unwrap_or(false),
            matrix: matrix.or(sps.and_then(|s| s.matrix)).or(movie.matrix).unwrap_or_default(),
            aspect: movie.aspect.or(sps.and_then(|s| s.aspect)).unwrap_or_default(),
        };
        let (width, height) = sps.map_or((0, 0), |s| (s.width, s.height));
        let (warnings, losses) = (movie.warnings.clone(), movie.losses.clone());
        let mut opened = Self {
            input: input.into(),
            path: path.into(),
            info: info(&movie, width, height),
            movie: Rc::new(movie),
            tags,
            damaged: false,
            warnings,
            losses,
            long_term: Rc::default(),
        };
        // A kind of video that the decoder does not support fails at the first picture.
        let mut first = opened.reader()?;
        let size = match first.advance(&|index, _| index == 0)? {
            Some(_) => Some(first.picture()?.display_size()),
            None => None,
        };
        drop(first);
        if let Some(size) = size {
            (opened.info.width, opened.info.height) = size;
        } else if opened.recount()? == 0 {
            return Err(OpenError::Unsupported("H.264 that the built-in decoder cannot read".into()));
        }
        Ok(opened)
    }
}

fn info(movie: &Movie, width: u32, height: u32) -> ClipInfo {
    let (width, height) = movie.rotation.display_size((width, height));
    let duration = movie.duration();
    let fps = (duration > 0.0).then(|| movie.len() as f64 / duration);
    ClipInfo { format: "H.264 in MP4".into(), width, height, fps, duration_s: Some(duration) }
}

impl Recording for Mp4File {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        let file = File::open(&self.path).map_err(|e| Error::input(&self.input, format!("cannot be read: {e}")))?;
        let (movie, long_term) = (self.movie.clone(), self.long_term.clone());
        Ok(Box::new(Mp4Reader::new(&self.input, file, movie, self.tags, self.damaged, long_term)?))
    }

    fn count(&mut self) -> Result<u64> {
        Ok(self.movie.len())
    }

    fn recount(&mut self) -> Result<u64> {
        let file = File::open(&self.path).map_err(|e| Error::input(&self.input, format!("cannot be read: {e}")))?;
        let mut good = vec![false; self.movie.samples.len()];
        Mp4Reader::new(&self.input, file, self.movie.clone(), self.tags, true, self.long_term.clone())?.drain(
            &mut |sample| {
                if let Some(good) = good.get_mut(sample as usize) {
                    *good = true;
                }
            },
        )?;
        let before = self.movie.len();
        let first_lost = (0..before).find(|&rank| !good[self.movie.order[rank as usize] as usize]);
        if let (Some(first), Some(movie)) = (first_lost, Rc::get_mut(&mut self.movie)) {
            let time = movie.time(first);
            movie.retain(&good);
            let lost = before - movie.len();
            let losses = format!("{lost} of {before} pictures cannot be decoded, the first of them at {time:.2} s");
            self.warnings.push(format!("{losses}; they were skipped"));
            self.losses = Some(losses);
            (self.info.fps, self.info.duration_s) = (info(movie, 0, 0).fps, Some(movie.duration()));
        }
        self.damaged = true;
        Ok(self.movie.len())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn losses(&self) -> Option<String> {
        self.losses.clone()
    }

    fn doubt(&self) -> Option<String> {
        self.long_term.get().then(|| LONG_TERM.to_owned()).or_else(|| self.movie.doubt.clone())
    }
}

/// Parses bytes as the configuration of H.264 in MP4, as a parameter set, and as a sample. Only for fuzzing.
#[cfg(fuzzing)]
pub fn fuzz_h264(bytes: &[u8]) {
    let config = nal::AvcConfig::parse(bytes);
    let mut sets = config.as_ref().map(|config| config.known_sets.clone()).unwrap_or_default();
    sets.store(bytes);
    let _ = (sps::Sps::parse(bytes), sets.has_long_term(bytes));
    if let Some(config) = config {
        nal::to_annex_b(bytes, &config, &mut sets, &mut Vec::new());
    }
}

#[cfg(test)]
mod tests;
