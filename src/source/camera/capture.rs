//! One open camera: its mode set, its buffers mapped, frames out of it.

use std::fmt;
use std::io;
use std::time::Duration;

use v4l::v4l_sys::*;
use v4l::v4l2::vidioc;

use super::choose::{Ask, Choice, choose};
use super::coding::{Told, layout};
use super::find::Found;
use super::format::CameraFormat;
use super::modes::{interval, modes, rate_of};
use super::node::{Buffer, Mapped, Node, Plain};
use crate::Error;
use crate::source::limits::{MAX_VIDEO_PIXELS, check_size};
use crate::source::live::keeper::{Came, Device, Fault, Got};
use crate::source::live::shot::{Coding, Layout, jpeg_in};
use crate::source::{ClipInfo, Matrix, Rate};

/// Buffers that the driver fills in turn: at 30 frames a second a reader may be away for a tenth of a second.
const BUFFERS: u32 = 4;
/// Most buffers that are taken where the driver insists on more.
const MOST_BUFFERS: u32 = 32;

/// One open camera. Closing the file, which is the last thing that happens when it is dropped, stops it.
pub(super) struct Camera {
    choice: Choice,
    mode: Mode,
    layout: Layout,
    buffers: Vec<Mapped>,
    /// The driver's number of the last frame.
    sequence: Option<u32>,
    node: Node,
}

/// What the camera was set to.
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
            Some(rate) => write!(f, " at {:.1} frames a second", rate.fps()),
            None => Ok(()),
        }
    }
}

impl Camera {
    /// Opens a camera, sets its mode and starts it.
    ///
    /// # Errors
    /// [`Fault::Refused`] where the camera cannot give what is wished for, [`Fault::Lost`] for all that may pass.
    pub fn open(found: &Found, ask: &Ask<'_>, matrix: Option<Matrix>) -> Result<Self, Fault> {
        let name = found.path.display().to_string();
        let refused = |problem: String| Fault::Refused(Error::input(&name, problem));
        let node = Node::open(&found.path, found.dialect).map_err(|e| lost("opening it", &e))?;
        let (modes, foreign) = modes(&node);
        if modes.is_empty() {
            let offers = if foreign.is_empty() { "none".into() } else { foreign.join(", ") };
            return Err(refused(format!("offers no format that is read here (it offers {offers})")));
        }
        let (choice, size_wish, format_wish) = match ask {
            Ask::Wish(wish) => (choose(&modes, wish).map_err(refused)?, wish.size, wish.format),
            // Masks and regions are in pixels of the size that it had.
            Ask::Again(choice, size) => (*choice, Some(*size), None),
        };
        let (layout, format) = set_format(&node, choice.format, choice.size, matrix)?;
        let size = (layout.width, layout.height);
        check_size(size.0, size.1, MAX_VIDEO_PIXELS).map_err(refused)?;
        if size_wish.is_some_and(|wish| wish != size) || format_wish.is_some_and(|wish| wish != format) {
            let (width, height) = choice.size;
            let given = format!("{format} {}x{}", size.0, size.1);
            return Err(refused(format!("was asked for {} {width}x{height} and gives {given}", choice.format)));
        }
        let rate = set_rate(&node, choice.fps);
        let buffers = map_buffers(&node)?;
        node.stream(true).map_err(|e| lost("starting it", &e))?;
        Ok(Self { choice, mode: Mode { format, size, rate }, layout, buffers, sequence: None, node })
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What to ask for to have the same again.
    pub fn again(&self) -> Ask<'static> {
        Ask::Again(self.choice, self.mode.size)
    }

    /// Takes a filled buffer from the driver; `None` where there is none yet.
    fn dequeue(&self) -> Result<Option<Buffer>, Fault> {
        match self.node.dequeue() {
            Ok(buffer) if (buffer.index as usize) < self.buffers.len() => Ok(Some(buffer)),
            Ok(buffer) => {
                Err(Fault::Lost(format!("its driver handed over a buffer {} that there is not", buffer.index)))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(lost("taking a frame", &e)),
        }
    }

    fn queue(&self, index: u32) -> Result<(), Fault> {
        self.node.queue(index).map_err(|e| lost("giving a buffer back", &e))
    }

    /// What a filled buffer holds, copied to `into`.
    fn look(&self, buffer: &Buffer, into: &mut Vec<u8>) -> Got {
        if buffer.flags & V4L2_BUF_FLAG_ERROR != 0 {
            return Got::Corrupt;
        }
        let mapped = &self.buffers[buffer.index as usize];
        let bytes = buffer.end.min(mapped.len()).saturating_sub(buffer.start);
        if self.layout.coding == Coding::Mjpeg {
            mapped.copy(buffer.start, bytes, into);
            match jpeg_in(into).map(<[u8]>::len) {
                None => return if bytes == 0 { Got::Short } else { Got::Corrupt },
                Some(0) => return Got::Short,
                Some(length) => into.truncate(length),
            }
        } else if bytes < self.layout.bytes() {
            return Got::Short;
        } else {
            mapped.copy(buffer.start, self.layout.bytes(), into);
        }
        let monotonic = buffer.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        let clock_s = (monotonic && buffer.seconds > 0.0).then_some(buffer.seconds);
        Got::Frame(Came { layout: self.layout, clock_s, passed: 0, lost: 0 })
    }
}

impl Device for Camera {
    fn info(&self) -> ClipInfo {
        let (width, height) = self.mode.size;
        let fps = self.mode.rate.map(Rate::fps);
        ClipInfo { format: format!("camera, {}", self.mode.format), width, height, fps, duration_s: None }
    }

