//! f32 matrix products, computed in tiles whose sums stay in registers.

#[cfg(target_arch = "x86_64")]
use super::level::x86_64::{V8, V16};
use super::level::{Instructions, SimdLevel, V4, Vector};
use super::threads::Block;

/// Rows of the largest tile.
const MAX_ROWS: usize = 8;

/// How a product is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// C = A B
    Overwrite,
    /// C += A B
    Add,
}

impl Store {
    /// Returns the mode for part `i` of a product that is summed in several parts: the first one overwrites.
    pub(crate) fn for_part(i: usize) -> Self {
        if i == 0 { Self::Overwrite } else { Self::Add }
    }
}

/// What is applied to a product before it is stored: `clamp(A B + bias) + residual`.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// One number per column.
    pub(crate) bias: &'a [f32],
    /// The lowest and highest value before the residual is added.
    pub(crate) bounds: [f32; 2],
    /// `[rows, n]` with the row stride of C; empty for none.
    pub(crate) residual: &'a [f32],
}

/// What happens to a tile's sums.
#[derive(Clone, Copy)]
enum TileOutput<'a> {
    Store(Store),
    Epilogue(Epilogue<'a>),
}

/// The operands of a product.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// Rows of A and C.
    pub(crate) rows: usize,
    /// `[rows, k]`
    pub(crate) a: &'a [f32],
    /// Numbers from one row of A to the next.
    pub(crate) a_stride: usize,
    pub(crate) k: usize,
    /// `[k, n]`
    pub(crate) b: &'a [f32],
    /// Numbers from one row of B to the next.
    pub(crate) b_stride: usize,
    /// Columns of B and C, a multiple of half of [`columns`].
    pub(crate) n: usize,
}

/// Returns the columns of a tile. A product's n must be a multiple of half as many.
pub(crate) fn columns(level: SimdLevel) -> usize {
    match level.instructions() {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => 32,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => 16,
        Instructions::Base => 8,
    }
}

/// Stores the product in `c` or adds it there; rows of `c` are `c_stride` apart.
///
/// # Panics
/// When a slice is too short for the sizes, or n is no multiple of half of [`columns`].
pub(crate) fn multiply(level: SimdLevel, p: Product<'_>, store: Store, c: &mut [f32], c_stride: usize) {
    check(level, &p);
    assert!(holds(c.len(), p.rows, c_stride, p.n));
    // SAFETY: `check` and the assertion above.
    unsafe { run(level, p, TileOutput::Store(store), c.as_mut_ptr(), c_stride) }
}

/// Writes the product to `c` after `epilogue`; `c` has the product's rows and width.
///
/// # Panics
/// As [`multiply`], and when `epilogue` has fewer numbers than the product.
pub(crate) fn multiply_with(level: SimdLevel, p: Product<'_>, epilogue: Epilogue<'_>, mut c: Block<'_>) {
    check(level, &p);
    let residual = epilogue.residual.len();
    assert!((c.rows(), c.width()) == (p.rows, p.n) && epilogue.bias.len() == p.n);
    assert!(residual == 0 || holds(residual, p.rows, c.stride(), p.n));
    // SAFETY: `check` and the assertions above; nothing else uses the block during this call.
    unsafe { run(level, p, TileOutput::Epilogue(epilogue), c.start(), c.stride()) }
}

/// Returns whether a slice of that length has room for a matrix.
fn holds(slice: usize, rows: usize, stride: usize, width: usize) -> bool {
    rows == 0 || (stride >= width && slice >= (rows - 1) * stride + width)
}

/// Panics when the operands of `p` do not fit its sizes.
fn check(level: SimdLevel, p: &Product<'_>) {
    assert!(holds(p.a.len(), p.rows, p.a_stride, p.k) && holds(p.b.len(), p.k, p.b_stride, p.n));
    assert!(p.n.is_multiple_of(columns(level) / 2));
}

/// Computes a product with the instructions of `level`.
///
/// # Safety
/// `p` was checked; `c` has `p.rows` rows of `p.n` numbers, `c_stride` apart, and so has the residual of `output`,
/// whose bias has `p.n` numbers.
unsafe fn run(level: SimdLevel, p: Product<'_>, output: TileOutput<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's contract; the level proves the instructions.
    unsafe {
        match level.instructions() {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => avx512(p, output, c, c_stride),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => avx2(p, output, c, c_stride),
            Instructions::Base => blocks::<V4, 2>(p, output, c, c_stride),
        }
    }
}

