//! Memory that the tasks of one operator share: each writes its own part.

use std::marker::PhantomData;

/// A mutable slice of which several threads write different parts.
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: parts are only handed out under the promise that they do not overlap (see `part`).
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Shares `slice` for as long as this lives.
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// Numbers `start..start + len`.
    ///
    /// # Safety
    /// No other reference to any of these numbers is alive.
    ///
    /// # Panics
    /// When they are not all inside.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: inside the slice by the assertion; unshared by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// `rows` rows of `width` numbers, the first from `start` on, `stride` apart.
    ///
    /// # Safety
    /// No other reference to any of these numbers is alive while the block is.
    ///
    /// # Panics
    /// When they are not all inside, or rows overlap.
    pub(crate) unsafe fn block(&self, start: usize, stride: usize, rows: usize, width: usize) -> Block<'_> {
        assert!(width <= stride && (rows == 0 || start + (rows - 1) * stride + width <= self.len));
        Block { start: self.start.wrapping_add(start), stride, rows, width, owner: PhantomData }
    }
}

/// Rows of a [`Shared`] slice that one task alone writes.
pub(crate) struct Block<'a> {
    start: *mut f32,
    stride: usize,
    rows: usize,
    width: usize,
    owner: PhantomData<&'a mut [f32]>,
}

impl Block<'_> {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Numbers from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first number. Rows may be written from here as long as the block lives.
    pub(crate) fn start(&mut self) -> *mut f32 {
        self.start
    }

    /// # Panics
    /// When there is no such row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: inside, and unshared, by the promises of `Shared::block`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width) }
    }
}
