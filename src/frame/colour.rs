//! Planar YUV to RGB, inside one rectangle.
//!
//! Chroma is repeated, not interpolated, as ffmpeg does by default for 4:2:0 and 4:2:2.

use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

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
        let convert = match self.subsampling {
            Subsampling::Gray => {
                self.gray_to_rgb(rect, rgb);
                return Ok(());
            }
            Subsampling::S420 => yuv::yuv420_to_rgb,
            Subsampling::S422 => yuv::yuv422_to_rgb,
            Subsampling::S444 => yuv::yuv444_to_rgb,
        };
        let range = if self.full_range { YuvRange::Full } else { YuvRange::Limited };
        let matrix = match self.matrix {
            Matrix::Bt601 => YuvStandardMatrix::Bt601,
            Matrix::Bt709 => YuvStandardMatrix::Bt709,
            Matrix::Bt2020 => YuvStandardMatrix::Bt2020,
        };
        let (step_x, step_y) = chroma_step(self.subsampling);
        let [y_stride, u_stride, v_stride] = self.strides.map(|stride| u32::try_from(stride).unwrap_or(u32::MAX));
        let image = YuvPlanarImage {
            y_plane: self.from(0, rect.x, rect.y),
            y_stride,
            u_plane: self.from(1, rect.x / step_x, rect.y / step_y),
            u_stride,
            v_plane: self.from(2, rect.x / step_x, rect.y / step_y),
            v_stride,
            width: rect.w,
            height: rect.h,
        };
        convert(&image, rgb, rect.w * 3, range, matrix)
            .map_err(|problem| Error::Internal(format!("converting a picture to RGB: {problem}")))
    }

    /// Gray by a table; the `yuv` crate leaves out a last row that is shorter than the stride.
    fn gray_to_rgb(self, rect: Rect, rgb: &mut [u8]) {
        let table: [u8; 256] = std::array::from_fn(|luma| match self.full_range {
            true => luma as u8,
            false => ((luma as f32 - 16.0) * 255.0 / 219.0).round() as u8,
        });
        let width = rect.w as usize;
        let rows = self.from(0, rect.x, rect.y).chunks(self.strides[0]);
        for (target, row) in rgb.as_chunks_mut::<3>().0.chunks_exact_mut(width).zip(rows) {
            target.iter_mut().zip(row).for_each(|(pixel, luma)| *pixel = [table[usize::from(*luma)]; 3]);
        }
    }

    /// A plane from the sample in column `x` of row `y` on.
    fn from(&self, plane: usize, x: u32, y: u32) -> &[u8] {
        let start = self.strides[plane] * y as usize + x as usize;
        self.planes[plane].get(start..).unwrap_or_default()
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
