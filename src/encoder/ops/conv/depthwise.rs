//! Depthwise convolution: a vector of channels of a few neighbouring outputs at a time.

use super::{Convolution, Shape};
#[cfg(target_arch = "x86_64")]
use crate::encoder::ops::gemm::x86_64::{V8, V16};
use crate::encoder::ops::gemm::{V4, Vector};
#[cfg(target_arch = "x86_64")]
use crate::encoder::ops::level::Instructions;
use crate::encoder::ops::level::Level;
use crate::encoder::ops::shared::Shared;

/// Kernel sizes there is code for; height and width are equal.
pub(super) const SIZES: [usize; 2] = [3, 5];

/// Channels must be a multiple of this.
pub(super) const CHANNELS: usize = 4;

impl Convolution {
    pub(super) fn depthwise(&self, x: &[f32], out: &mut [f32]) {
        let [height, width, channels] = self.shape.output;
        assert!(SIZES.contains(&self.shape.kernel[0]) && self.shape.kernel[0] == self.shape.kernel[1]);
        assert!(channels.is_multiple_of(CHANNELS) && self.shape.input[2] == channels);
        assert!(x.len() == self.shape.input.iter().product::<usize>() && self.bias.len() == channels);
        assert!(self.weights.len() == self.shape.kernel[0] * self.shape.kernel[1] * channels);
        let shared = Shared::new(out);
        self.engine.pool.run(height, &|y| {
            // SAFETY: only this task writes this row.
            let row = unsafe { shared.part(y * width * channels, width * channels) };
            // SAFETY: asserted above: the input, weights, bias and row are as long as the shape says.
            unsafe { self.row(self.engine.level, x, y, row) }
        });
    }

    /// # Safety
    /// All slices are as long as the shape says; channels are a multiple of 4.
    unsafe fn row(&self, level: Level, x: &[f32], y: usize, out: &mut [f32]) {
        let a = Row { shape: &self.shape, x, weights: &self.weights, bias: &self.bias, bounds: self.bounds, y };
        #[cfg(target_arch = "x86_64")]
        {
            let channels = self.shape.output[2];
            match level.instructions() {
                // SAFETY: the caller's promise; the level proves the instructions; channels are whole vectors.
                Instructions::Avx512 if channels.is_multiple_of(16) => return unsafe { avx512(a, out) },
                Instructions::Avx512 | Instructions::Avx2 if channels.is_multiple_of(8) => {
                    // SAFETY: as above.
                    return unsafe { avx2(a, out) };
                }
                _ => {}
            }
        }
        let _ = level;
        // SAFETY: the caller's promise; four lanes are in every channel count.
        unsafe { sized::<V4>(a, out) }
    }
}

/// One output row's operands.
#[derive(Clone, Copy)]
struct Row<'a> {
    shape: &'a Shape,
    x: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    bounds: [f32; 2],
    y: usize,
}

/// # Safety
/// As [`sized`], and the processor has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512(a: Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { sized::<V16>(a, out) }
}

/// # Safety
/// As [`sized`], and the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(a: Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { sized::<V8>(a, out) }
}

/// # Safety
/// Slices are as long as the shape says, channels whole vectors.
#[inline(always)]
unsafe fn sized<V: Vector>(a: Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match (a.shape.kernel[0], a.shape.stride[1]) {
            // A constant stride lets neighbouring outputs share what they load.
            (3, 1) => row_of::<V, 3, 1>(a, out),
            (3, 2) => row_of::<V, 3, 2>(a, out),
            (3, _) => row_of::<V, 3, 0>(a, out),
            (_, 1) => row_of::<V, 5, 1>(a, out),
            (_, 2) => row_of::<V, 5, 2>(a, out),
            _ => row_of::<V, 5, 0>(a, out),
        }
    }
}

/// Outputs of a row computed together: their sums are independent, so that one waits for none of the others.
const TOGETHER: usize = 4;

