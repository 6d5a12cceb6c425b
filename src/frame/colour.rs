//! Planar YUV to RGB, inside one rectangle, as ffmpeg's swscale converts by default.
//!
//! Models are trained and scored on frames that swscale converted. For 4:2:0 and 4:2:2 with an even number of rows it
//! takes a fast path on x86: chroma repeated, products cut off at whole levels (on average 1 level darker than exact
//! arithmetic). That is computed here, bit for bit, on every machine. Anything else it rounds correctly, and so do we;
//! chroma is repeated there too, where swscale interpolates it down the columns of an odd number of rows.

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

/// Pixels converted together: enough to fill vector registers, few enough to stay in them.
const BLOCK: usize = 32;

/// Weights of luma and chroma in R, G and B, as fractions of 65536.
#[derive(Clone, Copy)]
struct Weights {
    luma: i32,
    black: i32,
    v_in_red: i32,
    u_in_green: i32,
    v_in_green: i32,
    u_in_blue: i32,
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

    /// Converts an aligned rectangle of a picture of `height` rows into `rgb`, rows without gaps. [`Planes::check`]
    /// must have passed.
    pub fn to_rgb(self, rect: Rect, height: u32, rgb: &mut [u8]) {
        let weights = Weights::new(self.matrix, self.full_range);
        let (step_x, step_y) = chroma_step(self.subsampling);
        let convert = match self.subsampling {
            Subsampling::Gray => return self.gray_to_rgb(rect, rgb),
            Subsampling::S420 | Subsampling::S422 if height.is_multiple_of(2) => fast_halved_row,
            Subsampling::S420 | Subsampling::S422 => exact_halved_row,
            Subsampling::S444 => exact_row,
        };
        let targets = rgb.as_chunks_mut::<3>().0.chunks_exact_mut(rect.w as usize);
        for (row, target) in (rect.y..).zip(targets) {
            let luma = self.row(0, rect.x, row, rect.w);
            let chroma = |plane| self.row(plane, rect.x / step_x, row / step_y, rect.w.div_ceil(step_x));
            convert(&weights, luma, chroma(1), chroma(2), target);
        }
    }

    fn gray_to_rgb(self, rect: Rect, rgb: &mut [u8]) {
        let weights = Weights::new(self.matrix, self.full_range);
        let table: [u8; 256] = std::array::from_fn(|luma| level((luma as i32 - weights.black) * weights.luma));
        for (row, target) in (rect.y..).zip(rgb.as_chunks_mut::<3>().0.chunks_exact_mut(rect.w as usize)) {
            let luma = self.row(0, rect.x, row, rect.w);
            target.iter_mut().zip(luma).for_each(|(pixel, luma)| *pixel = [table[usize::from(*luma)]; 3]);
        }
    }

    /// `length` samples of a plane from column `x` of row `y` on.
    fn row(&self, plane: usize, x: u32, y: u32, length: u32) -> &'a [u8] {
        &self.planes[plane][self.strides[plane] * y as usize + x as usize..][..length as usize]
    }
}

impl Weights {
    fn new(matrix: Matrix, full_range: bool) -> Self {
        // Of limited-range video, as fractions of 65536 (ITU-R BT.601, BT.709, BT.2020; H.273 section 8.3).
        let [v_in_red, u_in_blue, u_in_green, v_in_green] = match matrix {
            Matrix::Bt601 => [104_597, 132_201, -25_675, -53_279],
            Matrix::Bt709 => [117_489, 138_438, -13_975, -34_925],
            Matrix::Bt2020 => [110_013, 140_363, -12_277, -42_626],
        };
        if !full_range {
            let luma = 65536 * 255 / 219;
            return Self { luma, black: 16, v_in_red, u_in_green, v_in_green, u_in_blue };
        }
        let full = |weight: i32| weight * 224 / 255;
        Self {
            luma: 65536,
            black: 0,
            v_in_red: full(v_in_red),
            u_in_green: full(u_in_green),
            v_in_green: full(v_in_green),
            u_in_blue: full(u_in_blue),
        }
    }
}

type Levels = [u8; BLOCK];