    fn next(&mut self, wait: Duration, into: &mut Vec<u8>) -> Result<Got, Fault> {
        if !self.node.wait(wait).map_err(|e| lost("waiting for a frame", &e))? {
            return Ok(Got::Nothing);
        }
        let Some(mut newest) = self.dequeue()? else { return Ok(Got::Nothing) };
        // What came while we were away is passed over for the newest.
        let mut passed = 0;
        let first = newest.sequence;
        while passed < u64::from(MOST_BUFFERS)
            && let Some(newer) = self.dequeue()?
        {
            self.queue(newest.index)?;
            newest = newer;
            passed += 1;
        }
        // Numbers that were left out are frames that the driver had no buffer for.
        let expected = self.sequence.replace(newest.sequence).map_or(first, |last| last.wrapping_add(1));
        let numbered = u64::from(newest.sequence.wrapping_sub(expected));
        let lost = if numbered < 1 << 16 { numbered.saturating_sub(passed) } else { 0 };
        let got = self.look(&newest, into);
        self.queue(newest.index)?;
        Ok(match got {
            Got::Frame(came) => Got::Frame(Came { passed, lost, ..came }),
            other => other,
        })
    }
}

/// A fault of a call that trying again later may mend.
fn lost(doing: &str, e: &io::Error) -> Fault {
    Fault::Lost(match e.raw_os_error() {
        Some(libc::ENODEV | libc::ENOENT | libc::ENXIO) => "it was unplugged".into(),
        Some(libc::EBUSY) => "another program is using it".into(),
        Some(libc::EIO) => format!("{doing} failed: the driver met an error it cannot mend"),
        Some(libc::EACCES) => {
            "may not be opened by this user; add the user to the group video: sudo usermod -aG video $USER".into()
        }
        _ => format!("{doing} failed: {e}"),
    })
}

fn set_format(
    node: &Node,
    format: CameraFormat,
    (width, height): (u32, u32),
    matrix: Option<Matrix>,
) -> Result<(Layout, CameraFormat), Fault> {
    let mut told = node.dialect().wish(format.number(), (width, height));
    node.call(vidioc::VIDIOC_S_FMT, &mut told).map_err(|e| lost("setting its format", &e))?;
    let pix = node.dialect().given(&told);
    let given = CameraFormat::of_number(pix.format).ok_or_else(|| {
        Fault::Lost(format!("it gives format {:?} unasked", super::node::text(&pix.format.to_le_bytes())))
    })?;
    if pix.field == v4l2_field_V4L2_FIELD_ALTERNATE {
        return Err(Fault::Lost("it gives single fields of interlaced video, which are not read here".into()));
    }
    if pix.pieces != 1 {
        return Err(Fault::Lost(format!("it gives frames in {} pieces, which are not read here", pix.pieces)));
    }
    let told = Told {
        format: given,
        width: pix.width,
        height: pix.height,
        bytes_per_line: pix.bytes_per_line,
        colorspace: pix.colorspace,
        ycbcr_encoding: pix.ycbcr_encoding,
        quantization: pix.quantization,
    };
    let layout = layout(&told, matrix).map_err(Fault::Lost)?;
    Ok((layout, given))
}

/// Sets the rate where the driver takes one; what it then is.
fn set_rate(node: &Node, fps: Option<f64>) -> Option<Rate> {
    let mut told = v4l2_streamparm { type_: node.dialect().kind(), ..v4l2_streamparm::zeroed() };
    if let Some(fps) = fps {
        told.parm.capture.timeperframe = interval(fps);
        // A driver that does not take a rate keeps its own.
        if let Err(e) = node.call(vidioc::VIDIOC_S_PARM, &mut told) {
            log::debug!("the camera takes no rate: {e}");
        }
    }
    node.call(vidioc::VIDIOC_G_PARM, &mut told).ok()?;
    // SAFETY: the type says which part of the union is set, and it is made of whole numbers.
    rate_of(unsafe { told.parm.capture.timeperframe })
}

/// Asks for buffers, maps them and gives them to the driver.
fn map_buffers(node: &Node) -> Result<Vec<Mapped>, Fault> {
    let count = node.request_buffers(BUFFERS).map_err(|e| lost("asking for its buffers", &e))?;
    if !(1..=MOST_BUFFERS).contains(&count) {
        return Err(Fault::Lost(format!("its driver gives {count} buffers, which cannot be used")));
    }
    let mut buffers = Vec::new();
    for index in 0..count {
        let told = node.query_buffer(index).map_err(|e| lost("asking for its buffers", &e))?;
        buffers.push(node.map(told.offset, told.length).map_err(|e| lost("mapping its buffers", &e))?);
    }
    for index in 0..count {
        node.queue(index).map_err(|e| lost("giving it its buffers", &e))?;
    }
    Ok(buffers)
}
