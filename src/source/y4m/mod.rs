//! YUV4MPEG2: uncompressed video with a line of text before it and before each frame.
//!
//! The format that `ffmpeg -f yuv4mpegpipe`, `rpicam-vid` and mjpegtools speak through a pipe. A file is read
//! by offset, only the frames that are wanted; a pipe is read whole, one frame in memory at a time.

mod header;
mod reader;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::recorded::{Reader, Recording};
use super::{ClipInfo, Matrix};
use crate::{Error, Result};
use header::Header;
pub(super) use header::MAGIC;
pub(super) use reader::{Pipe, Y4mReader};

/// A y4m file.
pub(super) struct Y4mFile {
    input: String,
    path: PathBuf,
    matrix: Option<Matrix>,
    info: ClipInfo,
    warnings: Vec<String>,
}

impl Y4mFile {
    pub(super) fn open(input: &str, path: &Path, matrix: Option<Matrix>) -> Result<Self> {
        let reader = reader_of(input, path, matrix)?;
        Ok(Self { input: input.into(), path: path.into(), matrix, info: reader.info(), warnings: Vec::new() })
    }

    /// A reader at the first frame that another thread may take over.
    pub(super) fn sendable(&self) -> Result<Y4mReader<BufReader<File>>> {
        reader_of(&self.input, &self.path, self.matrix)
    }
}

impl Recording for Y4mFile {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(self.sendable()?))
    }

    fn count(&mut self) -> Result<u64> {
        let mut reader = self.sendable()?;
        while reader.advance(&|_, _| false)?.is_some() {}
        self.warnings = reader.warnings().to_vec();
        let count = reader.passed();
        self.info.duration_s = Some(reader.rate().time_of(count));
        Ok(count)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn reader_of(input: &str, path: &Path, matrix: Option<Matrix>) -> Result<Y4mReader<BufReader<File>>> {
    let failed = |e: std::io::Error| Error::input(input, format!("cannot be read: {e}"));
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Y4mReader::new(input, BufReader::with_capacity(1 << 16, file), Some(length), matrix)
}

#[cfg(test)]
mod tests;
