//! Which frames were sampled, kept to be sampled again.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::source::Seconds;

/// The longest line of a trace, bytes.
const MAX_LINE: u64 = 4096;

/// A sampled frame; a line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracePoint {
    /// Its time.
    pub t: Seconds,
    /// Its number, counted from 0; where it is left out, the first frame at or after the time is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
}

/// Writes a trace.
pub struct TraceWriter {
    path: PathBuf,
    out: BufWriter<File>,
}

impl TraceWriter {
    /// Begins a trace, in place of a file of that name.
    ///
    /// # Errors
    /// [`Error::Output`] where the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let out = File::create(path).map_err(|e| failed(path, &e))?;
        Ok(Self { path: path.into(), out: BufWriter::new(out) })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`Error::Output`] where the disk is full or gone.
    pub fn write(&mut self, point: TracePoint) -> Result<()> {
        serde_json::to_writer(&mut self.out, &point)
            .map_err(std::io::Error::from)
            .map_err(|e| failed(&self.path, &e))?;
        self.out.write_all(b"\n").map_err(|e| failed(&self.path, &e))
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// As [`TraceWriter::write`].
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|e| failed(&self.path, &e))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Output(format!("--record-trace {}: {error}", path.display()))
}

/// Reads a trace, a line at a time.
pub struct TraceReader {
    name: String,
    from: Box<dyn BufRead + Send>,
    line: String,
    number: u64,
    last: Option<TracePoint>,
}

impl TraceReader {
    /// # Errors
    /// [`Error::Input`] where the file cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let name = format!("--sample-at {}", path.display());
        let file = File::open(path).map_err(|e| Error::input(&name, e.to_string()))?;
        Ok(Self::new(name, Box::new(BufReader::new(file))))
    }

    /// Reads from anything; `name` is what errors call it.
    pub fn new(name: String, from: Box<dyn BufRead + Send>) -> Self {
        Self { name, from, line: String::new(), number: 0, last: None }
    }

    /// The next sampled frame; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Input`] naming a line that is no point, or that goes back in time.
    pub fn next_point(&mut self) -> Result<Option<TracePoint>> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = std::io::Read::take(&mut self.from, MAX_LINE).read_line(&mut self.line);
            if read.map_err(|e| self.error(e))? == 0 {
                return Ok(None);
            }
            if self.line.len() as u64 == MAX_LINE {
                return Err(self.error("is too long; a trace has lines like {\"t\":0.5,\"frame\":12}"));
            }
            if self.line.trim().is_empty() {
                continue;
            }
            let wrong = |e| self.error(format!("{e}; a trace has lines like {{\"t\":0.5,\"frame\":12}}"));
            let point: TracePoint = serde_json::from_str(&self.line).map_err(wrong)?;
            let goes_on = |last: TracePoint| point.t > last.t && (point.frame.is_none() || point.frame > last.frame);
            if !(point.t.is_finite() && point.t >= 0.0 && self.last.is_none_or(goes_on)) {
                return Err(self.error("times and frames must rise from line to line"));
            }
            self.last = Some(point);
            return Ok(Some(point));
        }
    }

    fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::input(&self.name, format!("line {}: {problem}", self.number))
    }
}
