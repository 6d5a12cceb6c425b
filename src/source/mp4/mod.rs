//! H.264 in MP4 and MOV, also fragmented, decoded by OpenH264.
//!
//! The boxes are read here, as they come from anywhere: every table is bounded by the bytes that are there, and
//! samples are read from the file one at a time. What OpenH264 cannot decode (4:2:2, 4:4:4, more than 8 bits,
//! interlaced; HEVC and other codecs) is named and left to `ffmpeg`.
//!
//! An intact file is counted from its index. While its frames are visited, decoding runs on to the end of the
//! last group of pictures, where recordings break; any fault on the way has the file decoded once from
//! beginning to end, and from then on only pictures that can be decoded count.

mod boxes;
mod decoder;
mod fragments;
mod held;
mod movie;
mod nal;
mod reader;
mod sps;
mod table;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use self::decoder::Look;
use self::movie::{Movie, Parsed};
use self::reader::Mp4Reader;
use super::recorded::{Reader, Recording};
use super::{ClipInfo, Matrix, Rotation};
use crate::{Error, Result};

/// What opening a file came to.
pub(super) enum Opened {
    Ours(Box<Mp4File>),
    /// Not decoded here; what it is, to be put before "takes ffmpeg".
    Foreign(String),
}

/// An MP4 file.
pub(super) struct Mp4File {
    input: String,
    path: PathBuf,
    movie: Rc<Movie>,
    look: Look,
    info: ClipInfo,
    /// Some pictures cannot be decoded; the rest has been found out.
    damaged: bool,
    warnings: Vec<String>,
}

impl Mp4File {
    /// Reads the index and decodes the first picture.
    pub(super) fn open(input: &str, path: &Path, matrix: Option<Matrix>) -> Result<Opened> {
        let failed = |e: std::io::Error| Error::input(input, format!("cannot be read: {e}"));
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let movie = match Movie::parse(&mut file, length).map_err(failed)? {
            Parsed::Movie(movie) => *movie,
            Parsed::Foreign(what) => return Ok(Opened::Foreign(what)),
            Parsed::Broken(problem) => return Err(Error::input(input, problem)),
        };
        let sps = movie.config.sps.first().map(|(_, sps)| sps);
        let look = Look {
            rotation: movie.rotation,
            full_range: sps.and_then(|s| s.full_range).or(movie.full_range).unwrap_or(false),
            matrix: matrix.or(sps.and_then(|s| s.matrix)).or(movie.matrix).unwrap_or_default(),
        };
        let (width, height) = sps.map_or((0, 0), |s| (s.width, s.height));
        let warnings = movie.warnings.clone();
        let mut opened = Self {
            input: input.into(),
            path: path.into(),
            info: info(&movie, width, height),
            movie: Rc::new(movie),
            look,
            damaged: false,
            warnings,
        };
        // What the decoder does not know, it does not know from the first picture on.
        let mut first = opened.reader()?;
        let size = match first.advance(&|index, _| index == 0)? {
            Some(_) => Some(first.picture()?.display_size()),
            None => None,
        };
        drop(first);
        if let Some(size) = size {
            (opened.info.width, opened.info.height) = size;
        } else if opened.recount()? == 0 {
            return Ok(Opened::Foreign("H.264 that the built-in decoder cannot read".into()));
        }
        Ok(Opened::Ours(Box::new(opened)))
    }
}

fn info(movie: &Movie, width: u32, height: u32) -> ClipInfo {
    let turned = matches!(movie.rotation, Rotation::Quarter | Rotation::ThreeQuarters);
    let (width, height) = if turned { (height, width) } else { (width, height) };
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
        Ok(Box::new(Mp4Reader::new(&self.input, file, self.movie.clone(), self.look, self.damaged)?))
    }

    fn count(&mut self) -> Result<u64> {
        Ok(self.movie.len())
    }

    fn recount(&mut self) -> Result<u64> {
        let file = File::open(&self.path).map_err(|e| Error::input(&self.input, format!("cannot be read: {e}")))?;
        let mut good = vec![false; self.movie.samples.len()];
        Mp4Reader::new(&self.input, file, self.movie.clone(), self.look, true)?.drain(&mut |sample| {
            if let Some(good) = good.get_mut(sample as usize) {
                *good = true;
            }
        })?;
        let before = self.movie.len();
        let first_lost = (0..before).find(|&rank| !good[self.movie.order[rank as usize] as usize]);
        if let (Some(first), Some(movie)) = (first_lost, Rc::get_mut(&mut self.movie)) {
            let time = movie.time(first);
            movie.keep(&good);
            let lost = before - movie.len();
            self.warnings.push(format!(
                "{lost} of {before} pictures cannot be decoded, the first of them at {time:.2} s; they were left out"
            ));
            (self.info.fps, self.info.duration_s) = (info(movie, 0, 0).fps, Some(movie.duration()));
        }
        self.damaged = true;
        Ok(self.movie.len())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests;
