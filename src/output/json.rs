//! Writes JSON Lines: one object per line.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::error::{Error, Result};

/// Writes objects as lines, and flushes after each, so that a reader of a pipe receives it at once.
pub struct JsonLines<W: Write> {
    out: W,
    line: Vec<u8>,
    written: u64,
}

impl<W: Write> JsonLines<W> {
    /// Creates a writer of lines to `out`.
    pub fn new(out: W) -> Self {
        Self { out, line: Vec::new(), written: 0 }
    }

    /// Writes one object.
    ///
    /// # Errors
    /// [`Error::Output`], or [`Error::PipeClosed`] if the reader has closed the pipe.
    pub fn write(&mut self, object: &impl Serialize) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, object).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
        self.write_buffer()
    }

    /// Writes an object that is JSON already.
    ///
    /// # Errors
    /// As [`JsonLines::write`].
    pub fn write_line(&mut self, json: &str) -> Result<()> {
        self.line.clear();
        self.line.extend_from_slice(json.as_bytes());
        self.write_buffer()
    }

    fn write_buffer(&mut self) -> Result<()> {
        self.line.push(b'\n');
        self.out.write_all(&self.line).and_then(|()| self.out.flush()).map_err(output_error)?;
        self.written += 1;
        Ok(())
    }

    /// Returns the number of lines written.
    pub fn written(&self) -> u64 {
        self.written
    }
}

/// Converts an error of writing to stdout. A closed pipe is not a failure: readers such as `head` close it when they
/// have enough lines.
pub fn output_error(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Error::PipeClosed,
        _ => Error::Output(format!("stdout cannot be written: {error}")),
    }
}
