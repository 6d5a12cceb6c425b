//! ONNX DynamicQuantizeLinear, written in the form a kernel wants.

use super::kernel::{Activations, Kernel};
use crate::encoder::ops::level::{Level, by_level};
use crate::encoder::ops::pool::Pool;

/// Adding this to a number below 2^22 in size rounds it to an integer, half to even, kept in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Below this many numbers a second thread does not pay.
const PARALLEL: usize = 1 << 16;

/// Rows of fewer bytes than this follow on each other without a gap.
const SHORT: usize = 256;

/// A matrix of activations in u8 with one scale and zero point, stored as a kernel wants it. Kept and filled again and
/// again, so that its memory is allocated once.
#[derive(Debug, Default)]
pub(crate) struct Quantised {
    bytes: Vec<u8>,
    stride: usize,
    rows: usize,
    /// `kr` times the size of an activation, and the bytes of a row without padding.
    row_bytes: usize,
    form: Option<Activations>,
    scale: f32,
    zero_point: i32,
}

impl Quantised {
    /// Quantises `x`, `[m, k]`, by the range of all its values with 0, as ONNX defines: scale = range / 255, zero point
    /// and values rounded half to even and saturated. A range of nothing takes scale 1.
    pub(crate) fn set(&mut self, kernel: &Kernel, level: Level, pool: &Pool, x: &[f32], k: usize) {
        let m = x.len() / k;
        let (low, high) = range(level, x);
        let scale = (high - low) / 255.0;
        let scale = if scale == 0.0 { 1.0 } else { scale };
        let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
        self.shape(kernel, m, k, scale, zero as u8);
        let (stride, form) = (self.stride, kernel.activations);
        // Rows without a gap are one long row.
        let length = if stride == k * form.size() { x.len() } else { k };
        let some = |x: &[f32], out: &mut [u8]| {
            for (row, out) in x.chunks(length).zip(out.chunks_mut(length / k * stride)) {
                quantise(level, row, scale, zero, form, out);
            }
        };
        if pool.threads() == 1 || x.len() < PARALLEL {
            some(x, &mut self.bytes[..m * stride]);
            return;
        }
        let per_task = m.div_ceil(pool.threads() * 2);
        let rows = x.chunks(per_task * k).zip(self.bytes[..m * stride].chunks_mut(per_task * stride));
        let tasks: Vec<_> = rows.map(|(x, out)| std::sync::Mutex::new((x, out))).collect();
        pool.run(tasks.len(), &|i| {
            // Each task is taken once, so the lock is free and was never poisoned.
            if let Ok(mut task) = tasks[i].lock() {
                let (x, out) = &mut *task;
                some(x, out);
            }
        });
    }

    /// Takes integers as they are, for tests.
    #[cfg(test)]
    pub(super) fn set_integers(&mut self, kernel: &Kernel, x: &[u8], m: usize, k: usize, zero: u8) {
        self.shape(kernel, m, k, 1.0, zero);
        let zero = f32::from(zero);
        for (row, out) in x.chunks_exact(k).zip(self.bytes.chunks_exact_mut(self.stride)) {
            let row: Vec<f32> = row.iter().map(|&x| f32::from(x) - zero).collect();
            quantise(Level::BASE, &row, 1.0, zero, kernel.activations, out);
        }
    }

    fn shape(&mut self, kernel: &Kernel, m: usize, k: usize, scale: f32, zero: u8) {
        self.row_bytes = k.next_multiple_of(kernel.kr) * kernel.activations.size();
        // One cache line more than needed, so that the rows of a tile do not fall on the same cache sets; short rows
        // cannot.
        self.stride = match self.row_bytes {
            0..SHORT => self.row_bytes,
            long => long.next_multiple_of(64) + 64,
        };
        self.rows = m;
        self.form = Some(kernel.activations);
        self.scale = scale;
        self.zero_point = i32::from(zero) - if kernel.activations == Activations::I8 { 128 } else { 0 };
        if self.bytes.len() < m * self.stride {
            self.bytes.resize(m * self.stride, 0);
        }
    }

    /// What an integer is worth.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// The stored integer that stands for 0.
    pub(crate) fn zero_point(&self) -> i32 {
        self.zero_point
    }

    /// Bytes of rows `first..first + rows`, the last one without what follows it, and the distance between rows.
    pub(super) fn rows(&self, kernel: &Kernel, k: usize, first: usize, rows: usize) -> (&[u8], usize) {
        assert!(self.form == Some(kernel.activations) && first + rows <= self.rows && rows > 0);
        assert!(self.row_bytes == k.next_multiple_of(kernel.kr) * kernel.activations.size());
        let start = first * self.stride;
        (&self.bytes[start..start + (rows - 1) * self.stride + self.row_bytes], self.stride)
    }
}

