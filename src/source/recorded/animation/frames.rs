//! What the formats of animations have in common.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;

/// Maximum number of pixels of an animation, whose canvas is held in memory.
pub(super) const MAX_CANVAS_PIXELS: u64 = 1 << 24;
/// Ticks per second of durations.
pub(super) const TICKS: u32 = 100_000;

/// The frames of an animation, one after another.
pub(super) trait AnimationFrames {
    /// Width and height of the canvas.
    fn size(&self) -> (u32, u32);

    /// Draws the next frame on the canvas; returns its duration in ticks, and `None` after the last frame. The error is
    /// the problem of the file.
    fn next(&mut self) -> Option<Result<u64, String>>;

    /// The canvas as it is displayed, in rows of R, G, B without gaps.
    fn rgb(&mut self) -> &[u8];
}

/// Why the frames of a file cannot be opened.
pub(super) enum Problem {
    /// A sentence without the input's name.
    TooLarge(String),
    /// The reason.
    Damaged(String),
}

/// A file that counts the bytes that were read from it.
pub(super) struct CountedFile {
    file: File,
    pub(super) read: Rc<Cell<u64>>,
}

impl CountedFile {
    pub(super) fn new(file: File) -> Self {
        Self { file, read: Rc::default() }
    }
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}
