//! Sums of rows in given shares.

use super::simd::{Element, LANES, Simd};

/// `out = base + sum over the rows j of factors[j] * rows[j]`; `rows` is `[R, width]`, `base` and `out` `[width]`.
///
/// Rows are added in their order, whatever the instruction set.
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
    // The last block goes over some lanes a second time, with the same result.
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
