//! Reads the frames of a y4m file or pipe, forward.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::super::{Reader, Recording, Wanted};
use super::Header;
use crate::picture::{Matrix, Picture, Pixels, Rotation};
use crate::source::ClipInfo;
use crate::units::{Rate, Seconds};
use crate::{Error, Result};

/// A y4m file.
pub(in crate::source) struct Y4mFile {
    input: String,
    path: PathBuf,
    matrix: Option<Matrix>,
    info: ClipInfo,
    warnings: Vec<String>,
}

impl Y4mFile {
    pub(in crate::source) fn open(input: &str, path: &Path, matrix: Option<Matrix>) -> Result<Self> {
        let reader = reader_of(input, path, matrix)?;
        Ok(Self { input: input.into(), path: path.into(), matrix, info: reader.info(), warnings: Vec::new() })
    }

    fn y4m_reader(&self) -> Result<Y4mReader<BufReader<File>>> {
        reader_of(&self.input, &self.path, self.matrix)
    }
}

impl Recording for Y4mFile {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(self.y4m_reader()?))
    }

    fn count(&mut self) -> Result<u64> {
        let mut reader = self.y4m_reader()?;
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

/// Maximum length in bytes of the first line, whose comments are free text.
const MAX_HEADER: usize = 4096;
/// Maximum length in bytes of the line before a frame.
const MAX_FRAME_LINE: usize = 256;
/// Used if the header does not specify a rate.
const DEFAULT_RATE: Rate = Rate { num: 25, den: 1 };

/// Skips the data of unwanted frames.
pub(in crate::source) trait SkipBytes: Read {
    /// Skips `bytes` and returns how many were skipped. The caller has checked them against the length of a file.
    fn skip(&mut self, bytes: u64) -> io::Result<u64>;
}

impl<R: Read + Seek> SkipBytes for BufReader<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        self.seek_relative(i64::try_from(bytes).map_err(io::Error::other)?)?;
        Ok(bytes)
    }
}

/// Wraps an input that cannot seek, whose unwanted frames are read and dropped.
pub(in crate::source) struct Pipe<R>(pub(in crate::source) R);

impl<R: Read> Read for Pipe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> SkipBytes for Pipe<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut (&mut self.0).take(bytes), &mut io::sink())
    }
}

/// A line of text, or the reason why there is none.
enum Line {
    /// The line without its line feed.
    Whole(Vec<u8>),
    /// The input ended after this many bytes of the line.
    Truncated(usize),
    TooLong,
}

