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

/// The kind of buffer that all calls here are about.
pub(super) const CAPTURE: u32 = v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;

/// Structures of the kernel's video interface.
///
/// # Safety
/// Only for plain C structures, for which zeros are a value.
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
    v4l2_buffer,
    v4l2_requestbuffers
);

/// An open device file.
pub(super) struct Node {
    file: File,
}

impl Node {
    pub fn open(path: &Path) -> io::Result<Self> {
        // Closed in children by default, so that a running ffmpeg never holds a camera.
        let file = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self { file })
    }

    /// One call; `request` must be one that takes a `T`, whose size it carries.
    pub fn call<T: Plain>(&self, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
        // Bits 16 to 29 of a request are the size of its structure.
        if (request >> 16) & 0x3fff != size_of::<T>() as vidioc::_IOC_TYPE {
            return Err(io::Error::other("a call to the camera's driver with the wrong structure"));
        }
        loop {
            // SAFETY: the descriptor is open as long as `self`, and `argument` is a structure of the size that the
            // request says; none of the structures used holds pointers that the kernel follows.
            match unsafe { v4l2::ioctl(self.file.as_raw_fd(), request, (&raw mut *argument).cast::<c_void>()) } {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Switches capturing on or off.
    pub fn stream(&self, on: bool) -> io::Result<()> {
        let request = if on { vidioc::VIDIOC_STREAMON } else { vidioc::VIDIOC_STREAMOFF };
        let mut kind = CAPTURE;
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

    /// Copies the first `bytes`, or all where there are fewer, to `into`. The buffer must have been handed over by the
    /// driver and not yet given back, or the copy is a mix of frames.
    pub fn copy(&self, bytes: usize, into: &mut Vec<u8>) {
        let bytes = bytes.min(self.length);
        into.clear();
        into.reserve(bytes);
        // SAFETY: `start` is mapped for `length` bytes until `self` is dropped, `into` has room for `bytes`, and the two
        // cannot overlap. No reference is made to memory that a device may write.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start, into.as_mut_ptr(), bytes);
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
