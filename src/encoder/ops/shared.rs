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
}
