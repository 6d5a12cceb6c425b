//! The kernels, written once over sixteen lanes ([`Simd`]), and the macro that compiles them for an instruction set.

use half::f16;

use super::simd::{Element, LANES, Simd, lanes};

/// Dot products of rows `[R, width]` with vectors `[V, width]`, into `out[v * stride + r]`.
pub(super) type Dot<E> = fn(rows: &[E], width: usize, vectors: &[f32], out: &mut [f32], stride: usize);

/// The sum of `base`, `[width]`, and rows `[R, width]` multiplied by factors `[R]`, into `out`, `[width]`.
pub(super) type Mix<E> = fn(rows: &[E], factors: &[f32], base: &[f32], out: &mut [f32]);

/// The kernels of one instruction set.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// Name of the instruction set.
    pub name: &'static str,
    /// [`dot`] over f32 rows.
    pub dot_f32: Dot<f32>,
    /// [`dot`] over f16 rows, which must be finite.
    pub dot_f16: Dot<f16>,
    /// [`dot`] over i8 rows, without their scales.
    pub dot_i8: Dot<i8>,
    /// [`mix`] over f32 rows.
    pub mix_f32: Mix<f32>,
    /// [`mix`] over f16 rows, which must be finite.
    pub mix_f16: Mix<f16>,
    /// [`mix`] over i8 rows, without their scales.
    pub mix_i8: Mix<i8>,
    /// [`exp_all`].
    pub exp_all: fn(x: &[f32], shift: f32, scale: f32, out: &mut [f32]),
    /// [`softmax_sums`].
    pub softmax_sums: fn(matrix: SoftmaxSums<'_>, groups: &[Group], out: &mut [f32], stride: usize),
}

/// Compiles the kernels for one instruction set and collects them in `TABLE`.
///
/// `dot` takes `one` rows at a time for a single vector, and tiles of `many` rows x vectors for several vectors: as
/// many running sums as fit into the registers.
macro_rules! entry_points {
    ($simd:expr, $name:literal, [$($features:literal)?], one: $one:literal, many: $rows:literal x $vectors:literal) => {
        use $crate::table::kernel::loops::*;

        entry_points!(@fn [$($features)?] dot_f32(rows: &[f32], width: usize, x: &[f32], out: &mut [f32], stride: usize) =>
            dot::<_, f32, $one, $rows, $vectors>($simd, rows, width, x, out, stride));
        entry_points!(@fn [$($features)?] dot_f16(rows: &[f16], width: usize, x: &[f32], out: &mut [f32], stride: usize) =>
            dot::<_, f16, $one, $rows, $vectors>($simd, rows, width, x, out, stride));
        entry_points!(@fn [$($features)?] dot_i8(rows: &[i8], width: usize, x: &[f32], out: &mut [f32], stride: usize) =>
            dot::<_, i8, $one, $rows, $vectors>($simd, rows, width, x, out, stride));
        entry_points!(@fn [$($features)?] mix_f32(rows: &[f32], factors: &[f32], base: &[f32], out: &mut [f32]) =>
            mix($simd, rows, factors, base, out));
        entry_points!(@fn [$($features)?] mix_f16(rows: &[f16], factors: &[f32], base: &[f32], out: &mut [f32]) =>
            mix($simd, rows, factors, base, out));
        entry_points!(@fn [$($features)?] mix_i8(rows: &[i8], factors: &[f32], base: &[f32], out: &mut [f32]) =>
            mix($simd, rows, factors, base, out));
        entry_points!(@fn [$($features)?] exp(x: &[f32], shift: f32, scale: f32, out: &mut [f32]) =>
            exp_all($simd, x, shift, scale, out));
        entry_points!(@fn [$($features)?] sums(m: SoftmaxSums<'_>, groups: &[Group], out: &mut [f32], stride: usize) =>
            softmax_sums($simd, m, groups, out, stride));

        const TABLE: Kernels = Kernels {
            name: $name,
            dot_f32,
            dot_f16,
            dot_i8,
            mix_f32,
            mix_f16,
            mix_i8,
            exp_all: exp,
            softmax_sums: sums,
        };
    };
    (@fn [] $name:ident($($arg:ident: $type:ty),*) => $body:expr) => {
        fn $name($($arg: $type),*) {
            $body
        }
    };
    (@fn [$features:literal] $name:ident($($arg:ident: $type:ty),*) => $body:expr) => {
        fn $name($($arg: $type),*) {
            #[target_feature(enable = $features)]
            fn compiled_for($($arg: $type),*) {
                $body
            }
            // SAFETY: only `TABLE` refers to this function, and only `detect` returns `TABLE`, if the CPU has the
            // features.
            unsafe { compiled_for($($arg),*) }
        }
    };
}
pub(super) use entry_points;

/// Bytes in a cache line.
const LINE: usize = 64;
/// How far ahead of the sums memory is prefetched, in bytes.
const AHEAD: usize = 8192;

/// Computes the dot products of every row with every vector: `out[v * stride + r] = <rows[r], vectors[v]>`.
///
/// `rows` is `[R, width]` and `vectors` `[V, width]`. A single vector is multiplied with `ONE` rows at a time; several
/// vectors are taken in tiles of `ROWS` x `VECTORS`, so that memory is read once for all of them. Each product is
/// summed in the same order in every tile, so the results for one vector do not depend on the other vectors.
#[inline(always)]
pub fn dot<S: Simd, E: Element, const ONE: usize, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    rows: &[E],
    width: usize,
    vectors: &[f32],
    out: &mut [f32],
    stride: usize,
) {
    if vectors.len() == width {
        bands::<S, E, ONE, 1>(simd, rows, width, vectors, out, stride);
    } else {
        bands::<S, E, ROWS, VECTORS>(simd, rows, width, vectors, out, stride);
    }
}

