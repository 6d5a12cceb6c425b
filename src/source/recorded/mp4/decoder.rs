//! Decodes H.264 by OpenH264, and tags every picture with the sample it came from.
//!
//! The raw interface is used for two reasons: it carries a tag (a "time stamp") from a coded picture to the decoded
//! one, so that no picture can be mistaken for another if one is lost; and it returns at most one picture per call,
//! whose planes stay in place until the next call.
//!
//! OpenH264 was exact on every clip with only I and P slices. With B slices some samples differ from ffmpeg's, probably
//! because of deblocking (cisco/openh264#3269): up to 0.8 % of a clip's luma samples in measurements, by less than 0.06
//! on average over the worst frame.

use std::ptr::null_mut;

use openh264::OpenH264API;
use openh264::decoder::{Decoder as OpenH264, DecoderConfig, Flush};
use openh264_sys2::SBufferInfo;

use crate::picture::{Matrix, Picture, PixelAspect, Pixels, Rotation, Subsampling};
use crate::{Error, Result};

/// An H.264 decoder.
pub(super) struct Decoder {
    inner: OpenH264,
    /// The tag of a picture that was sent and must be finished before the next one is sent.
    unfinished: Option<u64>,
    /// The last output picture, which the decoder does not change before its next call.
    output: Option<OutputPlanes>,
}

#[derive(Clone, Copy)]
struct OutputPlanes {
    planes: [*const u8; 3],
    width: u32,
    height: u32,
    /// Strides of luma and of both chroma planes.
    strides: [usize; 2],
}

/// The result of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DecodeStep {
    /// The tag of the picture that was output.
    pub(super) output: Option<u64>,
    /// The decoder reported an error in the data.
    pub(super) faulty: bool,
}

/// Colour range, matrix, rotation and shape of the pixels of a file's pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct PictureTags {
    pub(super) rotation: Rotation,
    pub(super) full_range: bool,
    pub(super) matrix: Matrix,
    pub(super) aspect: PixelAspect,
}

impl Decoder {
    pub(super) fn new() -> Result<Self> {
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let inner = OpenH264::with_api_config(OpenH264API::from_source(), config)
            .map_err(|e| Error::Internal(format!("OpenH264 does not start: {e}")))?;
        Ok(Self { inner, unfinished: None, output: None })
    }

    /// Finishes the picture that was sent last; to be called before the next one is sent, until it returns `None`.
    pub(super) fn finish(&mut self) -> Option<(u64, DecodeStep)> {
        let tag = self.unfinished.take()?;
        Some((tag, self.decode(&[], tag)))
    }

    /// Sends one coded picture with start codes, or parameter sets.
    pub(super) fn send(&mut self, annex_b: &[u8], tag: u64) -> DecodeStep {
        self.unfinished = Some(tag);
        self.decode(annex_b, tag)
    }

    /// Outputs pictures that the decoder held back for reordering; only to be called at the end.
    pub(super) fn flush(&mut self) -> Option<u64> {
        let mut planes = [null_mut::<u8>(); 3];
        let mut info = SBufferInfo::default();
        // SAFETY: the call writes three plane pointers and one `SBufferInfo`, both of which are owned here and of that
        // size.
        unsafe { self.inner.raw_api().flush_frame((&raw mut planes).cast(), &raw mut info) };
        self.take(planes, &info)
    }

    fn decode(&mut self, annex_b: &[u8], tag: u64) -> DecodeStep {
        let mut planes = [null_mut::<u8>(); 3];
        let mut info = SBufferInfo { uiInBsTimeStamp: tag, ..SBufferInfo::default() };
        let Ok(length) = i32::try_from(annex_b.len()) else { return DecodeStep { output: None, faulty: true } };
        // A call without data makes the decoder finish the current picture.
        let source = if length == 0 { std::ptr::null() } else { annex_b.as_ptr() };
        // SAFETY: `source` holds `length` bytes that are only read during the call; the call writes three plane
        // pointers and one `SBufferInfo`, both of which are owned here and of that size.
        let state =
            unsafe { self.inner.raw_api().decode_frame2(source, length, (&raw mut planes).cast(), &raw mut info) };
        DecodeStep { output: self.take(planes, &info), faulty: state != 0 }
    }

    /// Records the output picture, if there is one, and returns its tag.
    fn take(&mut self, planes: [*mut u8; 3], info: &SBufferInfo) -> Option<u64> {
        self.output = None;
        if info.iBufferStatus != 1 || planes.iter().any(|p| p.is_null()) {
            return None;
        }
        // SAFETY: with buffer status 1 the union holds the memory description; its other member is of the same type.
        let memory = unsafe { info.UsrData.sSystemBuffer };
        let (width, height) = (u32::try_from(memory.iWidth).ok()?, u32::try_from(memory.iHeight).ok()?);
        let strides = [usize::try_from(memory.iStride[0]).ok()?, usize::try_from(memory.iStride[1]).ok()?];
        let fits = strides[0] >= width as usize && strides[1] >= width.div_ceil(2) as usize;
        if width == 0 || height == 0 || !fits {
            return None;
        }
        self.output = Some(OutputPlanes { planes: planes.map(|p| p.cast_const()), width, height, strides });
        Some(info.uiOutYuvTimeStamp)
    }

    /// The picture that was output last.
    pub(super) fn picture(&self, tags: PictureTags) -> Option<Picture<'_>> {
        let OutputPlanes { planes, width, height, strides } = self.output?;
        let (w, h) = (width as usize, height as usize);
        let plane = |which: usize, stride: usize, w: usize, h: usize| {
            // SAFETY: the decoder keeps `h` rows of `w` bytes, `stride` apart, from this address on, and does not
            // touch them before its next call, which takes `&mut self` and so outlives this borrow.
            unsafe { std::slice::from_raw_parts(planes[which], stride * (h - 1) + w) }
        };
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        Some(Picture {
            width,
            height,
            rotation: tags.rotation,
            aspect: tags.aspect,
            pixels: Pixels::Yuv {
                planes: [plane(0, strides[0], w, h), plane(1, strides[1], cw, ch), plane(2, strides[1], cw, ch)],
                strides: [strides[0], strides[1], strides[1]],
                subsampling: Subsampling::S420,
                full_range: tags.full_range,
                matrix: tags.matrix,
            },
        })
    }
}