/// One row, chroma of half width, swscale's fast arithmetic.
fn fast_halved_row(weights: &Weights, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [[u8; 3]]) {
    row::<2>(|y, u, v| fast(weights, y, u, v), luma, u, v, rgb);
}

/// One row, chroma of half width, rounded correctly.
fn exact_halved_row(weights: &Weights, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [[u8; 3]]) {
    row::<2>(|y, u, v| exact(weights, y, u, v), luma, u, v, rgb);
}

/// One row, chroma of full width, rounded correctly.
fn exact_row(weights: &Weights, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [[u8; 3]]) {
    row::<1>(|y, u, v| exact(weights, y, u, v), luma, u, v, rgb);
}

/// One row, block by block; `STEP` pixels share a chroma sample.
#[inline(always)]
fn row<const STEP: usize>(
    convert: impl Fn(&Levels, &Levels, &Levels) -> [Levels; 3],
    luma: &[u8],
    u: &[u8],
    v: &[u8],
    rgb: &mut [[u8; 3]],
) {
    let chroma = u.chunks(BLOCK / STEP).zip(v.chunks(BLOCK / STEP));
    for ((target, luma), (u, v)) in rgb.chunks_mut(BLOCK).zip(luma.chunks(BLOCK)).zip(chroma) {
        let (mut y_block, mut u_block, mut v_block) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        y_block[..luma.len()].copy_from_slice(luma);
        u_block.chunks_exact_mut(STEP).zip(u).for_each(|(repeated, sample)| repeated.fill(*sample));
        v_block.chunks_exact_mut(STEP).zip(v).for_each(|(repeated, sample)| repeated.fill(*sample));
        let [red, green, blue] = convert(&y_block, &u_block, &v_block);
        for (i, pixel) in target.iter_mut().enumerate() {
            *pixel = [red[i], green[i], blue[i]];
        }
    }
}

/// swscale's fast path: each product in 16 bits and cut off at a whole level, then added.
#[inline(always)]
fn fast(weights: &Weights, y: &Levels, u: &Levels, v: &Levels) -> [Levels; 3] {
    let weight = |weight: i32| ((weight * 8192 + 32768) >> 16) as i16;
    let part = |sample: u8, zero: i32, weight: i16| -> i16 {
        let sample = i16::from(sample) * 8 - zero as i16 * 8;
        ((i32::from(sample) * i32::from(weight)) >> 16) as i16
    };
    let (luma, v_in_red, u_in_blue) = (weight(weights.luma), weight(weights.v_in_red), weight(weights.u_in_blue));
    let (u_in_green, v_in_green) = (weight(weights.u_in_green), weight(weights.v_in_green));
    let mut levels = [[0; BLOCK]; 3];
    for i in 0..BLOCK {
        let bright = part(y[i], weights.black, luma);
        let green = part(u[i], 128, u_in_green) + part(v[i], 128, v_in_green);
        levels[0][i] = (bright + part(v[i], 128, v_in_red)).clamp(0, 255) as u8;
        levels[1][i] = (bright + green).clamp(0, 255) as u8;
        levels[2][i] = (bright + part(u[i], 128, u_in_blue)).clamp(0, 255) as u8;
    }
    levels
}

/// Rounded to the nearest level.
#[inline(always)]
fn exact(weights: &Weights, y: &Levels, u: &Levels, v: &Levels) -> [Levels; 3] {
    let mut levels = [[0; BLOCK]; 3];
    for i in 0..BLOCK {
        let bright = (i32::from(y[i]) - weights.black) * weights.luma;
        let (u, v) = (i32::from(u[i]) - 128, i32::from(v[i]) - 128);
        levels[0][i] = level(bright + v * weights.v_in_red);
        levels[1][i] = level(bright + u * weights.u_in_green + v * weights.v_in_green);
        levels[2][i] = level(bright + u * weights.u_in_blue);
    }
    levels
}

/// The level nearest to a multiple of 1/65536.
#[inline(always)]
fn level(value: i32) -> u8 {
    ((value + 32768) >> 16).clamp(0, 255) as u8
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
