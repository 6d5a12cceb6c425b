//! Dot products of many rows with one or several vectors.

use super::simd::{Element, LANES, Simd};

/// Bytes in a cache line.
const LINE: usize = 64;
/// How far ahead of the sums memory is asked for, in bytes.
const AHEAD: usize = 8192;

/// Dot products of every row with every vector: `out[v * stride + r] = <rows[r], vectors[v]>`.
///
/// `rows` is `[R, width]` and `vectors` `[V, width]`. One vector is taken `ONE` rows at a time; several are taken in
/// tiles of `ROWS` x `VECTORS`, so that memory is read once for all of them. Each product is summed in the same
/// order whatever the tile, so a vector's results do not depend on its company.
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

/// All rows in bands of `R`, each with all vectors while it is in the nearest cache.
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
    // Rows follow one another, so as many lines ahead are asked for as this block takes.
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
