//! From integer sums to the layer's answer: scale, bias, activation, residual.

use crate::encoder::ops::level::by_level;
use crate::encoder::ops::math::{BASE_FUSED, bounded, exp, fma};
use crate::encoder::ops::shared::Block;

/// What follows a linear layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// x * sigmoid(1.702 x), CLIP's.
    QuickGelu,
    /// x * Phi(x), by the error function.
    Gelu,
    /// x kept between two numbers: ReLU, ReLU6.
    Bounded(f32, f32),
}

impl Activation {
    /// The activation at one point, exact to f32.
    pub(crate) fn at(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::QuickGelu => x / (1.0 + exp::<false>(-1.702 * x)),
            Self::Gelu => gelu::<false>(x),
            Self::Bounded(low, high) => bounded(x, low, high),
        }
    }
}

/// Constants of one panel's columns for one activation matrix; all slices are as long as a row of the answer.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    /// Zero point times column sum, taken off the integer sums.
    pub(super) correction: &'a [i32],
    /// Activation scale times weight scale.
    pub(super) scale: &'a [f32],
    pub(super) bias: &'a [f32],
}

by_level! {
    /// Row by row, `out = activation((sums - correction) * scale + bias)`, added to what `out` held where `add` is set.
    /// Rows of `sums` are `nr` apart.
    pub(super) fn finish(sums: &[i32], nr: usize, columns: Columns<'_>, activation: Activation, add: bool, out: Block<'_>);
    avx512 = finish_body::<true>, avx2 = finish_body::<true>, base = finish_body::<{ BASE_FUSED }>
}

/// A tile at a time, because a row of 16 columns is less work than calling this.
#[inline(always)]
fn finish_body<const FUSED: bool>(
    sums: &[i32],
    nr: usize,
    columns: Columns<'_>,
    activation: Activation,
    add: bool,
    mut out: Block<'_>,
) {
    let mut at = 0;
    // Constant lengths become whole vectors.
    while let Some(cells) = columns.cells::<16>(at) {
        cells.finish::<FUSED>(sums, nr, at, activation, add, &mut out);
        at += 16;
    }
    while let Some(cells) = columns.cells::<4>(at) {
        cells.finish::<FUSED>(sums, nr, at, activation, add, &mut out);
        at += 4;
    }
    while let Some(cells) = columns.cells::<1>(at) {
        cells.finish::<FUSED>(sums, nr, at, activation, add, &mut out);
        at += 1;
    }
}

impl Columns<'_> {
    /// `N` neighbours from column `at` on, where there are as many.
    #[inline(always)]
    fn cells<const N: usize>(&self, at: usize) -> Option<Cells<N>> {
        Some(Cells {
            correction: *self.correction.get(at..)?.first_chunk()?,
            scale: *self.scale.get(at..)?.first_chunk()?,
            bias: *self.bias.get(at..)?.first_chunk()?,
        })
    }
}

/// Constants of neighbouring columns, in registers for all rows of a tile.
struct Cells<const N: usize> {
    correction: [i32; N],
    scale: [f32; N],
    bias: [f32; N],
}

impl<const N: usize> Cells<N> {
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
                // Two roundings, as Mul and Add in the file; not fused.
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

/// x/2 (1 + erf(x / sqrt 2)), the error function by Abramowitz and Stegun 7.1.26, wrong by at most 1.5e-7.
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
    // x Phi(x) = x - x tail/2 for x > 0, and x tail/2 below.
    let half = 0.5 * x * tail;
    if x > 0.0 { x - half } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::ops::level::Level;
    use crate::encoder::ops::shared::Shared;

    #[test]
    fn activations_match_their_definitions() {
        for i in -1000..1000 {
            let x = f64::from(i) * 0.013;
            let quick = x / (1.0 + (-1.702 * x).exp());
            assert!((f64::from(Activation::QuickGelu.at(x as f32)) - quick).abs() < 1e-6 * (1.0 + x.abs()));
        }
        // From tables of the normal distribution.
        for (x, phi) in
            [(0.0, 0.5), (1.0, 0.841_344_7), (-1.0, 0.158_655_25), (-3.0, 0.001_349_898), (2.5, 0.993_790_3)]
        {
            assert!((Activation::Gelu.at(x) - x * phi).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn every_level_gives_the_same_to_rounding() {
        let sums: Vec<i32> = (0..61).map(|i| (i - 30) * 777).collect();
        let columns = Columns { correction: &[5; 61], scale: &[1.3e-4; 61], bias: &[0.1; 61] };
        let bounded = Activation::Bounded(0.0, 0.5);
        for activation in [Activation::None, Activation::QuickGelu, Activation::Gelu, bounded] {
            for level in [Level::BASE, Level::detect().at_most_avx2(), Level::detect()] {
                for add in [false, true] {
                    // Two rows of the same sums, with a number between them that is not theirs.
                    let mut out = [1.0; 2 * 62];
                    let twice = [&sums[..], &sums[..]].concat();
                    let shared = Shared::new(&mut out);
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
