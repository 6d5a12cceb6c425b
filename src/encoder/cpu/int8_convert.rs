//! Conversion between f32 and int8 at both ends of an int8 product: activations are quantised as ONNX
//! DynamicQuantizeLinear defines, and integer sums become a layer's f32 output (scale, bias, activation, residual).

use super::int8_kernel::{ActivationFormat, Kernel};
use super::level::{BASE_FUSED, SimdLevel, bounded, by_level, exp, fma};
use super::threads::{Block, ThreadPool};

/// Adding this to a number of magnitude below 2^22 rounds it to an integer, half to even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// With fewer numbers than this, a second thread does not pay off.
const PARALLEL: usize = 1 << 16;

/// Rows of fewer bytes than this are stored without gaps.
const SHORT: usize = 256;

/// A matrix of u8 activations with one scale and zero point, stored in a kernel's format. It is reused, so its memory
/// is allocated once.
#[derive(Debug, Default)]
pub(crate) struct QuantisedMatrix {
    bytes: Vec<u8>,
    /// Bytes from one row to the next.
    stride: usize,
    rows: usize,
    /// Bytes of a row: K rounded up to a multiple of `kr`, times the size of an activation.
    row_bytes: usize,
    form: Option<ActivationFormat>,
    scale: f32,
    zero_point: i32,
}

impl QuantisedMatrix {
    /// Quantises `x`, `[m, k]`, by the range of all its values and 0, as ONNX defines: scale = range / 255, zero point
    /// and values rounded half to even and saturated. An empty range gets scale 1.
    pub(crate) fn set(&mut self, kernel: &Kernel, level: SimdLevel, pool: &ThreadPool, x: &[f32], k: usize) {
        let m = x.len() / k;
        let (low, high) = range(level, x);
        let scale = (high - low) / 255.0;
        let scale = if scale == 0.0 { 1.0 } else { scale };
        let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
        self.shape(kernel, m, k, scale, zero as u8);
        let (stride, form) = (self.stride, kernel.activations);
        // Rows without gaps are treated as one long row.
        let length = if stride == k * form.size() { x.len() } else { k };
        let quantise_rows = |x: &[f32], out: &mut [u8]| {
            for (row, out) in x.chunks(length).zip(out.chunks_mut(length / k * stride)) {
                quantise(level, row, scale, zero, form, out);
            }
        };
        if pool.threads() == 1 || x.len() < PARALLEL {
            quantise_rows(x, &mut self.bytes[..m * stride]);
            return;
        }
        let per_task = m.div_ceil(pool.threads() * 2);
        let rows = x.chunks(per_task * k).zip(self.bytes[..m * stride].chunks_mut(per_task * stride));
        let tasks: Vec<_> = rows.map(|(x, out)| std::sync::Mutex::new((x, out))).collect();
        pool.run(tasks.len(), &|i| {
            // Each task runs once, so the lock is free and was never poisoned.
            if let Ok(mut task) = tasks[i].lock() {
                let (x, out) = &mut *task;
                quantise_rows(x, out);
            }
        });
    }

    /// Stores integers unchanged, for tests.
    #[cfg(test)]
    pub(crate) fn set_integers(&mut self, kernel: &Kernel, x: &[u8], m: usize, k: usize, zero: u8) {
        self.shape(kernel, m, k, 1.0, zero);
        let zero = f32::from(zero);
        for (row, out) in x.chunks_exact(k).zip(self.bytes.chunks_exact_mut(self.stride)) {
            let row: Vec<f32> = row.iter().map(|&x| f32::from(x) - zero).collect();
            quantise(SimdLevel::BASE, &row, 1.0, zero, kernel.activations, out);
        }
    }

    /// Sets everything but the activations, and makes room for them.
    fn shape(&mut self, kernel: &Kernel, m: usize, k: usize, scale: f32, zero: u8) {
        self.row_bytes = k.next_multiple_of(kernel.kr) * kernel.activations.size();
        // One cache line more than needed, so that the rows of a tile do not map to the same cache sets. Short rows
        // cannot do so.
        self.stride = match self.row_bytes {
            0..SHORT => self.row_bytes,
            long => long.next_multiple_of(64) + 64,
        };
        self.rows = m;
        self.form = Some(kernel.activations);
        self.scale = scale;
        self.zero_point = i32::from(zero) - if kernel.activations == ActivationFormat::I8 { 128 } else { 0 };
        if self.bytes.len() < m * self.stride {
            self.bytes.resize(m * self.stride, 0);
        }
    }

    /// Returns the f32 value of one integer step.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// Returns the stored integer that represents 0.
    pub(crate) fn zero_point(&self) -> i32 {
        self.zero_point
    }

    /// Returns the bytes of rows `first..first + rows`, without the gap after the last one, and the row stride.
    pub(super) fn rows(&self, kernel: &Kernel, k: usize, first: usize, rows: usize) -> (&[u8], usize) {
        assert!(self.form == Some(kernel.activations) && first + rows <= self.rows && rows > 0);
        assert!(self.row_bytes == k.next_multiple_of(kernel.kr) * kernel.activations.size());
        let start = first * self.stride;
        (&self.bytes[start..start + (rows - 1) * self.stride + self.row_bytes], self.stride)
    }
}

