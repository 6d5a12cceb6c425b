//! Exponentials, and softmax over the columns of a matrix.

use super::simd::{LANES, Simd, lanes};

/// The most columns [`SoftmaxSums`] goes over.
pub const MAX_COLUMNS: usize = 64;

/// exp(x) for x up to 88, within 1e-7 of the true value; below -86 it stays at exp(-86), about 4e-38.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) is a polynomial of degree 6 whose relative error is below 2e-8 (found
/// by Remez' algorithm), and 2^n is added to the exponent.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    /// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const POLYNOMIAL: [f32; 6] = [0.008_374_857, 0.041_668_23, 0.166_664_2, 0.499_999_9, 1.0, 1.0];

    let x = simd.max(x, simd.splat(-86.0));
    let rounded = simd.fma(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let n = simd.sub(rounded, simd.splat(ROUND));
    let r = simd.fma(n, simd.splat(-LN2_HIGH), x);
    let r = simd.fma(n, simd.splat(-LN2_LOW), r);
    let mut p = simd.splat(0.001_383_679_5);
    for c in POLYNOMIAL {
        p = simd.fma(p, r, simd.splat(c));
    }
    simd.shift_exponent(p, rounded)
}

/// `out[i] = exp((x[i] - shift) * scale)`; `(x - shift) * scale` must not exceed 88.
#[inline(always)]
pub fn exp_all<S: Simd>(simd: S, x: &[f32], shift: f32, scale: f32, out: &mut [f32]) {
    let (shift, scale) = (simd.splat(shift), simd.splat(scale));
    let (x, x_tail) = x.as_chunks();
    let (out, out_tail) = out.as_chunks_mut();
    for (x, out) in x.iter().zip(out) {
        simd.store(exp(simd, simd.mul(simd.sub(simd.load(x), shift), scale)), out);
    }
    if !x_tail.is_empty() {
        let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
        x[..x_tail.len()].copy_from_slice(x_tail);
        simd.store(exp(simd, simd.mul(simd.sub(simd.load(&x), shift), scale)), &mut y);
        out_tail.copy_from_slice(&y[..x_tail.len()]);
    }
}

/// Neighbouring rows whose softmaxes are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// First row.
    pub first: usize,
    /// Number of rows.
    pub rows: usize,
    /// Where the rows' weights start; they are followed by zeros up to a multiple of [`LANES`].
    pub weights: usize,
}

/// A matrix of similarities, column by column, and which of its rows belong together.
#[derive(Clone, Copy)]
pub struct SoftmaxSums<'a> {
    /// Column t starts at `t * stride`. [`LANES`] numbers follow the last row, finite and otherwise of no consequence.
    pub columns: &'a [f32],
    /// From column to column.
    pub stride: usize,
    /// Columns taken, 1 to [`MAX_COLUMNS`].
    pub count: usize,
    /// Row weights, padded group by group.
    pub weights: &'a [f32],
    /// One over the softmax's temperature.
    pub inverse_tau: f32,
}

/// For each group g and column t: `out[g * out_stride + t] = sum over its rows j of weight_j * softmax_t(x[j, t] / tau)`.
#[inline(always)]
pub fn softmax_sums<S: Simd>(simd: S, m: SoftmaxSums<'_>, groups: &[Group], out: &mut [f32], out_stride: usize) {
    let inverse_tau = simd.splat(m.inverse_tau);
    let count = m.count.min(MAX_COLUMNS);
    let mut terms = [simd.splat(0.0); MAX_COLUMNS];
    let mut totals = [simd.splat(0.0); MAX_COLUMNS];
    let (terms, totals) = (&mut terms[..count], &mut totals[..count]);
    for (g, group) in groups.iter().enumerate() {
        totals.fill(simd.splat(0.0));
        for row in (0..group.rows).step_by(LANES) {
            let first = group.first + row;
            let mut largest = simd.load(lanes(m.columns, first));
            for t in 1..count {
                largest = simd.max(largest, simd.load(lanes(m.columns, t * m.stride + first)));
            }
            let mut sum = simd.splat(0.0);
            for (t, term) in terms.iter_mut().enumerate() {
                let x = simd.load(lanes(m.columns, t * m.stride + first));
                *term = exp(simd, simd.mul(simd.sub(x, largest), inverse_tau));
                sum = simd.add(sum, *term);
            }
            let share = simd.div(simd.load(lanes(m.weights, group.weights + row)), sum);
            for (total, term) in totals.iter_mut().zip(terms.iter()) {
                *total = simd.fma(*term, share, *total);
            }
        }
        for (out, total) in out[g * out_stride..][..count].iter_mut().zip(totals.iter()) {
            *out = simd.sum(*total);
        }
    }
}