by_level! {
    /// Lowest and highest of `x` and 0; NaN is passed over.
    fn range(x: &[f32]) -> (f32, f32);
    avx512 = range_body, avx2 = range_body, base = range_body
}

#[inline(always)]
fn range_body(x: &[f32]) -> (f32, f32) {
    const LANES: usize = 64;
    let (mut low, mut high) = ([0f32; LANES], [0f32; LANES]);
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
        }
    }
    let rest = chunks.remainder().iter();
    let low = low.iter().chain(rest.clone()).fold(0f32, |a, &b| if b < a { b } else { a });
    let high = high.iter().chain(rest).fold(0f32, |a, &b| if b > a { b } else { a });
    (low, high)
}

by_level! {
    /// One row of [`Quantised::set`].
    fn quantise(x: &[f32], scale: f32, zero: f32, form: Activations, out: &mut [u8]);
    avx512 = quantise_body, avx2 = quantise_body, base = quantise_body
}

#[inline(always)]
fn quantise_body(x: &[f32], scale: f32, zero: f32, form: Activations, out: &mut [u8]) {
    // Clamped before rounding, which is the same as after it because both bounds are integers.
    let (low, high) = (-zero, 255.0 - zero);
    let integer = |x: f32| {
        let q = x / scale;
        let q = if q > low { q } else { low };
        let q = if q < high { q } else { high };
        ((q + ROUND).to_bits().wrapping_sub(ROUND.to_bits())).wrapping_add(zero as u32)
    };
    // Loops over numbers rather than iterator adaptors: those are not always compiled into this function, and then not
    // for its instructions.
    let n = x.len();
    match form {
        Activations::U8 | Activations::I8 => {
            let flip = if form == Activations::I8 { 0x80 } else { 0 };
            let out = &mut out[..n];
            for i in 0..n {
                out[i] = integer(x[i]) as u8 ^ flip;
            }
        }
        Activations::U16 => {
            let (pairs, _) = out[..2 * n].as_chunks_mut::<2>();
            for i in 0..n {
                pairs[i] = (integer(x[i]) as u16).to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ONNX's definition, in plain words of code.
    fn reference(x: &[f32]) -> (f32, u8, Vec<u8>) {
        let low = x.iter().copied().fold(0f32, f32::min);
        let high = x.iter().copied().fold(0f32, f32::max);
        let scale = if high == low { 1.0 } else { (high - low) / 255.0 };
        let zero = (0.0 - low / scale).clamp(0.0, 255.0).round_ties_even();
        let integers = x.iter().map(|x| ((x / scale).round_ties_even() + zero).clamp(0.0, 255.0) as u8).collect();
        (scale, zero as u8, integers)
    }

    fn check(x: &[f32], k: usize) {
        let expected = reference(x);
        for level in [Level::BASE, Level::detect().at_most_avx2(), Level::detect()] {
            for kernel in Kernel::all_supported() {
                for threads in [1, 2] {
                    let mut q = Quantised::default();
                    q.set(kernel, level, &Pool::new(threads).unwrap(), x, k);
                    let size = kernel.activations.size();
                    let offset = if kernel.activations == Activations::I8 { 128u8 } else { 0 };
                    let mut found = Vec::new();
                    for row in 0..x.len() / k {
                        let bytes = q.rows(kernel, k, row, 1).0;
                        found.extend(bytes.chunks_exact(size).take(k).map(|b| b[0].wrapping_add(offset)));
                    }
                    let zero = (q.zero_point() + i32::from(offset)) as u8;
                    assert_eq!((q.scale(), zero, &found), (expected.0, expected.1, &expected.2));
                }
            }
        }
    }

    #[test]
    fn follows_the_onnx_definition() {
        check(&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5], 3);
        check(&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0], 6);
        check(&[1.0, 2.1, 1.3, 2.5, 3.34, 4.0, 1.5, 2.6, 3.9, 4.0, 3.0, 2.345], 4);
    }

    #[test]
    fn nothing_but_zeros_stays_zeros() {
        check(&[0.0; 12], 4);
        check(&[-0.0; 5], 5);
    }

    #[test]
    fn ties_round_to_even() {
        let x: Vec<f32> = (-255..=255).map(|i| i as f32 * 0.5).collect();
        check(&x, 73);
    }

    #[test]
    fn many_values_in_many_scales() {
        let mut state = 1u32;
        for exponent in [-30, -3, 0, 9, 30] {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32
            };
            let x: Vec<f32> = (0..90_000).map(|_| (next() - 0.37) * 2f32.powi(exponent)).collect();
            check(&x, 900);
        }
    }
}