by_level! {
    /// Returns the lowest and highest of `x` and 0; NaN is ignored.
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
    /// Quantises one row for [`QuantisedMatrix::set`].
    fn quantise(x: &[f32], scale: f32, zero: f32, form: ActivationFormat, out: &mut [u8]);
    avx512 = quantise_body, avx2 = quantise_body, base = quantise_body
}

#[inline(always)]
fn quantise_body(x: &[f32], scale: f32, zero: f32, form: ActivationFormat, out: &mut [u8]) {
    // Clamping before rounding equals clamping after it, because both bounds are integers.
    let (low, high) = (-zero, 255.0 - zero);
    let integer = |x: f32| {
        let q = x / scale;
        let q = if q > low { q } else { low };
        let q = if q < high { q } else { high };
        ((q + ROUND).to_bits().wrapping_sub(ROUND.to_bits())).wrapping_add(zero as u32)
    };
    // Index loops instead of iterator adaptors: adaptors are not always inlined into this function, and are then not
    // compiled for its instructions.
    let n = x.len();
    match form {
        ActivationFormat::U8 | ActivationFormat::I8 => {
            let flip = if form == ActivationFormat::I8 { 0x80 } else { 0 };
            let out = &mut out[..n];
            for i in 0..n {
                out[i] = integer(x[i]) as u8 ^ flip;
            }
        }
        ActivationFormat::U16 => {
            let (pairs, _) = out[..2 * n].as_chunks_mut::<2>();
            for i in 0..n {
                pairs[i] = (integer(x[i]) as u16).to_le_bytes();
            }
        }
    }
}

/// The function that follows a linear layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// x * sigmoid(1.702 x), as in CLIP.
    QuickGelu,
    /// x * Phi(x), computed with the error function.
    Gelu,
    /// x limited to a range: ReLU, ReLU6.
    Bounded(f32, f32),
}

impl Activation {
    /// Returns the activation of one number, exact to f32.
    pub(crate) fn at(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::QuickGelu => x / (1.0 + exp::<false>(-1.702 * x)),
            Self::Gelu => gelu::<false>(x),
            Self::Bounded(low, high) => bounded(x, low, high),
        }
    }
}

/// Constants of one panel's columns for one activation matrix. All slices are as long as a row of the output.
#[derive(Clone, Copy)]
pub(crate) struct ColumnConstants<'a> {
    /// Zero point times column sum, subtracted from the integer sums.
    pub(crate) correction: &'a [i32],
    /// Activation scale times weight scale.
    pub(crate) scale: &'a [f32],
    pub(crate) bias: &'a [f32],
}

by_level! {
    /// Computes `out = activation((sums - correction) * scale + bias)` for each row, added to the contents of `out` if
    /// `add` is set. Rows of `sums` are `nr` apart.
    pub(crate) fn finish(sums: &[i32], nr: usize, columns: ColumnConstants<'_>, activation: Activation, add: bool, out: Block<'_>);
    avx512 = finish_body::<true>, avx2 = finish_body::<true>, base = finish_body::<{ BASE_FUSED }>
}

/// Works on a whole tile, because a row of 16 columns is less work than one call.
#[inline(always)]
fn finish_body<const FUSED: bool>(
    sums: &[i32],
    nr: usize,
    columns: ColumnConstants<'_>,
    activation: Activation,
    add: bool,
    mut out: Block<'_>,
) {
    let mut at = 0;
    // Chunks of constant length compile to whole vectors.
    while let Some(chunk) = columns.chunk::<16>(at) {
        chunk.finish::<FUSED>(sums, nr, at, activation, add, &mut out);
        at += 16;
    }
    while let Some(chunk) = columns.chunk::<4>(at) {
        chunk.finish::<FUSED>(sums, nr, at, activation, add, &mut out);
        at += 4;
    }
    while let Some(chunk) = columns.chunk::<1>(at) {
        chunk.finish::<FUSED>(sums, nr, at, activation, add, &mut out);
        at += 1;
    }
}

impl ColumnConstants<'_> {
    /// Returns the constants of `N` neighbours from column `at` on, if there are that many.
    #[inline(always)]
    fn chunk<const N: usize>(&self, at: usize) -> Option<ColumnChunk<N>> {
        Some(ColumnChunk {
            correction: *self.correction.get(at..)?.first_chunk()?,
            scale: *self.scale.get(at..)?.first_chunk()?,
            bias: *self.bias.get(at..)?.first_chunk()?,
        })
    }
}

/// Constants of neighbouring columns, held in registers for all rows of a tile.
struct ColumnChunk<const N: usize> {
    correction: [i32; N],
    scale: [f32; N],
    bias: [f32; N],
}

