//! A captured frame before decoding, and its decoder.
//!
//! Only frames that are taken are decoded or unpacked; the others cost only a copy of their bytes.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;

use crate::picture::{Matrix, Picture, PixelAspect, Pixels, Rotation, Subsampling};
use crate::source::recorded::with_tables;
use crate::units::Seconds;

/// A captured frame, not decoded yet.
pub(super) struct RawFrame {
    pub index: u64,
    pub time: Seconds,
    pub layout: FrameLayout,
    /// At least [`FrameLayout::bytes`] bytes, except for MJPEG.
    pub data: Vec<u8>,
}

/// The layout of the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FrameLayout {
    pub width: u32,
    pub height: u32,
    pub coding: Coding,
    /// Bytes from one row to the next of the first plane; 0 for MJPEG.
    pub stride: usize,
    pub full_range: bool,
    pub matrix: Matrix,
    pub rotation: Rotation,
    pub aspect: PixelAspect,
}

/// How pixels are stored. Most codings are delivered only by cameras.
#[cfg_attr(not(all(target_os = "linux", feature = "camera")), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// A JPEG image.
    Mjpeg,
    /// Y0 U Y1 V for each two pixels.
    Yuyv,
    /// A plane of Y, then one of U V pairs of half width and height.
    Nv12,
    /// A plane of Y, then one of U and one of V.
    Planar(Subsampling),
    Rgb,
    Bgr,
}

impl FrameLayout {
    /// Bytes of a row of the first plane, without the gap to the next row.
    pub(super) fn row_bytes(&self) -> usize {
        let width = self.width as usize;
        match self.coding {
            Coding::Mjpeg => 0,
            Coding::Yuyv => width.div_ceil(2) * 4,
            Coding::Nv12 => width.next_multiple_of(2),
            Coding::Planar(_) => width,
            Coding::Rgb | Coding::Bgr => width * 3,
        }
    }

    /// Stride and rows of each chroma plane.
    fn chroma(&self) -> (usize, usize) {
        let height = self.height as usize;
        match self.coding {
            Coding::Planar(Subsampling::S420) => (self.stride.div_ceil(2), height.div_ceil(2)),
            Coding::Planar(Subsampling::S422) => (self.stride.div_ceil(2), height),
            Coding::Planar(Subsampling::S444) => (self.stride, height),
            Coding::Nv12 => (self.stride, height.div_ceil(2)),
            _ => (0, 0),
        }
    }

    /// Minimum number of bytes of a complete frame; 0 for MJPEG, whose size depends on its content.
    pub(super) fn bytes(&self) -> usize {
        let (height, (chroma_stride, chroma_rows)) = (self.height as usize, self.chroma());
        match self.coding {
            Coding::Mjpeg => 0,
            Coding::Nv12 => self.stride * height + chroma_stride * chroma_rows.saturating_sub(1) + self.row_bytes(),
            Coding::Planar(Subsampling::Gray) | Coding::Yuyv | Coding::Rgb | Coding::Bgr => {
                self.stride * height.saturating_sub(1) + self.row_bytes()
            }
            Coding::Planar(_) => self.stride * height + chroma_stride * chroma_rows * 2,
        }
    }
}

/// Decodes raw frames; reuses its buffer.
#[derive(Default)]
pub(super) struct FrameDecoder {
    /// Pixels that cannot be borrowed from the raw frame: RGB, or planes of YUV one after another.
    buffer: Vec<u8>,
    /// Whether the last decoded JPEG was gray.
    gray: bool,
}

