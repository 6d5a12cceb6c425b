//! An open camera: sets its mode, maps its buffers and reads frames.

use std::fmt;
use std::io;
use std::time::Duration;

use v4l::v4l_sys::*;
use v4l::v4l2::vidioc;

use super::super::raw_frame::{Coding, FrameLayout, jpeg_in};
use super::super::reconnect::{Capture, Device, DeviceError, FrameMeta};
use super::api::KernelStruct;
use super::find::FoundCamera;
use super::modes::{ModeChoice, ModeRequest, choose, interval, list_modes, rate_of};
use super::node::{Buffer, DeviceNode, MappedBuffer, text};
use super::{CameraFormat, FrameSize};
use crate::Error;
use crate::picture::{MAX_VIDEO_PIXELS, Matrix, check_size};
use crate::source::ClipInfo;
use crate::units::Rate;

/// Number of buffers that the driver fills in turn: at 30 frames per second the reader may pause for a tenth of a
/// second.
const BUFFERS: u32 = 4;
/// Maximum number of buffers that are used if the driver provides more.
const MAX_BUFFERS: u32 = 32;

/// An open camera. It is stopped by closing its file, which happens last on drop.
pub(super) struct CaptureDevice {
    choice: ModeChoice,
    mode: Mode,
    layout: FrameLayout,
    buffers: Vec<MappedBuffer>,
    /// The driver's number of the newest frame.
    sequence: Option<u32>,
    node: DeviceNode,
}

/// The mode that the driver has set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    format: CameraFormat,
    size: (u32, u32),
    rate: Option<Rate>,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.format, self.size.0, self.size.1)?;
        match self.rate {
            Some(rate) => write!(f, " at {:.1} frames per second", rate.fps()),
            None => Ok(()),
        }
    }
}

impl CaptureDevice {
    /// Opens a camera, sets its mode and starts it.
    ///
    /// # Errors
    /// [`DeviceError::Fatal`] if the camera does not offer the requested mode, [`DeviceError::Lost`] for everything
    /// that may be temporary.
    pub fn open(found: &FoundCamera, request: &ModeRequest<'_>, matrix: Option<Matrix>) -> Result<Self, DeviceError> {
        let name = found.path.display().to_string();
        let refused = |problem: String| DeviceError::Fatal(Error::input(&name, problem));
        let node = DeviceNode::open(&found.path, found.api).map_err(|e| lost("opening it", &e))?;
        let (modes, others) = list_modes(&node);
        if modes.is_empty() {
            let offers = if others.is_empty() { "none".into() } else { others.join(", ") };
            return Err(refused(format!("offers no supported format (it offers {offers})")));
        }
        let (choice, wanted_size, wanted_format) = match request {
            ModeRequest::Best(request) => {
                let choice = choose(&name, &modes, request).map_err(DeviceError::Fatal)?;
                (choice, request.size.map(|FrameSize { width, height }| (width, height)), request.format)
            }
            // Masks and regions are in pixels of the size that the camera had before.
            ModeRequest::Same(choice, size) => (*choice, Some(*size), None),
        };
        let (layout, format) = set_format(&node, choice.format, choice.size, matrix)?;
        let size = (layout.width, layout.height);
        check_size(size.0, size.1, MAX_VIDEO_PIXELS).map_err(refused)?;
        if wanted_size.is_some_and(|wanted| wanted != size) || wanted_format.is_some_and(|wanted| wanted != format) {
            let (width, height) = choice.size;
            let actual = format!("{format} {}x{}", size.0, size.1);
            return Err(refused(format!("delivers {actual} instead of {} {width}x{height}", choice.format)));
        }
        let rate = set_rate(&node, choice.fps);
        let buffers = map_buffers(&node)?;
        node.stream(true).map_err(|e| lost("starting it", &e))?;
        Ok(Self { choice, mode: Mode { format, size, rate }, layout, buffers, sequence: None, node })
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A request for the same mode.
    pub fn same_mode(&self) -> ModeRequest<'static> {
        ModeRequest::Same(self.choice, self.mode.size)
    }

    /// Takes a filled buffer from the driver; `None` if there is none yet.
    fn dequeue(&self) -> Result<Option<Buffer>, DeviceError> {
        match self.node.dequeue() {
            Ok(buffer) if (buffer.index as usize) < self.buffers.len() => Ok(Some(buffer)),
            Ok(buffer) => {
                Err(DeviceError::Lost(format!("its driver returned buffer {}, which does not exist", buffer.index)))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(lost("reading a frame", &e)),
        }
    }

    fn queue(&self, index: u32) -> Result<(), DeviceError> {
        self.node.queue(index).map_err(|e| lost("returning a buffer", &e))
    }

    /// Copies the frame in a filled buffer to `into`.
    fn copy_frame(&self, buffer: &Buffer, into: &mut Vec<u8>) -> Capture {
        if buffer.flags & V4L2_BUF_FLAG_ERROR != 0 {
            return Capture::Corrupt;
        }
        let mapped = &self.buffers[buffer.index as usize];
        let bytes = buffer.end.min(mapped.len()).saturating_sub(buffer.start);
        if self.layout.coding == Coding::Mjpeg {
            mapped.copy(buffer.start, bytes, into);
            match jpeg_in(into).map(<[u8]>::len) {
                None => return if bytes == 0 { Capture::Short } else { Capture::Corrupt },
                Some(0) => return Capture::Short,
                Some(length) => into.truncate(length),
            }
        } else if bytes < self.layout.bytes() {
            return Capture::Short;
        } else {
            mapped.copy(buffer.start, self.layout.bytes(), into);
        }
        let monotonic = buffer.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        let clock_s = (monotonic && buffer.seconds > 0.0).then_some(buffer.seconds);
        Capture::Frame(FrameMeta { layout: self.layout, clock_s, skipped: 0, lost: 0 })
    }
}

impl Device for CaptureDevice {
    fn info(&self) -> ClipInfo {
        let (width, height) = self.mode.size;
        let fps = self.mode.rate.map(Rate::fps);
        ClipInfo { format: format!("camera, {}", self.mode.format), width, height, fps, duration_s: None }
    }

