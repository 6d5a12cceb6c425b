//! A frame as it came, kept until someone wants to see it.
//!
//! Only frames that are taken are decoded or unpacked; the others cost a copy of their bytes.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;

use crate::source::{Matrix, Picture, Pixels, Rotation, Seconds, Subsampling};

/// A frame as it came.
pub(in crate::source) struct Shot {
    pub index: u64,
    pub time: Seconds,
    pub layout: Layout,
    /// At least [`Layout::bytes`], but for MJPEG.
    pub data: Vec<u8>,
}

/// What the bytes of a frame mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::source) struct Layout {
    pub width: u32,
    pub height: u32,
    pub coding: Coding,
    /// Bytes from row to row of the first plane; 0 for MJPEG.
    pub stride: usize,
    pub full_range: bool,
    pub matrix: Matrix,
    pub rotation: Rotation,
}

/// How pixels are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Coding {
    /// A JPEG image.
    Mjpeg,
    /// Y0 U Y1 V for two pixels.
    Yuyv,
    /// A plane of Y, then one of U V pairs, half width and height.
    Nv12,
    /// A plane of Y, then U, then V.
    Planar(Subsampling),
    Rgb,
    Bgr,
}

impl Layout {
    /// Bytes of a row, without the gap to the next.
    pub fn row(&self) -> usize {
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

    /// Bytes that a whole frame has at least; 0 where that is for its content to say.
    pub fn bytes(&self) -> usize {
        let (height, (chroma_stride, chroma_rows)) = (self.height as usize, self.chroma());
        match self.coding {
            Coding::Mjpeg => 0,
            Coding::Nv12 => self.stride * height + chroma_stride * chroma_rows.saturating_sub(1) + self.row(),
            Coding::Planar(Subsampling::Gray) | Coding::Yuyv | Coding::Rgb | Coding::Bgr => {
                self.stride * height.saturating_sub(1) + self.row()
            }
            Coding::Planar(_) => self.stride * height + chroma_stride * chroma_rows * 2,
        }
    }
}

/// Turns shots into pictures; keeps its buffer.
#[derive(Default)]
pub(in crate::source) struct Developer {
    /// What could not be shown as it came: RGB pixels, or planes of YUV one after the other.
    buffer: Vec<u8>,
    /// Whether the JPEG last decoded had no colours.
    gray: bool,
}

impl Developer {
    /// Decodes or unpacks a shot. The error says in half a sentence what is wrong with its bytes.
    pub fn develop(&mut self, shot: &Shot) -> Result<(), String> {
        let layout = &shot.layout;
        if shot.data.len() < layout.bytes() {
            return Err(format!("it has {} bytes and not {}", shot.data.len(), layout.bytes()));
        }
        let (width, height) = (layout.width as usize, layout.height as usize);
        let (half, half_rows) = (width.div_ceil(2), height.div_ceil(2));
        match layout.coding {
            Coding::Rgb | Coding::Planar(_) => {}
            Coding::Mjpeg => return self.decode(shot),
            Coding::Bgr => {
                self.buffer.resize(width * height * 3, 0);
                let rows = self.buffer.chunks_exact_mut(width * 3).zip(shot.data.chunks(layout.stride));
                for (target, row) in rows {
                    let pixels = target.as_chunks_mut().0.iter_mut().zip(row.as_chunks().0);
                    pixels.for_each(|(rgb, [b, g, r])| *rgb = [*r, *g, *b]);
                }
            }
            Coding::Nv12 => {
                self.buffer.resize(half * half_rows * 2, 0);
                let (u, v) = self.buffer.split_at_mut(half * half_rows);
                let pairs = shot.data[layout.stride * height..].chunks(layout.stride);
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
                let rows = luma.chunks_exact_mut(half * 2).zip(chroma).zip(shot.data.chunks(layout.stride));
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

    /// The picture of the shot that was developed last.
    pub fn picture<'a>(&'a self, shot: &'a Shot) -> Picture<'a> {
        let layout = &shot.layout;
        let (width, height) = (layout.width as usize, layout.height as usize);
        let half = width.div_ceil(2);
        let pixels = match layout.coding {
            Coding::Rgb => Pixels::Rgb { data: &shot.data, stride: layout.stride },
            Coding::Mjpeg if self.gray => {
                let full = Layout { full_range: true, ..*layout };
                full.yuv([&self.buffer, &[], &[]], [width, 0, 0], Subsampling::Gray)
            }
            Coding::Bgr | Coding::Mjpeg => Pixels::Rgb { data: &self.buffer, stride: width * 3 },
            Coding::Planar(Subsampling::Gray) => {
                layout.yuv([&shot.data, &[], &[]], [layout.stride, 0, 0], Subsampling::Gray)
            }
            Coding::Planar(subsampling) => {
                let (luma, chroma) = shot.data.split_at(layout.stride * height);
                let (stride, rows) = layout.chroma();
                let (u, v) = chroma.split_at(stride * rows);
                layout.yuv([luma, u, v], [layout.stride, stride, stride], subsampling)
            }
            Coding::Nv12 => {
                let luma = &shot.data[..layout.stride * height];
                let (u, v) = self.buffer.split_at(half * height.div_ceil(2));
                layout.yuv([luma, u, v], [layout.stride, half, half], Subsampling::S420)
            }
            Coding::Yuyv => {
                let (luma, chroma) = self.buffer.split_at(half * 2 * height);
                let (u, v) = chroma.split_at(half * height);
                layout.yuv([luma, u, v], [half * 2, half, half], Subsampling::S422)
            }
        };
        Picture { width: layout.width, height: layout.height, rotation: layout.rotation, pixels }
    }

    fn decode(&mut self, shot: &Shot) -> Result<(), String> {
        let damaged = |e: image::ImageError| format!("its JPEG is damaged: {e}");
        let whole;
        let data = if lacks_tables(&shot.data) {
            // Motion JPEG may leave the usual Huffman tables out; this mark makes the decoder fill them in.
            whole = [&shot.data[..2], b"\xff\xe0\0\x09AVI1\0\0\0", &shot.data[2..]].concat();
            &whole
        } else {
            &shot.data
        };
        let decoder = JpegDecoder::new(Cursor::new(data)).map_err(damaged)?;
        let (size, told) = (decoder.dimensions(), (shot.layout.width, shot.layout.height));
        if size != told {
            return Err(format!("its JPEG is {} x {} and not {} x {}", size.0, size.1, told.0, told.1));
        }
        self.gray = match decoder.color_type() {
            image::ColorType::Rgb8 => false,
            image::ColorType::L8 => true,
            other => return Err(format!("its JPEG has pixels of an unusual kind ({other:?})")),
        };
        // The size was checked when the device was opened.
        self.buffer.resize(decoder.total_bytes() as usize, 0);
        decoder.read_image(&mut self.buffer).map_err(damaged)
    }
}

impl Layout {
    fn yuv<'a>(&self, planes: [&'a [u8]; 3], strides: [usize; 3], subsampling: Subsampling) -> Pixels<'a> {
        Pixels::Yuv { planes, strides, subsampling, full_range: self.full_range, matrix: self.matrix }
    }
}

/// The JPEG image at the start of a camera's buffer: from its first mark to its last, without what drivers pad behind.
/// `None` where it does not begin as one, an empty slice where its end is missing.
pub(in crate::source) fn jpeg_in(buffer: &[u8]) -> Option<&[u8]> {
    if !buffer.starts_with(b"\xff\xd8") {
        return None;
    }
    let end = buffer.windows(2).rposition(|pair| pair == b"\xff\xd9");
    Some(end.map_or(&[], |end| &buffer[..end + 2]))
}

/// Whether a JPEG reaches its scan without a Huffman table.
fn lacks_tables(jpeg: &[u8]) -> bool {
    let mut rest = jpeg.get(2..).unwrap_or_default();
    while let [0xff, mark, high, low, ..] = rest {
        match mark {
            0xc4 => return false,
            0xda => return true,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = rest.get(2 + length..).unwrap_or_default();
    }
    false
}

/// Copies a picture as it is, without the gaps between rows.
pub(in crate::source) fn copy(picture: &Picture<'_>, into: &mut Vec<u8>) -> Layout {
    into.clear();
    let (width, height) = (picture.width as usize, picture.height as usize);
    let mut rows = |data: &[u8], stride: usize, row: usize, count: usize| {
        (0..count).for_each(|y| into.extend_from_slice(&data[y * stride..][..row]));
    };
    let layout = Layout {
        width: picture.width,
        height: picture.height,
        coding: Coding::Rgb,
        stride: width * 3,
        full_range: true,
        matrix: Matrix::default(),
        rotation: picture.rotation,
    };
    match picture.pixels {
        Pixels::Rgb { data, stride } => {
            rows(data, stride, width * 3, height);
            layout
        }
        Pixels::Yuv { planes, strides, subsampling, full_range, matrix } => {
            let layout = Layout { coding: Coding::Planar(subsampling), stride: width, full_range, matrix, ..layout };
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