/// Computes a product with AVX-512.
///
/// # Safety
/// As [`blocks`], and the processor has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512(p: Product<'_>, output: TileOutput<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's contract.
    unsafe { blocks::<V16, 2>(p, output, c, c_stride) }
}

/// Computes a product with AVX2.
///
/// # Safety
/// As [`blocks`], and the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(p: Product<'_>, output: TileOutput<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's contract. 16 registers hold 6 rows of 2.
    unsafe { run_blocks::<V8, 2, 6>(p, output, c, c_stride) }
}

/// Computes all tiles of a product, each `W` vectors wide.
///
/// # Safety
/// As [`run`]; n is a multiple of `LANES`, and W is 2.
#[inline(always)]
unsafe fn blocks<V: Vector, const W: usize>(p: Product<'_>, output: TileOutput<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's contract.
    unsafe { run_blocks::<V, W, MAX_ROWS>(p, output, c, c_stride) }
}

/// [`blocks`] with tiles of at most `HEIGHT` rows.
///
/// # Safety
/// As [`blocks`].
#[inline(always)]
unsafe fn run_blocks<V: Vector, const W: usize, const HEIGHT: usize>(
    p: Product<'_>,
    output: TileOutput<'_>,
    c: *mut f32,
    c_stride: usize,
) {
    let width = W * V::LANES;
    // Tiles of about equal height.
    let tiles = p.rows.div_ceil(HEIGHT);
    for tile in 0..tiles {
        let (first, last) = (tile * p.rows / tiles, (tile + 1) * p.rows / tiles);
        for column in (0..p.n).step_by(width) {
            let at = TileStart { row: first, column };
            // SAFETY: rows and columns are inside, by the caller's contract.
            unsafe {
                if p.n - column >= width {
                    run_rows::<V, W>(last - first, p, at, output, c, c_stride);
                } else {
                    run_rows::<V, 1>(last - first, p, at, output, c, c_stride);
                }
            }
        }
    }
}

/// The first row and column of a tile.
#[derive(Clone, Copy)]
struct TileStart {
    row: usize,
    column: usize,
}

/// Calls [`run_tile`] with the number of rows as a constant, so that all sums stay in registers.
///
/// # Safety
/// As [`run_tile`]; `rows` is 1..=8.
#[inline(always)]
unsafe fn run_rows<V: Vector, const W: usize>(
    rows: usize,
    p: Product<'_>,
    at: TileStart,
    output: TileOutput<'_>,
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match rows {
            1 => run_tile::<V, W, 1>(p, at, output, c, c_stride),
            2 => run_tile::<V, W, 2>(p, at, output, c, c_stride),
            3 => run_tile::<V, W, 3>(p, at, output, c, c_stride),
            4 => run_tile::<V, W, 4>(p, at, output, c, c_stride),
            5 => run_tile::<V, W, 5>(p, at, output, c, c_stride),
            6 => run_tile::<V, W, 6>(p, at, output, c, c_stride),
            7 => run_tile::<V, W, 7>(p, at, output, c, c_stride),
            _ => run_tile::<V, W, 8>(p, at, output, c, c_stride),
        }
    }
}

