//! The window of the T newest frames, and the slots that hold their embeddings.

use std::ops::Range;

use heapless::Deque;
use ndarray::Array2;

use crate::units::Seconds;

/// Largest number of frames in a window.
pub const MAX_WINDOW: usize = crate::table::MAX_COLUMNS;

/// Identifies the frame of an embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameStamp {
    /// Stream time at which the frame is shown.
    pub time: Seconds,
    /// Number of the frame in display order, from 0.
    pub index: u64,
}

/// A ring of slots 0..T, in which the newest frame replaces the oldest.
#[derive(Clone, Debug)]
pub(super) struct Window {
    capacity: usize,
    stamps: Deque<FrameStamp, MAX_WINDOW>,
    /// Slot of the next frame.
    next: usize,
}

impl Window {
    /// Creates an empty window of `capacity` slots, 1 to [`MAX_WINDOW`].
    pub fn new(capacity: usize) -> Self {
        Self { capacity, stamps: Deque::new(), next: 0 }
    }

    /// Adds a frame, in place of the oldest if the window is full, and returns its slot.
    pub fn push(&mut self, stamp: FrameStamp) -> usize {
        let slot = self.next;
        if self.stamps.len() == self.capacity {
            self.stamps.pop_front();
        }
        // This cannot fail, because `capacity` is at most MAX_WINDOW.
        let _ = self.stamps.push_back(stamp);
        self.next = (self.next + 1) % self.capacity;
        slot
    }

    /// Returns the number of frames.
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    /// Returns whether every slot has a frame.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity
    }

    /// Returns the slot of the frame that came `index` frames after the oldest.
    pub fn slot(&self, index: usize) -> usize {
        (self.next + self.capacity - self.len() + index) % self.capacity
    }

    /// Returns the slots of the newest `count` frames, as at most two ranges.
    pub fn newest(&self, count: usize) -> [Range<usize>; 2] {
        let count = count.min(self.len());
        if count <= self.next {
            [self.next - count..self.next, 0..0]
        } else {
            [self.capacity + self.next - count..self.capacity, 0..self.next]
        }
    }

    /// Returns the stamps, oldest first.
    pub fn stamps(&self) -> impl Iterator<Item = &FrameStamp> {
        self.stamps.iter()
    }

    /// Removes all frames.
    pub fn clear(&mut self) {
        self.stamps.clear();
        self.next = 0;
    }
}

/// A matrix `[T, D]` whose rows are contiguous.
#[derive(Clone, Debug)]
pub(super) struct Embeddings(Array2<f32>);

impl Embeddings {
    /// Creates a matrix of zeros.
    pub fn new(rows: usize, width: usize) -> Self {
        Self(Array2::zeros((rows, width)))
    }

    /// Returns how many numbers a row has.
    pub fn width(&self) -> usize {
        self.0.ncols()
    }

    /// Returns row `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.all()[i * self.width()..][..self.width()]
    }

    /// Returns row `i` for writing.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        let width = self.width();
        &mut self.all_mut()[i * width..][..width]
    }

    /// Returns the rows of `range` as one slice.
    pub fn range(&self, range: Range<usize>) -> &[f32] {
        &self.all()[range.start * self.width()..range.end * self.width()]
    }

    /// Returns all rows as one slice.
    pub fn all(&self) -> &[f32] {
        // Never `None`, because `Array2::zeros` creates the standard layout.
        self.0.as_slice().unwrap_or(&[])
    }

    /// Returns all rows as one slice for writing.
    pub fn all_mut(&mut self) -> &mut [f32] {
        self.0.as_slice_mut().unwrap_or(&mut [])
    }
}
