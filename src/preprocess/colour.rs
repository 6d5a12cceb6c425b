//! Planar YUV to RGB, inside one rectangle, as ffmpeg's swscale converts by default.
//!
//! Models are trained and scored on frames that swscale converted. For 4:2:0 and 4:2:2 with an even number of rows it
//! takes a fast path on x86: chroma repeated, products cut off at whole levels (on average 1 level darker than exact
//! arithmetic). That is computed here, bit for bit, on every machine. Anything else it rounds correctly, and so do we;
//! chroma is repeated there too, where swscale interpolates it down the columns of an odd number of rows.

use super::geometry::Rect;
use super::yuv::{self, Weights};
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

impl<'a> Planes<'a> {
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

    /// Converts an aligned rectangle into `rgb`, rows without gaps, of a picture that has `shown_rows` when upright.
    /// [`Planes::check`] must have passed.
    pub fn to_rgb(self, rect: Rect, shown_rows: u32, rgb: &mut [u8]) {
        let weights = Weights::new(self.matrix, self.full_range);
        let (step_x, step_y) = chroma_step(self.subsampling);
        let convert = match self.subsampling {
            Subsampling::Gray => return self.gray_to_rgb(rect, rgb),
            Subsampling::S420 | Subsampling::S422 if shown_rows.is_multiple_of(2) => yuv::fast_halved,
            Subsampling::S420 | Subsampling::S422 => yuv::exact_halved,
            Subsampling::S444 => yuv::exact_whole,
        };
        let targets = rgb.as_chunks_mut::<3>().0.chunks_exact_mut(rect.w as usize);
        for (row, target) in (rect.y..).zip(targets) {
            let luma = self.row(0, rect.x, row, rect.w);
            let chroma = |plane| self.row(plane, rect.x / step_x, row / step_y, rect.w.div_ceil(step_x));
            convert(&weights, luma, chroma(1), chroma(2), target);
        }
    }

    fn gray_to_rgb(self, rect: Rect, rgb: &mut [u8]) {
        let levels = Weights::new(self.matrix, self.full_range).gray_levels();
        for (row, target) in (rect.y..).zip(rgb.as_chunks_mut::<3>().0.chunks_exact_mut(rect.w as usize)) {
            let luma = self.row(0, rect.x, row, rect.w);
            target.iter_mut().zip(luma).for_each(|(pixel, luma)| *pixel = [levels[usize::from(*luma)]; 3]);
        }
    }

    /// `length` samples of a plane from column `x` of row `y` on.
    fn row(&self, plane: usize, x: u32, y: u32, length: u32) -> &'a [u8] {
        &self.planes[plane][self.strides[plane] * y as usize + x as usize..][..length as usize]
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