impl<const N: usize> ColumnChunk<N> {
    #[inline(always)]
    fn finish<const FUSED: bool>(
        &self,
        sums: &[i32],
        nr: usize,
        at: usize,
        activation: Activation,
        add: bool,
        out: &mut Block<'_>,
    ) {
        for row in 0..out.rows() {
            let Some(sums) = sums.get(row * nr + at..).and_then(|sums| sums.first_chunk::<N>()) else { return };
            let Some(out) = out.row(row).get_mut(at..).and_then(|out| out.first_chunk_mut::<N>()) else { return };
            let mut x = [0f32; N];
            for i in 0..N {
                // Two roundings, like Mul and Add in the file; not fused.
                x[i] = sums[i].wrapping_sub(self.correction[i]) as f32 * self.scale[i] + self.bias[i];
            }
            match activation {
                Activation::None => {}
                Activation::QuickGelu => x.iter_mut().for_each(|x| *x /= 1.0 + exp::<FUSED>(-1.702 * *x)),
                Activation::Gelu => x.iter_mut().for_each(|x| *x = gelu::<FUSED>(*x)),
                Activation::Bounded(low, high) => x.iter_mut().for_each(|x| *x = bounded(*x, low, high)),
            }
            for i in 0..N {
                out[i] = if add { out[i] + x[i] } else { x[i] };
            }
        }
    }
}

/// Returns x/2 (1 + erf(x / sqrt 2)). The error function is Abramowitz and Stegun 7.1.26, with an error of at most
/// 1.5e-7.
#[inline(always)]
fn gelu<const FUSED: bool>(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / fma::<FUSED>(0.327_591_1, z, 1.0);
    let mut p: f32 = 1.061_405_4;
    p = fma::<FUSED>(p, t, -1.453_152);
    p = fma::<FUSED>(p, t, 1.421_413_7);
    p = fma::<FUSED>(p, t, -0.284_496_74);
    p = fma::<FUSED>(p, t, 0.254_829_6);
    let tail = p * t * exp::<FUSED>(-z * z);
    // x Phi(x) = x - x tail/2 for x > 0, and x tail/2 otherwise.
    let half = 0.5 * x * tail;
    if x > 0.0 { x - half } else { half }
}

#[cfg(test)]
mod tests {
    use super::super::choice::supported_kernels;
    use super::super::threads::SharedSlice;
    use super::*;

    /// ONNX's definition in plain code.
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
        for level in [SimdLevel::BASE, SimdLevel::detect().at_most_avx2(), SimdLevel::detect()] {
            for kernel in supported_kernels() {
                for threads in [1, 2] {
                    let mut q = QuantisedMatrix::default();
                    q.set(kernel, level, &ThreadPool::new(threads).unwrap(), x, k);
                    let size = kernel.activations.size();
                    let offset = if kernel.activations == ActivationFormat::I8 { 128u8 } else { 0 };
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
    fn zeros_stay_zeros() {
        check(&[0.0; 12], 4);
        check(&[-0.0; 5], 5);
    }

    #[test]
    fn ties_round_to_even() {
        let x: Vec<f32> = (-255..=255).map(|i| i as f32 * 0.5).collect();
        check(&x, 73);
    }

    #[test]
    fn many_values_on_many_scales() {
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

    #[test]
    fn activations_match_their_definitions() {
        for i in -1000..1000 {
            let x = f64::from(i) * 0.013;
            let quick = x / (1.0 + (-1.702 * x).exp());
            assert!((f64::from(Activation::QuickGelu.at(x as f32)) - quick).abs() < 1e-6 * (1.0 + x.abs()));
        }
        // Values from tables of the normal distribution.
        for (x, phi) in
            [(0.0, 0.5), (1.0, 0.841_344_7), (-1.0, 0.158_655_25), (-3.0, 0.001_349_898), (2.5, 0.993_790_3)]
        {
            assert!((Activation::Gelu.at(x) - x * phi).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn every_level_gives_the_same_result_up_to_rounding() {
        let sums: Vec<i32> = (0..61).map(|i| (i - 30) * 777).collect();
        let columns = ColumnConstants { correction: &[5; 61], scale: &[1.3e-4; 61], bias: &[0.1; 61] };
        let bounded = Activation::Bounded(0.0, 0.5);
        for activation in [Activation::None, Activation::QuickGelu, Activation::Gelu, bounded] {
            for level in [SimdLevel::BASE, SimdLevel::detect().at_most_avx2(), SimdLevel::detect()] {
                for add in [false, true] {
                    // Two rows of the same sums, with a number between them that must not change.
                    let mut out = [1.0; 2 * 62];
                    let twice = [&sums[..], &sums[..]].concat();
                    let shared = SharedSlice::new(&mut out);
                    // SAFETY: nothing else refers to `out`.
                    let block = unsafe { shared.block(0, 62, 2, 61) };
                    finish(level, &twice, 61, columns, activation, add, block);
                    assert_eq!((out[61], out[123]), (1.0, 1.0));
                    for (out, sum) in out[..61].iter().chain(&out[62..123]).zip(&twice) {
                        let expected = activation.at((sum - 5) as f32 * 1.3e-4 + 0.1) + f32::from(add);
                        assert!((out - expected).abs() < 1e-6, "{activation:?} {level:?}: {out} for {expected}");
                    }
                }
            }
        }
    }
}