/// Multiplies all rows in bands of `R`, each with all vectors while the band is in the first-level cache.
#[inline(always)]
fn bands<S: Simd, E: Element, const R: usize, const V: usize>(
    simd: S,
    rows: &[E],
    width: usize,
    vectors: &[f32],
    out: &mut [f32],
    stride: usize,
) {
    let count = rows.len() / width;
    let mut row = 0;
    while row + R <= count {
        band::<S, E, R, V>(simd, &rows[row * width..][..R * width], width, vectors, &mut out[row..], stride);
        row += R;
    }
    while row < count {
        band::<S, E, 1, V>(simd, &rows[row * width..][..width], width, vectors, &mut out[row..], stride);
        row += 1;
    }
}

/// Multiplies `R` rows with all vectors.
#[inline(always)]
fn band<S: Simd, E: Element, const R: usize, const V: usize>(
    simd: S,
    rows: &[E],
    width: usize,
    vectors: &[f32],
    out: &mut [f32],
    stride: usize,
) {
    let count = vectors.len() / width;
    let mut vector = 0;
    while vector + V <= count {
        let out = &mut out[vector * stride..];
        tile::<S, E, R, V>(simd, rows, width, &vectors[vector * width..][..V * width], out, stride);
        vector += V;
    }
    while vector < count {
        let out = &mut out[vector * stride..];
        tile::<S, E, R, 1>(simd, rows, width, &vectors[vector * width..][..width], out, stride);
        vector += 1;
    }
}

/// Multiplies `R` rows with `V` vectors.
#[inline(always)]
fn tile<S: Simd, E: Element, const R: usize, const V: usize>(
    simd: S,
    rows: &[E],
    width: usize,
    vectors: &[f32],
    out: &mut [f32],
    stride: usize,
) {
    let blocks = width / LANES;
    let mut row_blocks: [&[[E; LANES]]; R] = [&[]; R];
    for (r, part) in row_blocks.iter_mut().enumerate() {
        *part = &rows[r * width..][..width].as_chunks().0[..blocks];
    }
    let mut vector_blocks: [&[[f32; LANES]]; V] = [&[]; V];
    for (v, part) in vector_blocks.iter_mut().enumerate() {
        *part = &vectors[v * width..][..width].as_chunks().0[..blocks];
    }
    // Rows are consecutive in memory, so each block prefetches as many lines as it reads.
    let ahead = rows.as_ptr().cast::<u8>().wrapping_add(AHEAD);
    let lines = R * LANES * size_of::<E>() / LINE;
    let mut sums = [[simd.splat(0.0); V]; R];
    for block in 0..blocks {
        for line in 0..lines {
            simd.prefetch(ahead.wrapping_add((block * lines + line) * LINE));
        }
        let mut x = [simd.splat(0.0); V];
        for v in 0..V {
            x[v] = simd.load(&vector_blocks[v][block]);
        }
        for r in 0..R {
            let row = E::load(simd, &row_blocks[r][block]);
            for v in 0..V {
                sums[r][v] = simd.fma(row, x[v], sums[r][v]);
            }
        }
    }
    let tail = width % LANES;
    if tail > 0 {
        for r in 0..R {
            let mut row = [E::ZERO; LANES];
            row[..tail].copy_from_slice(&rows[r * width + width - tail..][..tail]);
            for v in 0..V {
                let mut x = [0.0; LANES];
                x[..tail].copy_from_slice(&vectors[v * width + width - tail..][..tail]);
                sums[r][v] = simd.fma(E::load(simd, &row), simd.load(&x), sums[r][v]);
            }
        }
    }
    for r in 0..R {
        for v in 0..V {
            out[v * stride + r] = simd.sum(sums[r][v]);
        }
    }
}

