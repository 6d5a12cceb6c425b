//! The kernel's calls for one open device file. All that is unsafe about cameras is here.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::null_mut;
use std::time::Duration;

use v4l::v4l_sys::*;
use v4l::v4l2::{self, vidioc};

use super::dialect::Dialect;

const MMAP: u32 = v4l2_memory_V4L2_MEMORY_MMAP;

/// Structures of the kernel's video interface.
///
/// # Safety
/// Only for plain C structures, for which zeros are a value, without pointers that the kernel follows.
pub(super) unsafe trait Plain: Sized {
    /// All zeros, as the interface wants what is not set.
    fn zeroed() -> Self {
        // SAFETY: implementing the trait promises that zeros are a value.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($name:ident),*) => { $(
        // SAFETY: a C structure of whole numbers and unions of them.
        unsafe impl Plain for $name {}
    )* };
}
plain!(
    v4l2_capability,
    v4l2_fmtdesc,
    v4l2_frmsizeenum,
    v4l2_frmivalenum,
    v4l2_format,
    v4l2_streamparm,
    v4l2_requestbuffers
);

/// What the driver says of one of its buffers.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    pub index: u32,
    pub flags: u32,
    /// The driver's number of the frame.
    pub sequence: u32,
    /// When the frame was taken, by the clock that `flags` name.
    pub seconds: f64,
    /// The frame's bytes are those from `start` to `end`; both are 0 where there is none.
    pub start: usize,
    pub end: usize,
    /// Where it is mapped from, and how long it is.
    pub offset: u32,
    pub length: usize,
}

/// An open device file.
pub(super) struct Node {
    file: File,
    dialect: Dialect,
}

impl Node {
    pub fn open(path: &Path, dialect: Dialect) -> io::Result<Self> {
        // Closed in children by default, so that a running ffmpeg never holds a camera.
        let file = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self { file, dialect })
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// One call; `request` must be one that takes a `T`, whose size it carries.
    pub fn call<T: Plain>(&self, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
        // Bits 16 to 29 of a request are the size of its structure.
        if (request >> 16) & 0x3fff != size_of::<T>() as vidioc::_IOC_TYPE {
            return Err(io::Error::other("a call to the camera's driver with the wrong structure"));
        }
        // SAFETY: `argument` is a structure of the size that the request says, and holds no pointers.
        unsafe { self.ioctl(request, (&raw mut *argument).cast::<c_void>()) }
    }

    /// Asks for up to `count` buffers; how many there are.
    pub fn request_buffers(&self, count: u32) -> io::Result<u32> {
        let mut request =
            v4l2_requestbuffers { count, type_: self.dialect.kind(), memory: MMAP, ..v4l2_requestbuffers::zeroed() };
        self.call(vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    /// What the driver says of buffer `index`.
    pub fn query_buffer(&self, index: u32) -> io::Result<Buffer> {
        self.buffer(vidioc::VIDIOC_QUERYBUF, index)
    }

    /// Gives buffer `index` to the driver.
    pub fn queue(&self, index: u32) -> io::Result<()> {
        self.buffer(vidioc::VIDIOC_QBUF, index).map(drop)
    }

    /// Takes a buffer that the driver has filled.
    pub fn dequeue(&self) -> io::Result<Buffer> {
        self.buffer(vidioc::VIDIOC_DQBUF, 0)
    }

    /// One of the three calls about a buffer.
    fn buffer(&self, request: vidioc::_IOC_TYPE, index: u32) -> io::Result<Buffer> {
        // SAFETY: both are C structures of whole numbers and of pointers that may be null.
        let (mut told, mut piece) = unsafe { std::mem::zeroed::<(v4l2_buffer, v4l2_plane)>() };
        (told.type_, told.memory, told.index) = (self.dialect.kind(), MMAP, index);
        if self.dialect == Dialect::MultiPlanar {
            (told.m.planes, told.length) = (&raw mut piece, 1);
        }
        // SAFETY: the three requests take a `v4l2_buffer`, whose only pointer that the kernel follows, and only in the
        // multi-planar dialect, is to the one piece that its length says.
        unsafe { self.ioctl(request, (&raw mut told).cast::<c_void>())? };
        let (start, end, offset, length) = match self.dialect {
            Dialect::SinglePlanar => {
                // SAFETY: dialect and kind of memory say which part of the union is set, a whole number.
                let offset = unsafe { told.m.offset };
                (0, told.bytesused, offset, told.length)
            }
            Dialect::MultiPlanar => {
                // SAFETY: as above.
                let offset = unsafe { piece.m.mem_offset };
                (piece.data_offset, piece.bytesused, offset, piece.length)
            }
        };
        Ok(Buffer {
            index: told.index,
            flags: told.flags,
            sequence: told.sequence,
            seconds: told.timestamp.tv_sec as f64 + told.timestamp.tv_usec as f64 / 1e6,
            start: start as usize,
            end: end as usize,
            offset,
            length: length as usize,
        })
    }

    /// # Safety
    /// `argument` must be what the request takes.
    unsafe fn ioctl(&self, request: vidioc::_IOC_TYPE, argument: *mut c_void) -> io::Result<()> {
        loop {
            // SAFETY: the descriptor is open as long as `self`; the rest is promised by the caller.
            match unsafe { v4l2::ioctl(self.file.as_raw_fd(), request, argument) } {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Switches capturing on or off.
    pub fn stream(&self, on: bool) -> io::Result<()> {
        let request = if on { vidioc::VIDIOC_STREAMON } else { vidioc::VIDIOC_STREAMOFF };
        let mut kind = self.dialect.kind();
        // SAFETY: the descriptor is open as long as `self`; both requests read one int.
        unsafe { v4l2::ioctl(self.file.as_raw_fd(), request, (&raw mut kind).cast::<c_void>()) }
    }

    /// Waits until a frame or an error is there; false after `wait`, or a signal.
    pub fn wait(&self, wait: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one valid entry, of a descriptor that is open as long as `self`.
        match unsafe { libc::poll(&raw mut poll, 1, millis) } {
            0 => Ok(false),
            1.. => Ok(true),
            _ => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => Ok(false),
                e => Err(e),
            },
        }
    }

    /// Maps a buffer of the driver's.
    pub fn map(&self, offset: u32, length: usize) -> io::Result<Mapped> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                self.file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapped { start: start.cast::<u8>(), length })
    }
}

/// A buffer of the driver's, mapped.
pub(super) struct Mapped {
    start: *mut u8,
    length: usize,
}

impl Mapped {
    pub fn len(&self) -> usize {
        self.length
    }

    /// Copies `bytes` from `start` on, or all where there are fewer, to `into`. The buffer must have been handed over by
    /// the driver and not yet given back, or the copy is a mix of frames.
    pub fn copy(&self, start: usize, bytes: usize, into: &mut Vec<u8>) {
        let start = start.min(self.length);
        let bytes = bytes.min(self.length - start);
        into.clear();
        into.reserve(bytes);
        // SAFETY: `self.start` is mapped for `length` bytes until `self` is dropped, `start` and `bytes` lie within them,
        // `into` has room for `bytes`, and the two cannot overlap. No reference is made to memory that a device may write.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.add(start), into.as_mut_ptr(), bytes);
            into.set_len(bytes);
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `Node::map` with this length and not unmapped since. It cannot fail so.
        unsafe { libc::munmap(self.start.cast::<c_void>(), self.length) };
    }
}

/// Text of the driver's, which comes from the device and may be anything.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}
