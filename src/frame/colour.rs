//! Planar YUV to RGB, inside one rectangle.
//!
//! Chroma is repeated, not interpolated, as ffmpeg does by default for 4:2:0 and 4:2:2.

use yuv::{YuvGrayImage, YuvPlanarImage, YuvRange, YuvStandardMatrix};

use super::geometry::Rect;
use crate::source::{Matrix, Subsampling};
use crate::{Error, Result};

/// The planes of [`crate::source::Pixels::Yuv`].
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    pub planes: [&'a [u8]; 3],
    pub strides: [usize; 3],
    pub subsampling: Subsampling,
    pub full_range: bool,
    pub matrix: Matrix,
}

/// How many luma columns and rows share a chroma sample.
fn chroma_step(subsampling: Subsampling) -> (u32, u32) {
    match subsampling {
        Subsampling::S420 => (2, 2),
        Subsampling::S422 => (2, 1),
        Subsampling::S444 | Subsampling::Gray => (1, 1),
    }
}

impl Planes<'_> {
    /// An error where a plane is too small for a picture of `width x height`.
    pub fn check(&self, width: u32, height: u32) -> Result<()> {
        check_plane("luma", self.planes[0], self.strides[0], width as usize, height as usize)?;
        if self.subsampling == Subsampling::Gray {
            return Ok(());
        }
        let (step_x, step_y) = chroma_step(self.subsampling);
        let (width, height) = (width.div_ceil(step_x) as usize, height.div_ceil(step_y) as usize);
        check_plane("u", self.planes[1], self.strides[1], width, height)?;
        check_plane("v", self.planes[2], self.strides[2], width, height)
    }

    /// The smallest rectangle around `rect` that starts on a whole chroma sample.
    pub fn align(&self, rect: Rect) -> Rect {
        let (step_x, step_y) = chroma_step(self.subsampling);
        let (x, y) = (rect.x - rect.x % step_x, rect.y - rect.y % step_y);
        Rect { x, y, w: rect.x + rect.w - x, h: rect.y + rect.h - y }
    }

    /// Converts an aligned rectangle into `rgb`, rows without gaps. [`Planes::check`] must have passed.
    pub fn to_rgb(self, rect: Rect, rgb: &mut [u8]) -> Result<()> {
        let Rect { x, y, w: width, h: height } = rect;
        let (step_x, step_y) = chroma_step(self.subsampling);
        let plane = |i: usize, x: u32, y: u32| -> Result<(&[u8], u32)> {
            let (data, stride) = (self.planes[i], self.strides[i]);
            let start = stride * y as usize + x as usize;
            Ok((data.get(start..).unwrap_or_default(), u32::try_from(stride).map_err(fault)?))
        };
        let range = if self.full_range { YuvRange::Full } else { YuvRange::Limited };
        let matrix = match self.matrix {
            Matrix::Bt601 => YuvStandardMatrix::Bt601,
            Matrix::Bt709 => YuvStandardMatrix::Bt709,
            Matrix::Bt2020 => YuvStandardMatrix::Bt2020,
        };
        let (y_plane, y_stride) = plane(0, x, y)?;
        let rgb_stride = width * 3;
        if self.subsampling == Subsampling::Gray {
            let image = YuvGrayImage { y_plane, y_stride, width, height };
            return yuv::yuv400_to_rgb(&image, rgb, rgb_stride, range, matrix).map_err(fault);
        }
        let (u_plane, u_stride) = plane(1, x / step_x, y / step_y)?;
        let (v_plane, v_stride) = plane(2, x / step_x, y / step_y)?;
        let image = YuvPlanarImage { y_plane, y_stride, u_plane, u_stride, v_plane, v_stride, width, height };
        let convert = match self.subsampling {
            Subsampling::S420 => yuv::yuv420_to_rgb,
            Subsampling::S422 => yuv::yuv422_to_rgb,
            Subsampling::S444 | Subsampling::Gray => yuv::yuv444_to_rgb,
        };
        convert(&image, rgb, rgb_stride, range, matrix).map_err(fault)
    }
}

/// An error where `data` does not hold `height` rows of `row` bytes, `stride` bytes apart.
pub(super) fn check_plane(name: &str, data: &[u8], stride: usize, row: usize, height: usize) -> Result<()> {
    let needed = height.checked_sub(1).and_then(|rows| rows.checked_mul(stride)).and_then(|all| all.checked_add(row));
    match needed {
        Some(needed) if stride >= row && data.len() >= needed => Ok(()),
        _ => Err(Error::Internal(format!(
            "a decoded picture's {name} plane holds {} bytes, too few for {height} rows of {row} bytes that are {stride} apart",
            data.len()
        ))),
    }
}

fn fault(problem: impl std::fmt::Display) -> Error {
    Error::Internal(format!("converting a picture to RGB: {problem}"))
}
