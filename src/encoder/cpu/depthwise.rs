//! Depthwise f32 convolution, which computes a vector of channels of a few neighbouring outputs at a time.

#[cfg(target_arch = "x86_64")]
use super::level::Instructions;
#[cfg(target_arch = "x86_64")]
use super::level::x86_64::{V8, V16};
use super::level::{SimdLevel, V4, Vector};
use super::threads::{SharedSlice, ThreadPool};

/// The kernel sizes that are implemented; height and width are equal.
pub(crate) const SIZES: [usize; 2] = [3, 5];

/// The channels must be a multiple of this.
pub(crate) const CHANNELS: usize = 4;

/// The sizes of a convolution with channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    /// Height, width and channels of the input.
    pub(crate) input: [usize; 3],
    /// Height, width and channels of the output.
    pub(crate) output: [usize; 3],
    /// Height and width of the kernel.
    pub(crate) kernel: [usize; 2],
    /// Steps down and right.
    pub(crate) stride: [usize; 2],
    /// Rows of zeros above, columns of zeros to the left.
    pub(crate) padding: [usize; 2],
}

/// The operands of a depthwise convolution.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub(crate) shape: &'a ConvShape,
    /// `[H, W, C]`
    pub(crate) x: &'a [f32],
    /// `[kh * kw][C]`
    pub(crate) weights: &'a [f32],
    /// `[C]`
    pub(crate) bias: &'a [f32],
    /// The lowest and highest output.
    pub(crate) bounds: [f32; 2],
}

/// Computes `out`, `[H', W', C]`, one row per task of the pool.
///
/// # Panics
/// When a slice does not fit the shape, or the kernel or the number of channels is not supported.
pub(crate) fn convolve(level: SimdLevel, pool: &ThreadPool, operands: Operands<'_>, out: &mut [f32]) {
    let Operands { shape, x, weights, bias, bounds } = operands;
    let [height, width, channels] = shape.output;
    assert!(SIZES.contains(&shape.kernel[0]) && shape.kernel[0] == shape.kernel[1]);
    assert!(channels.is_multiple_of(CHANNELS) && shape.input[2] == channels);
    assert!(x.len() == shape.input.iter().product::<usize>() && bias.len() == channels);
    assert!(weights.len() == shape.kernel[0] * shape.kernel[1] * channels);
    let shared = SharedSlice::new(out);
    pool.run(height, &|y| {
        // SAFETY: only this task writes this row.
        let out = unsafe { shared.part(y * width * channels, width * channels) };
        // SAFETY: asserted above: the input, weights, bias and row are as long as the shape says.
        unsafe { convolve_row(level, Row { shape, x, weights, bias, bounds, y }, out) }
    });
}

/// Computes one row with the best vectors that divide the channels.
///
/// # Safety
/// All slices are as long as the shape says; the channels are a multiple of 4.
unsafe fn convolve_row(level: SimdLevel, a: Row<'_>, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        let channels = a.shape.output[2];
        match level.instructions() {
            // SAFETY: the caller's contract; the level proves the instructions; the channels are whole vectors.
            Instructions::Avx512 if channels.is_multiple_of(16) => return unsafe { avx512(a, out) },
            Instructions::Avx512 | Instructions::Avx2 if channels.is_multiple_of(8) => {
                // SAFETY: as above.
                return unsafe { avx2(a, out) };
            }
            _ => {}
        }
    }
    let _ = level;
    // SAFETY: the caller's contract; every supported number of channels is a multiple of four lanes.
    unsafe { sized::<V4>(a, out) }
}

/// The operands of one output row.
#[derive(Clone, Copy)]
struct Row<'a> {
    shape: &'a ConvShape,
    x: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    bounds: [f32; 2],
    y: usize,
}

/// Computes one row with AVX-512.
///
/// # Safety
/// As [`sized`], and the processor has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512(a: Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { sized::<V16>(a, out) }
}

/// Computes one row with AVX2.
///
/// # Safety
/// As [`sized`], and the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(a: Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { sized::<V8>(a, out) }
}