/// Computes `out = base + sum over the rows j of factors[j] * rows[j]`; `rows` is `[R, width]`, `base` and `out`
/// `[width]`.
///
/// Every instruction set adds the rows in their order.
#[inline(always)]
pub fn mix<S: Simd, E: Element>(simd: S, rows: &[E], factors: &[f32], base: &[f32], out: &mut [f32]) {
    let width = base.len().min(out.len());
    if width < LANES {
        let (mut start, mut sum) = ([0.0; LANES], [0.0; LANES]);
        start[..width].copy_from_slice(&base[..width]);
        let mut total = simd.load(&start);
        for (row, factor) in rows.chunks_exact(width.max(1)).zip(factors) {
            let mut padded = [E::ZERO; LANES];
            padded[..width].copy_from_slice(row);
            total = simd.fma(E::load(simd, &padded), simd.splat(*factor), total);
        }
        simd.store(total, &mut sum);
        out[..width].copy_from_slice(&sum[..width]);
        return;
    }
    // The last block may overlap the one before it and computes the same result again.
    let blocks = (0..width - LANES).step_by(LANES).chain([width - LANES]);
    for at in blocks {
        let (Some(start), Some(out)) = (base[at..].first_chunk(), out[at..].first_chunk_mut()) else { return };
        let mut total = simd.load(start);
        for (row, factor) in rows.chunks_exact(width).zip(factors) {
            let Some(row) = row[at..].first_chunk() else { return };
            total = simd.fma(E::load(simd, row), simd.splat(*factor), total);
        }
        simd.store(total, out);
    }
}

/// The largest number of columns in [`SoftmaxSums`].
pub const MAX_COLUMNS: usize = 64;

/// Computes exp(x) for x up to 88, within 1e-7 of the true value; below -86 the result is exp(-86), about 4e-38.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) is a polynomial of degree 6 whose relative error is below 2e-8 (found
/// by Remez' algorithm), and 2^n is added to the exponent.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    /// 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits.
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

/// Computes `out[i] = exp((x[i] - shift) * scale)`; `(x[i] - shift) * scale` must not exceed 88.
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

/// Consecutive rows whose softmaxes are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// First row.
    pub first: usize,
    /// Number of rows.
    pub rows: usize,
    /// Index of the first row's weight. The weights are followed by zeros up to a multiple of [`LANES`].
    pub weights: usize,
}

/// A matrix of similarities, stored by columns, and the weights of its rows.
#[derive(Clone, Copy)]
pub struct SoftmaxSums<'a> {
    /// Column t starts at `t * stride`. [`LANES`] finite numbers follow the last row; their values have no effect.
    pub columns: &'a [f32],
    /// Distance between the starts of two columns.
    pub stride: usize,
    /// Number of columns, 1 to [`MAX_COLUMNS`].
    pub count: usize,
    /// Row weights, padded as [`Group::weights`] requires.
    pub weights: &'a [f32],
    /// One over the softmax's temperature.
    pub inverse_tau: f32,
}

/// Computes for each group g and column t:
/// `out[g * out_stride + t] = sum over the rows j of weight_j * softmax_t(x[j, t] / tau)`.
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