impl FrameDecoder {
    /// Decodes or unpacks a frame. The error describes the problem with its bytes.
    pub(super) fn decode(&mut self, frame: &RawFrame) -> Result<(), String> {
        let layout = &frame.layout;
        if frame.data.len() < layout.bytes() {
            return Err(format!("it has {} bytes instead of {}", frame.data.len(), layout.bytes()));
        }
        let (width, height) = (layout.width as usize, layout.height as usize);
        let (half, half_rows) = (width.div_ceil(2), height.div_ceil(2));
        match layout.coding {
            Coding::Rgb | Coding::Planar(_) => {}
            Coding::Mjpeg => return self.decode_jpeg(frame),
            Coding::Bgr => {
                self.buffer.resize(width * height * 3, 0);
                let rows = self.buffer.chunks_exact_mut(width * 3).zip(frame.data.chunks(layout.stride));
                for (target, row) in rows {
                    let pixels = target.as_chunks_mut().0.iter_mut().zip(row.as_chunks().0);
                    pixels.for_each(|(rgb, [b, g, r])| *rgb = [*r, *g, *b]);
                }
            }
            Coding::Nv12 => {
                self.buffer.resize(half * half_rows * 2, 0);
                let (u, v) = self.buffer.split_at_mut(half * half_rows);
                let pairs = frame.data[layout.stride * height..].chunks(layout.stride);
                for ((u, v), row) in u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half)).zip(pairs) {
                    for ((u, v), pair) in u.iter_mut().zip(v).zip(row.as_chunks().0) {
                        [*u, *v] = *pair;
                    }
                }
            }
            Coding::Yuyv => {
                self.buffer.resize(half * 4 * height, 0);
                let (luma, chroma) = self.buffer.split_at_mut(half * 2 * height);
                let (u, v) = chroma.split_at_mut(half * height);
                let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
                let rows = luma.chunks_exact_mut(half * 2).zip(chroma).zip(frame.data.chunks(layout.stride));
                for ((luma, (u, v)), row) in rows {
                    let pairs = luma.as_chunks_mut().0.iter_mut().zip(u).zip(v).zip(row.as_chunks().0);
                    for (((luma, u), v), [first, pair_u, second, pair_v]) in pairs {
                        (*luma, *u, *v) = ([*first, *second], *pair_u, *pair_v);
                    }
                }
            }
        }
        Ok(())
    }

    /// The picture of the frame that was decoded last.
    pub(super) fn picture<'a>(&'a self, frame: &'a RawFrame) -> Picture<'a> {
        let layout = &frame.layout;
        let (width, height) = (layout.width as usize, layout.height as usize);
        let half = width.div_ceil(2);
        let pixels = match layout.coding {
            Coding::Rgb => Pixels::Rgb { data: &frame.data, stride: layout.stride },
            Coding::Mjpeg if self.gray => {
                let full = FrameLayout { full_range: true, ..*layout };
                full.yuv([&self.buffer, &[], &[]], [width, 0, 0], Subsampling::Gray)
            }
            Coding::Bgr | Coding::Mjpeg => Pixels::Rgb { data: &self.buffer, stride: width * 3 },
            Coding::Planar(Subsampling::Gray) => {
                layout.yuv([&frame.data, &[], &[]], [layout.stride, 0, 0], Subsampling::Gray)
            }
            Coding::Planar(subsampling) => {
                let (luma, chroma) = frame.data.split_at(layout.stride * height);
                let (stride, rows) = layout.chroma();
                let (u, v) = chroma.split_at(stride * rows);
                layout.yuv([luma, u, v], [layout.stride, stride, stride], subsampling)
            }
            Coding::Nv12 => {
                let luma = &frame.data[..layout.stride * height];
                let (u, v) = self.buffer.split_at(half * height.div_ceil(2));
                layout.yuv([luma, u, v], [layout.stride, half, half], Subsampling::S420)
            }
            Coding::Yuyv => {
                let (luma, chroma) = self.buffer.split_at(half * 2 * height);
                let (u, v) = chroma.split_at(half * height);
                layout.yuv([luma, u, v], [half * 2, half, half], Subsampling::S422)
            }
        };
        Picture { width: layout.width, height: layout.height, rotation: layout.rotation, aspect: layout.aspect, pixels }
    }

    fn decode_jpeg(&mut self, frame: &RawFrame) -> Result<(), String> {
        let damaged = |e: image::ImageError| format!("its JPEG is damaged: {e}");
        let whole = with_tables(&frame.data);
        let decoder = JpegDecoder::new(Cursor::new(whole.as_ref().unwrap_or(&frame.data))).map_err(damaged)?;
        let (size, expected) = (decoder.dimensions(), (frame.layout.width, frame.layout.height));
        if size != expected {
            return Err(format!("its JPEG is {} x {} instead of {} x {}", size.0, size.1, expected.0, expected.1));
        }
        self.gray = match decoder.color_type() {
            image::ColorType::Rgb8 => false,
            image::ColorType::L8 => true,
            other => return Err(format!("its JPEG has an unsupported pixel format ({other:?})")),
        };
        // The size was checked when the camera was opened.
        self.buffer.resize(decoder.total_bytes() as usize, 0);
        decoder.read_image(&mut self.buffer).map_err(damaged)
    }
}

impl FrameLayout {
    fn yuv<'a>(&self, planes: [&'a [u8]; 3], strides: [usize; 3], subsampling: Subsampling) -> Pixels<'a> {
        Pixels::Yuv { planes, strides, subsampling, full_range: self.full_range, matrix: self.matrix }
    }
}

/// Returns the JPEG image at the start of a camera's buffer, without the padding that drivers add. `None` if the buffer
/// does not start with a JPEG, an empty slice if the end of the image is missing.
#[cfg(any(test, all(target_os = "linux", feature = "camera")))]
pub(super) fn jpeg_in(buffer: &[u8]) -> Option<&[u8]> {
    if !buffer.starts_with(b"\xff\xd8") {
        return None;
    }
    let end = buffer.windows(2).rposition(|pair| pair == b"\xff\xd9");
    Some(end.map_or(&[], |end| &buffer[..end + 2]))
}

/// Copies a picture's pixels without gaps between rows; returns their layout.
pub(super) fn copy_packed(picture: &Picture<'_>, into: &mut Vec<u8>) -> FrameLayout {
    into.clear();
    let (width, height) = (picture.width as usize, picture.height as usize);
    let mut rows = |data: &[u8], stride: usize, row: usize, count: usize| {
        (0..count).for_each(|y| into.extend_from_slice(&data[y * stride..][..row]));
    };
    let layout = FrameLayout {
        width: picture.width,
        height: picture.height,
        coding: Coding::Rgb,
        stride: width * 3,
        full_range: true,
        matrix: Matrix::default(),
        rotation: picture.rotation,
        aspect: picture.aspect,
    };
    match picture.pixels {
        Pixels::Rgb { data, stride } => {
            rows(data, stride, width * 3, height);
            layout
        }
        Pixels::Yuv { planes, strides, subsampling, full_range, matrix } => {
            let layout =
                FrameLayout { coding: Coding::Planar(subsampling), stride: width, full_range, matrix, ..layout };
            let (chroma_row, chroma_rows) = layout.chroma();
            rows(planes[0], strides[0], width, height);
            for plane in 1..3 {
                rows(planes[plane], strides[plane], chroma_row, chroma_rows);
            }
            layout
        }
    }
}

#[cfg(test)]
mod tests;
