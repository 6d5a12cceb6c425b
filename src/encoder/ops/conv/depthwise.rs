//! Depthwise convolution: a vector of channels at a time, its kernel kept in registers along a row.

use super::{Convolution, Shape};
#[cfg(target_arch = "x86_64")]
use crate::encoder::ops::gemm::x86_64::{V8, V16};
use crate::encoder::ops::gemm::{V4, Vector};
use crate::encoder::ops::level::{Instructions, Level};
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
        let channels = self.shape.output[2];
        // SAFETY: the caller's promise; the level proves the instructions; channels are whole vectors.
        unsafe {
            match level.instructions() {
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 if channels.is_multiple_of(16) => avx512(a, out),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 | Instructions::Avx2 if channels.is_multiple_of(8) => avx2(a, out),
                _ => sized::<V4>(a, out),
            }
        }
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
        match a.shape.kernel[0] {
            3 => row_of::<V, 3>(a, out),
            _ => row_of::<V, 5>(a, out),
        }
    }
}

/// # Safety
/// As [`sized`]; the kernel is K by K.
#[inline(always)]
unsafe fn row_of<V: Vector, const K: usize>(a: Row<'_>, out: &mut [f32]) {
    let [height, width, channels] = a.shape.input;
    let [stride_y, stride_x] = a.shape.stride;
    let out_width = a.shape.output[1];
    let (low, high) = (V::splat(a.bounds[0]), V::splat(a.bounds[1]));
    // Rows of the kernel that lie inside the input, and the input row under its first row (wrapping where negative).
    let top = (a.y * stride_y).wrapping_sub(a.shape.padding[0]);
    for c in (0..channels).step_by(V::LANES) {
        // SAFETY: taps and channels are inside weights and bias.
        let (w, bias) = unsafe {
            let w: [[V; K]; K] = std::array::from_fn(|ky| {
                std::array::from_fn(|kx| V::load(a.weights.as_ptr().add((ky * K + kx) * channels + c)))
            });
            (w, V::load(a.bias.as_ptr().add(c)))
        };
        for x in 0..out_width {
            let left = (x * stride_x).wrapping_sub(a.shape.padding[1]);
            let whole = left < width && left + K <= width;
            let mut sum = bias;
            for (ky, w) in w.iter().enumerate() {
                let iy = top.wrapping_add(ky);
                if iy >= height {
                    continue;
                }
                // SAFETY: row iy is inside; with `whole` so are all K columns, else each is checked.
                unsafe {
                    let from = a.x.as_ptr().add(iy * width * channels + c);
                    for (kx, w) in w.iter().enumerate() {
                        let ix = left.wrapping_add(kx);
                        if whole || ix < width {
                            sum = V::load(from.add(ix * channels)).fma(*w, sum);
                        }
                    }
                }
            }
            // SAFETY: point x of the row is inside.
            unsafe { sum.clamp(low, high).store(out.as_mut_ptr().add(x * channels + c)) }
        }
    }
}
