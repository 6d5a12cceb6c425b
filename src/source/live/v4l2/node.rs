//! The kernel's calls for one open device file.

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

use super::api::{Api, KernelStruct};

const MMAP: u32 = v4l2_memory_V4L2_MEMORY_MMAP;

/// The state of one of the driver's buffers.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    pub index: u32,
    pub flags: u32,
    /// The driver's number of the frame.
    pub sequence: u32,
    /// When the frame was captured, by the clock that `flags` specify.
    pub seconds: f64,
    /// The frame's bytes are those from `start` to `end`; both are 0 if there is no frame.
    pub start: usize,
    pub end: usize,
    /// What to map.
    pub offset: u32,
    pub length: usize,
}

/// An open device file.
pub(super) struct DeviceNode {
    file: File,
    api: Api,
}

impl DeviceNode {
    pub fn open(path: &Path, api: Api) -> io::Result<Self> {
        // Files are closed in child processes by default, so that a running ffmpeg never keeps a camera open.
        let file = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self { file, api })
    }

    pub fn api(&self) -> Api {
        self.api
    }

    /// Makes one call. `request` must be one that takes a `T`, whose size it contains.
    pub fn call<T: KernelStruct>(&self, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
        // Bits 16 to 29 of a request are the size of its structure.
        if (request >> 16) & 0x3fff != size_of::<T>() as vidioc::_IOC_TYPE {
            return Err(io::Error::other("a call to the camera's driver with the wrong structure"));
        }
        // SAFETY: `argument` is a structure of the request's size and contains no pointers.
        unsafe { self.ioctl(request, (&raw mut *argument).cast::<c_void>()) }
    }

    /// Requests `count` buffers; returns the number that the driver provides.
    pub fn request_buffers(&self, count: u32) -> io::Result<u32> {
        let mut request =
            v4l2_requestbuffers { count, type_: self.api.buffer_type(), memory: MMAP, ..v4l2_requestbuffers::zeroed() };
        self.call(vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    /// The state of buffer `index`.
    pub fn query_buffer(&self, index: u32) -> io::Result<Buffer> {
        self.buffer(vidioc::VIDIOC_QUERYBUF, index)
    }

    /// Gives buffer `index` to the driver.
    pub fn queue(&self, index: u32) -> io::Result<()> {
        self.buffer(vidioc::VIDIOC_QBUF, index).map(drop)
    }

    /// Takes a filled buffer from the driver.
    pub fn dequeue(&self) -> io::Result<Buffer> {
        self.buffer(vidioc::VIDIOC_DQBUF, 0)
    }

    /// Makes one of the three calls about a buffer.
    fn buffer(&self, request: vidioc::_IOC_TYPE, index: u32) -> io::Result<Buffer> {
        // SAFETY: both are C structures of whole numbers and of pointers that may be null.
        let (mut state, mut plane) = unsafe { std::mem::zeroed::<(v4l2_buffer, v4l2_plane)>() };
        (state.type_, state.memory, state.index) = (self.api.buffer_type(), MMAP, index);
        if self.api == Api::MultiPlanar {
            (state.m.planes, state.length) = (&raw mut plane, 1);
        }
        // SAFETY: the three requests take a `v4l2_buffer`. The kernel follows its pointer to planes only in the
        // multi-planar API, and it points to one plane, as its length specifies.
        unsafe { self.ioctl(request, (&raw mut state).cast::<c_void>())? };
        let (start, end, offset, length) = match self.api {
            Api::SinglePlanar => {
                // SAFETY: API and memory type determine which part of the union is set, a whole number.
                let offset = unsafe { state.m.offset };
                (0, state.bytesused, offset, state.length)
            }
            Api::MultiPlanar => {
                // SAFETY: as above.
                let offset = unsafe { plane.m.mem_offset };
                (plane.data_offset, plane.bytesused, offset, plane.length)
            }
        };
        Ok(Buffer {
            index: state.index,
            flags: state.flags,
            sequence: state.sequence,
            seconds: state.timestamp.tv_sec as f64 + state.timestamp.tv_usec as f64 / 1e6,
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
            // SAFETY: the descriptor is open as long as `self`; the caller promises the rest.
            match unsafe { v4l2::ioctl(self.file.as_raw_fd(), request, argument) } {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Switches capturing on or off.
    pub fn stream(&self, on: bool) -> io::Result<()> {
        let request = if on { vidioc::VIDIOC_STREAMON } else { vidioc::VIDIOC_STREAMOFF };
        let mut buffer_type = self.api.buffer_type();
        // SAFETY: the descriptor is open as long as `self`; both requests read one int.
        unsafe { v4l2::ioctl(self.file.as_raw_fd(), request, (&raw mut buffer_type).cast::<c_void>()) }
    }

    /// Waits until there is a frame or an error; false after `wait`, or a signal.
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

    /// Maps one of the driver's buffers.
    pub fn map(&self, offset: u32, length: usize) -> io::Result<MappedBuffer> {
        // SAFETY: a new mapping at an address that the kernel chooses.
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
        Ok(MappedBuffer { start: start.cast::<u8>(), length })
    }
}

/// A mapped buffer of the driver.
pub(super) struct MappedBuffer {
    start: *mut u8,
    length: usize,
}

impl MappedBuffer {
    pub fn len(&self) -> usize {
        self.length
    }

    /// Copies `bytes` bytes from `start`, or fewer at the end of the buffer, to `into`. The buffer must be dequeued, or
    /// the copy is a mix of frames.
    pub fn copy(&self, start: usize, bytes: usize, into: &mut Vec<u8>) {
        let start = start.min(self.length);
        let bytes = bytes.min(self.length - start);
        into.clear();
        into.reserve(bytes);
        // SAFETY: `self.start` is mapped for `length` bytes until `self` is dropped, `start` and `bytes` lie within
        // them, `into` has room for `bytes`, and the two cannot overlap. No reference is made to memory that a device
        // may write.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.add(start), into.as_mut_ptr(), bytes);
            into.set_len(bytes);
        }
    }
}

impl Drop for MappedBuffer {
    fn drop(&mut self) {
        // SAFETY: mapped by `DeviceNode::map` with this length and not unmapped since, so that it cannot fail.
        unsafe { libc::munmap(self.start.cast::<c_void>(), self.length) };
    }
}

/// A driver's text, which comes from the device and may contain anything.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}