/// # Safety
/// As [`sized`]; the kernel is K by K, the stride in a row STRIDE unless that is 0.
#[inline(always)]
unsafe fn row_of<V: Vector, const K: usize, const STRIDE: usize>(a: Row<'_>, out: &mut [f32]) {
    let (width, channels) = (a.shape.input[1], a.shape.input[2]);
    let stride = if STRIDE == 0 { a.shape.stride[1] } else { STRIDE };
    let (out_width, padding) = (a.shape.output[1], a.shape.padding[1]);
    // Outputs whose whole kernel lies inside the row.
    let first = padding.div_ceil(stride).min(out_width);
    let last = if width + padding >= K { ((width + padding - K) / stride + 1).clamp(first, out_width) } else { first };
    for c in (0..channels).step_by(V::LANES) {
        let mut x = 0;
        // SAFETY: outputs first..last see inside columns alone; `point` looks where each lies.
        unsafe {
            // Plain loops: closures are not always compiled for the instructions.
            while x < out_width {
                let place = out.as_mut_ptr().add(x * channels + c);
                if x < first || x >= last {
                    point::<V, K>(a, x, c, place);
                    x += 1;
                } else if STRIDE > 0 && last - x >= TOGETHER {
                    points::<V, K, STRIDE, TOGETHER>(a, x * stride - padding, c, place);
                    x += TOGETHER;
                } else {
                    points::<V, K, 0, 1>(a, x * stride - padding, c, place);
                    x += 1;
                }
            }
        }
    }
}

/// The input row under row `ky` of the kernel, if it lies inside.
#[inline(always)]
fn row_inside(a: Row<'_>, ky: usize) -> Option<usize> {
    // Wraps to far outside where it would be negative.
    let iy = (a.y * a.shape.stride[0]).wrapping_sub(a.shape.padding[0]).wrapping_add(ky);
    if iy < a.shape.input[0] { Some(iy) } else { None }
}

/// Channels from `c` on of `N` outputs, the first of which begins at column `left`. Each column is read once for all that
/// see it, by one pointer that walks along.
///
/// # Safety
/// As [`sized`]; the stride in a row is STRIDE; all columns that the outputs see are inside; `out` can be written for
/// each.
#[inline(always)]
unsafe fn points<V: Vector, const K: usize, const STRIDE: usize, const N: usize>(
    a: Row<'_>,
    left: usize,
    c: usize,
    out: *mut f32,
) {
    let (width, channels) = (a.shape.input[1], a.shape.input[2]);
    // SAFETY: the caller's promise; taps and channels are inside weights and bias; past the last column nothing is read.
    unsafe {
        let mut sums = [V::load(a.bias.as_ptr().add(c)); N];
        for ky in 0..K {
            let Some(iy) = row_inside(a, ky) else { continue };
            let w: [V; K] = std::array::from_fn(|kx| V::load(a.weights.as_ptr().add((ky * K + kx) * channels + c)));
            let mut from = a.x.as_ptr().add((iy * width + left) * channels + c);
            for column in 0..(N - 1) * STRIDE + K {
                let x = V::load(from);
                for (i, sum) in sums.iter_mut().enumerate() {
                    if let Some(w) = w.get(column.wrapping_sub(i * STRIDE)) {
                        *sum = x.fma(*w, *sum);
                    }
                }
                from = from.wrapping_add(channels);
            }
        }
        let (low, high) = (V::splat(a.bounds[0]), V::splat(a.bounds[1]));
        for (i, sum) in sums.into_iter().enumerate() {
            sum.clamp(low, high).store(out.add(i * channels));
        }
    }
}

/// Channels from `c` on of output `x`, whose kernel may reach outside.
///
/// # Safety
/// As [`sized`]; `out` can be written.
#[inline(always)]
unsafe fn point<V: Vector, const K: usize>(a: Row<'_>, x: usize, c: usize, out: *mut f32) {
    let (width, channels) = (a.shape.input[1], a.shape.input[2]);
    let (x_in, padding) = (x * a.shape.stride[1], a.shape.padding[1]);
    // Columns of the kernel that lie inside, and the input column under its first one, wrapping where that is outside.
    let (first, last) = (padding.saturating_sub(x_in), K.min((width + padding).saturating_sub(x_in)));
    let left = x_in.wrapping_sub(padding);
    // SAFETY: rows and columns are inside; taps, channels and point x are inside, by the caller's promise.
    unsafe {
        let mut sum = V::load(a.bias.as_ptr().add(c));
        for ky in 0..K {
            let Some(iy) = row_inside(a, ky) else { continue };
            for kx in first..last {
                let ix = left.wrapping_add(kx);
                let w = V::load(a.weights.as_ptr().add((ky * K + kx) * channels + c));
                sum = V::load(a.x.as_ptr().add((iy * width + ix) * channels + c)).fma(w, sum);
            }
        }
        let (low, high) = (V::splat(a.bounds[0]), V::splat(a.bounds[1]));
        sum.clamp(low, high).store(out);
    }
}
