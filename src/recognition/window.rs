//! The window: the last T frames' embeddings, each kept in the slot it came to.

use std::ops::Range;

use heapless::Deque;
use ndarray::Array2;

use crate::source::Seconds;

/// The most frames a window holds.
pub const MAX_WINDOW: usize = crate::table::MAX_COLUMNS;

/// Which frame an embedding is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameStamp {
    /// When it is shown, on the source's clock.
    pub time: Seconds,
    /// 0-based, in display order.
    pub index: u64,
}

/// Slots 0..T, filled in turn; the newest frame replaces the oldest.
#[derive(Clone, Debug)]
pub(super) struct Window {
    capacity: usize,
    stamps: Deque<FrameStamp, MAX_WINDOW>,
    /// Where the next frame goes.
    next: usize,
}

impl Window {
    /// An empty window of `capacity` slots, 1 to [`MAX_WINDOW`].
    pub fn new(capacity: usize) -> Self {
        Self { capacity, stamps: Deque::new(), next: 0 }
    }

    /// Makes room for a frame and returns its slot.
    pub fn push(&mut self, stamp: FrameStamp) -> usize {
        let slot = self.next;
        if self.stamps.len() == self.capacity {
            self.stamps.pop_front();
        }
        // There is room: `capacity` is at most MAX_WINDOW.
        let _ = self.stamps.push_back(stamp);
        self.next = (self.next + 1) % self.capacity;
        slot
    }

    /// Number of frames in it.
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    /// True where every slot is taken.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity
    }

    /// Slot of the frame that is `age` frames younger than the oldest.
    pub fn slot(&self, age: usize) -> usize {
        (self.next + self.capacity - self.len() + age) % self.capacity
    }

    /// Slots of the youngest `count` frames, as at most two ranges.
    pub fn youngest(&self, count: usize) -> [Range<usize>; 2] {
        let count = count.min(self.len());
        if count <= self.next {
            [self.next - count..self.next, 0..0]
        } else {
            [self.capacity + self.next - count..self.capacity, 0..self.next]
        }
    }

    /// Stamps, oldest first.
    pub fn stamps(&self) -> impl Iterator<Item = &FrameStamp> {
        self.stamps.iter()
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        self.stamps.clear();
        self.next = 0;
    }
}

/// `[T, D]` numbers whose rows are contiguous.
#[derive(Clone, Debug)]
pub(super) struct Embeddings(Array2<f32>);

impl Embeddings {
    /// Zeros.
    pub fn new(rows: usize, width: usize) -> Self {
        Self(Array2::zeros((rows, width)))
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.0.ncols()
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.all()[i * self.width()..][..self.width()]
    }

    /// Row `i`, to be written.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        let width = self.width();
        &mut self.all_mut()[i * width..][..width]
    }

    /// Rows `range`, one after another.
    pub fn range(&self, range: Range<usize>) -> &[f32] {
        &self.all()[range.start * self.width()..range.end * self.width()]
    }

    /// All rows, one after another.
    pub fn all(&self) -> &[f32] {
        // Made by `Array2::zeros`, so in standard layout.
        self.0.as_slice().unwrap_or(&[])
    }

    /// All rows, to be written.
    pub fn all_mut(&mut self) -> &mut [f32] {
        self.0.as_slice_mut().unwrap_or(&mut [])
    }
}
