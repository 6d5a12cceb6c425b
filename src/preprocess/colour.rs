//! Converts planar YUV to RGB inside one rectangle, as ffmpeg's swscale does by default.
//!
//! Models are trained and evaluated on frames that swscale converted. For 4:2:0 and 4:2:2 with an even number of rows
//! it takes a fast path on x86: chroma is repeated, and products are truncated to whole levels (on average 1 level
//! darker than exact arithmetic). That is computed here, bit for bit, on every machine. Everything else is rounded to
//! the nearest level, as swscale does; chroma is repeated there too, whereas swscale interpolates it vertically for an
//! odd number of rows.
//!
//! The loops run over blocks of fixed size, which compilers turn into vector code.

use crate::picture::{Matrix, Rect, Subsampling};

/// The planes of [`crate::picture::Pixels::Yuv`].
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    pub planes: [&'a [u8]; 3],
    pub strides: [usize; 3],
    pub subsampling: Subsampling,
    pub full_range: bool,
    pub matrix: Matrix,
}

impl<'a> Planes<'a> {
    /// The smallest rectangle around `rect` that starts on a whole chroma sample.
    pub fn align(&self, rect: Rect) -> Rect {
        let (step_x, step_y) = self.subsampling.step();
        let (x, y) = (rect.x - rect.x % step_x, rect.y - rect.y % step_y);
        Rect { x, y, w: rect.x + rect.w - x, h: rect.y + rect.h - y }
    }

    /// Converts an aligned rectangle into `rgb`, rows without gaps. `upright_rows` is the height of the upright
    /// picture. The planes must have been checked.
    pub fn to_rgb(self, rect: Rect, upright_rows: u32, rgb: &mut [u8]) {
        let weights = Weights::new(self.matrix, self.full_range);
        let (step_x, step_y) = self.subsampling.step();
        let convert = match self.subsampling {
            Subsampling::Gray => return self.gray_to_rgb(rect, rgb),
            Subsampling::S420 | Subsampling::S422 if upright_rows.is_multiple_of(2) => fast_halved,
            Subsampling::S420 | Subsampling::S422 => exact_halved,
            Subsampling::S444 => exact_whole,
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

    /// `length` samples of a plane, from column `x` of row `y`.
    fn row(&self, plane: usize, x: u32, y: u32, length: u32) -> &'a [u8] {
        &self.planes[plane][self.strides[plane] * y as usize + x as usize..][..length as usize]
    }
}

/// Pixels converted together: enough to fill vector registers, few enough to stay in the L1 cache.
const BLOCK: usize = 32;

type Levels = [u8; BLOCK];

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

impl Weights {
    fn new(matrix: Matrix, full_range: bool) -> Self {
        // For limited-range video (ITU-T H.273 section 8.3, from the Kr and Kb of BT.601, BT.709 and BT.2020).
        let [v_in_red, u_in_blue, u_in_green, v_in_green] = match matrix {
            Matrix::Bt601 => [104_597, 132_201, -25_675, -53_279],
            Matrix::Bt709 => [117_489, 138_438, -13_975, -34_925],
            Matrix::Bt2020 => [110_013, 140_363, -12_277, -42_626],
        };
        let chroma = |weight: i32| if full_range { weight * 224 / 255 } else { weight };
        Self {
            luma: if full_range { 65536 } else { 65536 * 255 / 219 },
            black: if full_range { 0 } else { 16 },
            v_in_red: chroma(v_in_red),
            u_in_green: chroma(u_in_green),
            v_in_green: chroma(v_in_green),
            u_in_blue: chroma(u_in_blue),
        }
    }