/// Calls [`row_of`] with the kernel size and the stride as constants.
///
/// # Safety
/// The slices are as long as the shape says; the channels are whole vectors.
#[inline(always)]
unsafe fn sized<V: Vector>(a: Row<'_>, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe {
        match (a.shape.kernel[0], a.shape.stride[1]) {
            // With a constant stride neighbouring outputs share what they load.
            (3, 1) => row_of::<V, 3, 1>(a, out),
            (3, 2) => row_of::<V, 3, 2>(a, out),
            (3, _) => row_of::<V, 3, 0>(a, out),
            (_, 1) => row_of::<V, 5, 1>(a, out),
            (_, 2) => row_of::<V, 5, 2>(a, out),
            _ => row_of::<V, 5, 0>(a, out),
        }
    }
}

/// Outputs of a row that are computed together: their sums are independent, so no sum waits for another one.
const OUTPUTS: usize = 4;

/// Computes one row.
///
/// # Safety
/// As [`sized`]; the kernel is K by K, the stride in a row STRIDE unless that is 0.
#[inline(always)]
unsafe fn row_of<V: Vector, const K: usize, const STRIDE: usize>(a: Row<'_>, out: &mut [f32]) {
    let (width, channels) = (a.shape.input[1], a.shape.input[2]);
    let stride = if STRIDE == 0 { a.shape.stride[1] } else { STRIDE };
    let (out_width, padding) = (a.shape.output[1], a.shape.padding[1]);
    // The outputs whose whole kernel lies inside the row.
    let first = padding.div_ceil(stride).min(out_width);
    let last = if width + padding >= K { ((width + padding - K) / stride + 1).clamp(first, out_width) } else { first };
    for c in (0..channels).step_by(V::LANES) {
        let mut x = 0;
        // SAFETY: outputs first..last read only columns inside the row; `point` checks where each column lies.
        unsafe {
            // Plain loops, because closures are not always compiled for the instructions.
            while x < out_width {
                let place = out.as_mut_ptr().add(x * channels + c);
                if x < first || x >= last {
                    point::<V, K>(a, x, c, place);
                    x += 1;
                } else if STRIDE > 0 && last - x >= OUTPUTS {
                    points::<V, K, STRIDE, OUTPUTS>(a, x * stride - padding, c, place);
                    x += OUTPUTS;
                } else {
                    points::<V, K, 0, 1>(a, x * stride - padding, c, place);
                    x += 1;
                }
            }
        }
    }
}

/// Returns the input row under row `ky` of the kernel, if it lies inside.
#[inline(always)]
fn row_inside(a: Row<'_>, ky: usize) -> Option<usize> {
    // A negative row wraps to one far outside.
    let iy = (a.y * a.shape.stride[0]).wrapping_sub(a.shape.padding[0]).wrapping_add(ky);
    if iy < a.shape.input[0] { Some(iy) } else { None }
}

/// Computes channels from `c` on of `N` outputs, the first of which starts at column `left`. Each column is read once
/// for all outputs that use it, by one advancing pointer.
///
/// # Safety
/// As [`sized`]; the stride in a row is STRIDE; all columns that the outputs read are inside; `out` can be written for
/// each output.
#[inline(always)]
unsafe fn points<V: Vector, const K: usize, const STRIDE: usize, const N: usize>(
    a: Row<'_>,
    left: usize,
    c: usize,
    out: *mut f32,
) {
    let (width, channels) = (a.shape.input[1], a.shape.input[2]);
    // SAFETY: the caller's contract; taps and channels are inside weights and bias; nothing is read past the last
    // column.
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

/// Computes channels from `c` on of output `x`, whose kernel may reach outside.
///
/// # Safety
/// As [`sized`]; `out` can be written.
#[inline(always)]
unsafe fn point<V: Vector, const K: usize>(a: Row<'_>, x: usize, c: usize, out: *mut f32) {
    let (width, channels) = (a.shape.input[1], a.shape.input[2]);
    let (x_in, padding) = (x * a.shape.stride[1], a.shape.padding[1]);
    // The columns of the kernel that lie inside, and the input column under its first one, which wraps if outside.
    let (first, last) = (padding.saturating_sub(x_in), K.min((width + padding).saturating_sub(x_in)));
    let left = x_in.wrapping_sub(padding);
    // SAFETY: rows and columns are inside; taps, channels and point x are inside, by the caller's contract.
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