/// Computes one tile of `R` rows by `W` vectors.
///
/// # Safety
/// As [`run`], with R rows and W vectors from `at` on inside the product.
#[inline(always)]
unsafe fn run_tile<V: Vector, const W: usize, const R: usize>(
    p: Product<'_>,
    at: TileStart,
    output: TileOutput<'_>,
    c: *mut f32,
    c_stride: usize,
) {
    let corner = at.row * c_stride + at.column;
    // SAFETY: the corner is inside, by the caller's contract.
    let (a, mut b, c) = unsafe { (p.a.as_ptr().add(at.row * p.a_stride), p.b.as_ptr().add(at.column), c.add(corner)) };
    let mut sum = [[V::zero(); W]; R];
    if let TileOutput::Epilogue(epilogue) = output {
        // SAFETY: the bias has one number per column.
        let bias: [V; W] =
            std::array::from_fn(|i| unsafe { V::load(epilogue.bias.as_ptr().add(at.column + i * V::LANES)) });
        sum = [bias; R];
    }
    for k in 0..p.k {
        // SAFETY: row k of b and column k of a are inside, by the caller's contract; the pointer that wraps past
        // the last row of b is never read.
        unsafe {
            let w: [V; W] = std::array::from_fn(|i| V::load(b.add(i * V::LANES)));
            for (row, sum) in sum.iter_mut().enumerate() {
                let x = V::splat(*a.add(row * p.a_stride + k));
                for (sum, w) in sum.iter_mut().zip(w) {
                    *sum = x.fma(w, *sum);
                }
            }
            b = b.wrapping_add(p.b_stride);
        }
    }
    let (mut low, mut high, mut residual) = (V::zero(), V::zero(), std::ptr::null());
    if let TileOutput::Epilogue(epilogue) = output {
        (low, high) = (V::splat(epilogue.bounds[0]), V::splat(epilogue.bounds[1]));
        if !epilogue.residual.is_empty() {
            residual = epilogue.residual.as_ptr().wrapping_add(corner);
        }
    }
    for (row, sum) in sum.into_iter().enumerate() {
        for (i, sum) in sum.into_iter().enumerate() {
            let place = row * c_stride + i * V::LANES;
            // SAFETY: all of the tile is inside c and inside the residual, which has the layout of c, by the caller's
            // contract.
            unsafe {
                let c = c.add(place);
                let sum = match output {
                    TileOutput::Store(Store::Overwrite) => sum,
                    TileOutput::Store(Store::Add) => sum.plus(V::load(c)),
                    TileOutput::Epilogue(_) if residual.is_null() => sum.clamp(low, high),
                    TileOutput::Epilogue(_) => sum.clamp(low, high).plus(V::load(residual.add(place))),
                };
                sum.store(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::cpu::threads::SharedSlice;

    #[test]
    fn products_are_exact_for_all_tile_heights_and_strides() {
        for level in [SimdLevel::BASE, SimdLevel::detect().at_most_avx2(), SimdLevel::detect()] {
            for (rows, n) in
                (1..20).chain([49, 50]).flat_map(|rows| [5, 6].map(|halves| (rows, columns(level) / 2 * halves)))
            {
                for k in [1, 2, 17, 64] {
                    let (a_stride, b_stride, c_stride) = (k + 3, n + 5, n + 1);
                    let a: Vec<f32> = (0..rows * a_stride).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
                    let b: Vec<f32> = (0..k * b_stride).map(|i| (i * 5 % 11) as f32 - 5.0).collect();
                    let mut c = vec![9.0; rows * c_stride];
                    let product = Product { rows, a: &a, a_stride, k, b: &b, b_stride, n };
                    multiply(level, product, Store::Overwrite, &mut c, c_stride);
                    multiply(level, product, Store::Add, &mut c, c_stride);
                    let bias: Vec<f32> = (0..n).map(|j| (j % 7) as f32).collect();
                    let residual: Vec<f32> = (0..rows * c_stride).map(|i| (i % 5) as f32).collect();
                    let mut finished = vec![9.0; rows * c_stride];
                    let mut plain = finished.clone();
                    for (residual, out) in [(&residual[..], &mut finished), (&[], &mut plain)] {
                        let epilogue = Epilogue { bias: &bias, bounds: [-20.0, 30.0], residual };
                        let shared = SharedSlice::new(out);
                        // SAFETY: nothing else refers to `out`.
                        multiply_with(level, product, epilogue, unsafe { shared.block(0, c_stride, rows, n) });
                    }
                    for i in 0..rows {
                        for j in 0..n {
                            let expected: f32 = (0..k).map(|p| a[i * a_stride + p] * b[p * b_stride + j]).sum();
                            assert_eq!(c[i * c_stride + j], 2.0 * expected, "{level:?} {rows}x{k}x{n}");
                            let bounded = (expected + bias[j]).clamp(-20.0, 30.0);
                            assert_eq!(plain[i * c_stride + j], bounded, "{level:?} {rows}x{k}x{n}");
                            assert_eq!(finished[i * c_stride + j], bounded + residual[i * c_stride + j]);
                        }
                    }
                }
            }
        }
    }
}