    /// The level of R, G and B for each luma value of a picture without chroma.
    fn gray_levels(&self) -> [u8; 256] {
        std::array::from_fn(|luma| nearest((luma as i32 - self.black) * self.luma))
    }
}

/// Converts a row with chroma of half width, by swscale's fast arithmetic.
fn fast_halved(weights: &Weights, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [[u8; 3]]) {
    // A separate copy for AVX2 is worth it: a 1080p frame takes 0.5 ms, and 1.2 ms with the instructions of every
    // x86-64.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the check above found AVX2 on this machine.
        return unsafe { fast_halved_avx2(weights, luma, u, v, rgb) };
    }
    row::<Fast, 2, { BLOCK / 2 }>(weights, luma, u, v, rgb);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fast_halved_avx2(weights: &Weights, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [[u8; 3]]) {
    row::<Fast, 2, { BLOCK / 2 }>(weights, luma, u, v, rgb);
}

/// Converts a row with chroma of half width, rounded to the nearest level.
fn exact_halved(weights: &Weights, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [[u8; 3]]) {
    row::<Exact, 2, { BLOCK / 2 }>(weights, luma, u, v, rgb);
}

/// Converts a row with chroma of full width, rounded to the nearest level.
fn exact_whole(weights: &Weights, luma: &[u8], u: &[u8], v: &[u8], rgb: &mut [[u8; 3]]) {
    row::<Exact, 1, BLOCK>(weights, luma, u, v, rgb);
}

/// How the levels of one block are computed.
trait Arithmetic {
    /// Returns the levels of R, G and B.
    fn levels(weights: &Weights, y: &Levels, u: &Levels, v: &Levels) -> [Levels; 3];
}

/// Each product is truncated to a whole level in 16 bits, then added.
struct Fast;

/// The sum is rounded to the nearest level.
struct Exact;

impl Arithmetic for Fast {
    #[inline(always)]
    fn levels(weights: &Weights, y: &Levels, u: &Levels, v: &Levels) -> [Levels; 3] {
        let short = |weight: i32| ((weight * 8192 + 32768) >> 16) as i16;
        let part = |sample: u8, zero: i32, weight: i16| -> i16 {
            let sample = i16::from(sample) * 8 - zero as i16 * 8;
            ((i32::from(sample) * i32::from(weight)) >> 16) as i16
        };
        let (luma, v_in_red, u_in_blue) = (short(weights.luma), short(weights.v_in_red), short(weights.u_in_blue));
        let (u_in_green, v_in_green) = (short(weights.u_in_green), short(weights.v_in_green));
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
}

impl Arithmetic for Exact {
    #[inline(always)]
    fn levels(weights: &Weights, y: &Levels, u: &Levels, v: &Levels) -> [Levels; 3] {
        let mut levels = [[0; BLOCK]; 3];
        for i in 0..BLOCK {
            let bright = (i32::from(y[i]) - weights.black) * weights.luma;
            let (u, v) = (i32::from(u[i]) - 128, i32::from(v[i]) - 128);
            levels[0][i] = nearest(bright + v * weights.v_in_red);
            levels[1][i] = nearest(bright + u * weights.u_in_green + v * weights.v_in_green);
            levels[2][i] = nearest(bright + u * weights.u_in_blue);
        }
        levels
    }
}

/// The level nearest to a multiple of 1/65536.
#[inline(always)]
fn nearest(value: i32) -> u8 {
    ((value + 32768) >> 16).clamp(0, 255) as u8
}

/// Converts a row block by block. `STEP` pixels share a chroma sample, so a block needs `CHROMA` = `BLOCK / STEP`
/// samples.
#[inline(always)]
fn row<A: Arithmetic, const STEP: usize, const CHROMA: usize>(
    weights: &Weights,
    luma: &[u8],
    u: &[u8],
    v: &[u8],
    rgb: &mut [[u8; 3]],
) {
    let ((y_blocks, y_rest), (rgb_blocks, rgb_rest)) = (luma.as_chunks(), rgb.as_chunks_mut());
    let whole = y_blocks.len() * CHROMA;
    let ((u, u_rest), (v, v_rest)) = (u.split_at(whole), v.split_at(whole));
    for (((y, u), v), rgb) in y_blocks.iter().zip(u.as_chunks().0).zip(v.as_chunks().0).zip(rgb_blocks) {
        block::<A, STEP, CHROMA>(weights, y, u, v, rgb);
    }
    let mut rest = [[0; 3]; BLOCK];
    block::<A, STEP, CHROMA>(weights, &padded(y_rest), &padded(u_rest), &padded(v_rest), &mut rest);
    rgb_rest.copy_from_slice(&rest[..rgb_rest.len()]);
}

#[inline(always)]
fn block<A: Arithmetic, const STEP: usize, const CHROMA: usize>(
    weights: &Weights,
    y: &Levels,
    u: &[u8; CHROMA],
    v: &[u8; CHROMA],
    rgb: &mut [[u8; 3]; BLOCK],
) {
    let [red, green, blue] = A::levels(weights, y, &repeated::<STEP, CHROMA>(u), &repeated::<STEP, CHROMA>(v));
    for i in 0..BLOCK {
        rgb[i] = [red[i], green[i], blue[i]];
    }
}

/// Repeats each sample `STEP` times.
#[inline(always)]
fn repeated<const STEP: usize, const CHROMA: usize>(samples: &[u8; CHROMA]) -> Levels {
    let mut levels = [0; BLOCK];
    for (target, sample) in levels.as_chunks_mut::<STEP>().0.iter_mut().zip(samples) {
        *target = [*sample; STEP];
    }
    levels
}

/// Fills up less than a block with zeros.
fn padded<const N: usize>(samples: &[u8]) -> [u8; N] {
    let mut block = [0; N];
    block[..samples.len()].copy_from_slice(samples);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    type Convert = fn(&Weights, &[u8], &[u8], &[u8], &mut [[u8; 3]]);

    /// Both arithmetics, written out for one pixel.
    fn reference(w: &Weights, [y, u, v]: [u8; 3], fast: bool) -> [u8; 3] {
        let (y, u, v) = (i32::from(y) - w.black, i32::from(u) - 128, i32::from(v) - 128);
        let green = [(y, w.luma), (u, w.u_in_green), (v, w.v_in_green)];
        let channels = [[(y, w.luma), (v, w.v_in_red), (0, 0)], green, [(y, w.luma), (u, w.u_in_blue), (0, 0)]];
        channels.map(|parts| {
            let sum =
                |part: fn(i32, i32) -> i32| parts.iter().map(|(sample, weight)| part(*sample, *weight)).sum::<i32>();
            let cut_off = |sample: i32, weight: i32| (sample * 8 * ((weight + 4) >> 3)) >> 16;
            let level = if fast { sum(cut_off) } else { (sum(|a, b| a * b) + 32768) >> 16 };
            level.clamp(0, 255) as u8
        })
    }

    #[test]
    fn rows_of_any_length_equal_single_pixels() {
        let sample = |i: usize, c: usize| (i * 89 + c * 41 + i * i * 7) as u8;
        let plane = |c, length| (0..length).map(|i| sample(i, c)).collect::<Vec<_>>();
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for (length, full) in (1..100).flat_map(|length| [(length, false), (length, true)]) {
                let weights = Weights::new(matrix, full);
                let planes = [plane(0, length), plane(1, length), plane(2, length)];
                let check = |convert: Convert, step: usize, fast| {
                    let mut rgb = vec![[0; 3]; length];
                    let chroma = length.div_ceil(step);
                    convert(&weights, &planes[0], &planes[1][..chroma], &planes[2][..chroma], &mut rgb);
                    let pixel = |i: usize| [planes[0][i], planes[1][i / step], planes[2][i / step]];
                    let expected: Vec<_> = (0..length).map(|i| reference(&weights, pixel(i), fast)).collect();
                    assert_eq!(rgb, expected, "{matrix:?}, {length} pixels, full range {full}, step {step}");
                };
                check(fast_halved, 2, true);
                check(row::<Fast, 2, { BLOCK / 2 }>, 2, true);
                check(exact_halved, 2, false);
                check(exact_whole, 1, false);
            }
        }
    }
}