    fn next_frame(&mut self, wait: Duration, into: &mut Vec<u8>) -> Result<Capture, DeviceError> {
        if !self.node.wait(wait).map_err(|e| lost("waiting for a frame", &e))? {
            return Ok(Capture::Nothing);
        }
        let Some(mut newest) = self.dequeue()? else { return Ok(Capture::Nothing) };
        // Frames that were captured in the meantime are skipped in favour of the newest.
        let mut skipped = 0;
        let first = newest.sequence;
        while skipped < u64::from(MAX_BUFFERS)
            && let Some(newer) = self.dequeue()?
        {
            self.queue(newest.index)?;
            newest = newer;
            skipped += 1;
        }
        // Missing numbers are frames that the driver had no buffer for.
        let expected = self.sequence.replace(newest.sequence).map_or(first, |last| last.wrapping_add(1));
        let numbered = u64::from(newest.sequence.wrapping_sub(expected));
        let lost = if numbered < 1 << 16 { numbered.saturating_sub(skipped) } else { 0 };
        let capture = self.copy_frame(&newest, into);
        self.queue(newest.index)?;
        Ok(match capture {
            Capture::Frame(meta) => Capture::Frame(FrameMeta { skipped, lost, ..meta }),
            other => other,
        })
    }
}

/// The error for a failed call that may succeed later.
fn lost(doing: &str, e: &io::Error) -> DeviceError {
    DeviceError::Lost(match e.raw_os_error() {
        Some(libc::ENODEV | libc::ENOENT | libc::ENXIO) => "it was unplugged".into(),
        Some(libc::EBUSY) => "another program is using it".into(),
        Some(libc::EIO) => format!("{doing} failed: the driver reported a fatal error"),
        Some(libc::EACCES) => "permission denied; add the user to the group video: sudo usermod -aG video $USER".into(),
        _ => format!("{doing} failed: {e}"),
    })
}

/// Sets format and size; returns what the driver has set.
fn set_format(
    node: &DeviceNode,
    format: CameraFormat,
    (width, height): (u32, u32),
    matrix: Option<Matrix>,
) -> Result<(FrameLayout, CameraFormat), DeviceError> {
    let mut request = node.api().request(format.number(), (width, height));
    node.call(vidioc::VIDIOC_S_FMT, &mut request).map_err(|e| lost("setting its format", &e))?;
    let granted = node.api().granted(&request);
    let format = CameraFormat::of_number(granted.format).ok_or_else(|| {
        DeviceError::Lost(format!("it delivers the unsupported format {:?}", text(&granted.format.to_le_bytes())))
    })?;
    if granted.field == v4l2_field_V4L2_FIELD_ALTERNATE {
        return Err(DeviceError::Lost("it delivers single fields of interlaced video, which are not supported".into()));
    }
    if granted.blocks != 1 {
        let blocks = granted.blocks;
        return Err(DeviceError::Lost(format!(
            "it delivers frames in {blocks} memory blocks, which are not supported"
        )));
    }
    let layout = granted.layout(format, matrix).map_err(DeviceError::Lost)?;
    Ok((layout, format))
}

/// Sets the frame rate if the driver accepts one; returns the rate that it reports.
fn set_rate(node: &DeviceNode, fps: Option<f64>) -> Option<Rate> {
    let mut parameters = v4l2_streamparm { type_: node.api().buffer_type(), ..v4l2_streamparm::zeroed() };
    if let Some(fps) = fps {
        parameters.parm.capture.timeperframe = interval(fps);
        // A driver that does not accept a rate keeps its own.
        if let Err(e) = node.call(vidioc::VIDIOC_S_PARM, &mut parameters) {
            log::debug!("the camera accepts no frame rate: {e}");
        }
    }
    node.call(vidioc::VIDIOC_G_PARM, &mut parameters).ok()?;
    // SAFETY: the type determines which part of the union is set, and it consists of whole numbers.
    rate_of(unsafe { parameters.parm.capture.timeperframe })
}

/// Requests buffers, maps them and queues them for the driver.
fn map_buffers(node: &DeviceNode) -> Result<Vec<MappedBuffer>, DeviceError> {
    let count = node.request_buffers(BUFFERS).map_err(|e| lost("requesting its buffers", &e))?;
    if !(1..=MAX_BUFFERS).contains(&count) {
        return Err(DeviceError::Lost(format!("its driver provides {count} buffers, which cannot be used")));
    }
    let mut buffers = Vec::new();
    for index in 0..count {
        let buffer = node.query_buffer(index).map_err(|e| lost("requesting its buffers", &e))?;
        buffers.push(node.map(buffer.offset, buffer.length).map_err(|e| lost("mapping its buffers", &e))?);
    }
    for index in 0..count {
        node.queue(index).map_err(|e| lost("queueing its buffers", &e))?;
    }
    Ok(buffers)
}