fn read_line(from: &mut impl Read, max: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match from.read(&mut byte) {
            Ok(0) => return Ok(Line::Truncated(line.len())),
            Ok(_) if byte == *b"\n" => return Ok(Line::Whole(line)),
            Ok(_) if line.len() == max => return Ok(Line::TooLong),
            Ok(_) => line.extend_from_slice(&byte),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Reads y4m frames forward.
pub(in crate::source) struct Y4mReader<R> {
    input: String,
    from: R,
    header: Header,
    rate: Rate,
    matrix: Matrix,
    /// Bytes left, if the length is known.
    left: Option<u64>,
    /// Frames passed, including the current one.
    passed: u64,
    ended: bool,
    buffer: Vec<u8>,
    warnings: Vec<String>,
}

impl<R: SkipBytes> Y4mReader<R> {
    /// Reads the header. `length` is the length of the file; `None` for a pipe.
    pub(in crate::source) fn new(input: &str, from: R, length: Option<u64>, matrix: Option<Matrix>) -> Result<Self> {
        let mut from = from;
        let line =
            match read_line(&mut from, MAX_HEADER).map_err(|e| Error::input(input, format!("cannot be read: {e}")))? {
                Line::Whole(line) => line,
                Line::Truncated(_) => return Err(Error::input(input, "ended within its y4m header")),
                Line::TooLong => return Err(Error::input(input, "its y4m header is too long")),
            };
        let header = Header::parse(&line).map_err(|problem| Error::input(input, problem))?;
        let mut warnings = Vec::new();
        if header.rate.is_none() {
            warnings.push("its y4m header has no frame rate; 25 per second is assumed".into());
        }
        Ok(Self {
            input: input.into(),
            from,
            rate: header.rate.unwrap_or(DEFAULT_RATE),
            header,
            matrix: matrix.unwrap_or_default(),
            left: length.map(|length| length.saturating_sub(line.len() as u64 + 1)),
            passed: 0,
            ended: false,
            buffer: Vec::new(),
            warnings,
        })
    }

    /// The properties that the header specifies.
    pub(in crate::source) fn info(&self) -> ClipInfo {
        ClipInfo {
            format: "y4m".into(),
            width: self.header.width,
            height: self.header.height,
            fps: Some(self.rate.fps()),
            duration_s: None,
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Complete frames passed so far.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Reads the line before a frame; false at the end of the input.
    fn enter_frame(&mut self) -> Result<bool> {
        match read_line(&mut self.from, MAX_FRAME_LINE).map_err(|e| self.failed(&e))? {
            Line::Whole(line) if line == b"FRAME" || line.starts_with(b"FRAME ") => {
                self.left = self.left.map(|left| left.saturating_sub(line.len() as u64 + 1));
                Ok(true)
            }
            Line::Truncated(0) => Ok(false),
            Line::Truncated(_) => {
                self.warn_truncated();
                Ok(false)
            }
            _ if self.passed == 0 => Err(Error::input(
                &self.input,
                format!(
                    "its first frame does not begin with FRAME; its header ({} x {}) does not match its data",
                    self.header.width, self.header.height
                ),
            )),
            _ => {
                self.warn(format!("the y4m data after frame {} is not a frame; the rest was skipped", self.passed));
                Ok(false)
            }
        }
    }

    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn warn_truncated(&mut self) {
        self.warn(format!("the y4m data ends within frame {}; that frame was dropped", self.passed));
    }

    fn failed(&self, e: &io::Error) -> Error {
        Error::input(&self.input, format!("cannot be read after frame {}: {e}", self.passed))
    }

    /// Reads one frame into the buffer, which grows with the data that arrive, not with the size that a header claims.
    fn read_frame(&mut self, bytes: usize) -> Result<bool> {
        if self.buffer.len() == bytes {
            return match self.from.read_exact(&mut self.buffer) {
                Ok(()) => Ok(true),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                Err(e) => Err(self.failed(&e)),
            };
        }
        self.buffer.clear();
        let read = (&mut self.from).take(bytes as u64).read_to_end(&mut self.buffer);
        match read {
            Ok(read) => Ok(read == bytes),
            Err(e) => Err(self.failed(&e)),
        }
    }
}

impl<R: SkipBytes> Reader for Y4mReader<R> {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        let bytes = self.header.frame_bytes();
        while !self.ended {
            self.ended = !self.enter_frame()?;
            if self.ended {
                break;
            }
            let (index, time) = (self.passed, self.rate.time_of(self.passed));
            let take = wanted(index, time);
            let whole = if self.left.is_some_and(|left| left < bytes as u64) {
                false
            } else if take {
                self.read_frame(bytes)?
            } else {
                self.from.skip(bytes as u64).map_err(|e| self.failed(&e))? == bytes as u64
            };
            if !whole {
                self.ended = true;
                self.warn_truncated();
                break;
            }
            self.left = self.left.map(|left| left - bytes as u64);
            self.passed += 1;
            if take {
                return Ok(Some((index, time)));
            }
        }
        Ok(None)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        let planes = self.header.planes();
        if self.buffer.len() != self.header.frame_bytes() {
            return Err(Error::Internal("a y4m picture was requested before a frame was read".into()));
        }
        let (luma, chroma) = self.buffer.split_at(planes[0].0 * planes[0].1);
        let (u, v) = chroma.split_at(planes[1].0 * planes[1].1);
        Ok(Picture {
            width: self.header.width,
            height: self.header.height,
            rotation: Rotation::None,
            aspect: self.header.aspect,
            pixels: Pixels::Yuv {
                planes: [luma, u, v],
                strides: planes.map(|(w, _)| w),
                subsampling: self.header.subsampling,
                full_range: self.header.full_range,
                matrix: self.matrix,
            },
        })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
