//! Shared, immutable bytes.

use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// Bytes that live until their last owner is dropped. Cloning and slicing copy nothing.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Static(&'static [u8]),
    Mapped(Arc<Mmap>),
    /// `u64` elements, so that any table type is aligned.
    Heap(Arc<[u64]>),
}

impl Bytes {
    /// Wraps bytes of the binary.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self { owner: Owner::Static(bytes), range: 0..bytes.len() }
    }

    /// Wraps a mapped file.
    pub fn from_map(map: Mmap) -> Self {
        let range = 0..map.len();
        Self { owner: Owner::Mapped(Arc::new(map)), range }
    }

    /// Copies bytes to the heap, aligned to 8 bytes.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let words = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_ne_bytes(word)
            })
            .collect();
        Self { owner: Owner::Heap(words), range: 0..bytes.len() }
    }

    /// Returns a part of these bytes, or `None` if the range exceeds them.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Self { owner: self.owner.clone(), range: start..start + range.len() })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole: &[u8] = match &self.owner {
            Owner::Static(bytes) => bytes,
            Owner::Mapped(map) => map,
            Owner::Heap(words) => {
                // SAFETY: any initialised u64 is eight initialised bytes, and u8 has no alignment.
                unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
            }
        };
        &whole[self.range.clone()]
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.range.len())
    }
}
