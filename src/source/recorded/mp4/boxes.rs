//! Parses the boxes of an MP4 file from untrusted bytes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Maximum number of boxes at the top level: one fragment per second for a week.
const MAX_TOP_BOXES: usize = 1_500_000;

/// A name of four letters.
pub(super) type Name = [u8; 4];

/// A box at the top level of a file, and the position of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopBox {
    pub(super) name: Name,
    /// Start of the box, including its header.
    pub(super) start: u64,
    pub(super) payload: u64,
    /// As its header claims; may be beyond the end of the file.
    pub(super) end: u64,
}

/// Lists the top-level boxes of a file of `length` bytes, up to the first invalid one.
pub(super) fn top_boxes(file: &mut File, length: u64) -> io::Result<Vec<TopBox>> {
    let mut boxes = Vec::new();
    let mut start = 0u64;
    while start + 8 <= length && boxes.len() < MAX_TOP_BOXES {
        let mut head = [0; 16];
        let want = if start + 16 <= length { 16 } else { 8 };
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut head[..want])?;
        let mut fields = Fields::new(&head[..want]);
        let (size, name) = (fields.u32().unwrap_or(0), fields.name().unwrap_or_default());
        let (header, size) = match size {
            0 => (8, length - start),
            1 => (16, fields.u64().unwrap_or(0)),
            n => (8, u64::from(n)),
        };
        let Some(end) = start.checked_add(size).filter(|_| size >= header) else { break };
        boxes.push(TopBox { name, start, payload: start + header, end });
        start = end;
    }
    Ok(boxes)
}

/// Reads the payload of a top-level box; `None` if it is longer than `max` bytes or truncated.
pub(super) fn payload(file: &mut File, of: &TopBox, max: u64) -> io::Result<Option<Vec<u8>>> {
    let size = of.end.saturating_sub(of.payload);
    if size > max {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(of.payload))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == size).then_some(bytes))
}

/// Big-endian fields, read forward; `None` past the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number of 64 bits in version 1 of a box, of 32 bits in version 0.
    pub(super) fn long(&mut self, version: u8) -> Option<u64> {
        if version == 1 { self.u64() } else { self.u32().map(u64::from) }
    }

    pub(super) fn name(&mut self) -> Option<Name> {
        self.array()
    }

    /// Version and flags of a full box.
    pub(super) fn version(&mut self) -> Option<(u8, u32)> {
        self.u32().map(|v| ((v >> 24) as u8, v & 0x00ff_ffff))
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// A table of `count` entries of `width` bytes, or of as many as there are.
    pub(super) fn table(&mut self, count: u32, width: usize) -> std::slice::ChunksExact<'a, u8> {
        let there = self.0.len() / width;
        let entries = there.min(count as usize);
        self.bytes(entries * width).unwrap_or_default().chunks_exact(width)
    }
}

/// The boxes within a payload.
pub(super) struct Children<'a>(Fields<'a>);

pub(super) fn children(payload: &[u8]) -> Children<'_> {
    Children(Fields::new(payload))
}

impl<'a> Iterator for Children<'a> {
    type Item = (Name, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.0.u32()?;
        let name = self.0.name()?;
        let inner = match size {
            0 => self.0.rest().len(),
            1 => usize::try_from(self.0.u64()?.checked_sub(16)?).ok()?,
            n => (n as usize).checked_sub(8)?,
        };
        // Of the last box in a damaged parent, the bytes that are present are returned.
        Some((name, self.0.bytes(inner.min(self.0.rest().len()))?))
    }
}

/// The payload of the first child with this name.
pub(super) fn child<'a>(payload: &'a [u8], name: &Name) -> Option<&'a [u8]> {
    children(payload).find(|(n, _)| n == name).map(|(_, bytes)| bytes)
}

/// The payload at the end of a chain of first children.
pub(super) fn path<'a>(payload: &'a [u8], names: &[&Name]) -> Option<&'a [u8]> {
    names.iter().try_fold(payload, |bytes, name| child(bytes, name))
}
