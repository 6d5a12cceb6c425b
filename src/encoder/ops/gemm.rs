//! f32 matrix products in tiles that stay in registers.

use super::level::{Instructions, Level};
use super::shared::Block;

/// Rows of the largest tile.
const ROWS: usize = 8;

/// A vector register of f32.
pub(super) trait Vector: Copy {
    const LANES: usize;
    fn zero() -> Self;
    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// # Safety
    /// `LANES` numbers can be read.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `LANES` numbers can be written.
    unsafe fn store(self, to: *mut f32);
    /// `self * b + c`
    fn fma(self, b: Self, c: Self) -> Self;
    /// `self + b`
    fn plus(self, b: Self) -> Self;
    /// Lanes below `low` and above `high` are set to these.
    fn clamp(self, low: Self, high: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86_64 {
    use super::Vector;
    use std::arch::x86_64::*;

    // SAFETY, for all blocks below: these are called only inside functions compiled for the instructions, which in turn
    // run only where a `Level` proves that the processor has them; pointers are the trait's contract.

    #[derive(Clone, Copy)]
    pub(in super::super) struct V16(__m512);

    impl Vector for V16 {
        const LANES: usize = 16;
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_setzero_ps() })
        }
        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn plus(self, b: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        fn clamp(self, low: Self, high: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_min_ps(_mm512_max_ps(self.0, low.0), high.0) })
        }
    }

    #[derive(Clone, Copy)]
    pub(in super::super) struct V8(__m256);

    impl Vector for V8 {
        const LANES: usize = 8;
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_setzero_ps() })
        }
        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: see above.
            unsafe { _mm256_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn plus(self, b: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_add_ps(self.0, b.0) })
        }
        #[inline(always)]
        fn clamp(self, low: Self, high: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_min_ps(_mm256_max_ps(self.0, low.0), high.0) })
        }
    }
}

/// Four lanes in plain code, which compilers turn into the target's own vectors (NEON, SSE2).
#[derive(Clone, Copy)]
pub(super) struct V4([f32; 4]);

impl Vector for V4 {
    const LANES: usize = 4;
    #[inline(always)]
    fn zero() -> Self {
        Self([0.0; 4])
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| super::math::fma::<{ super::math::BASE_FUSED }>(self.0[i], b.0[i], c.0[i])))
    }
    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].max(low.0[i]).min(high.0[i])))
    }
}

/// What a product does with what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// C = A B
    Over,
    /// C += A B
    Add,
}

impl Write {
    /// For product `i` of several that make up a sum.
    pub(crate) fn first(i: usize) -> Self {
        if i == 0 { Self::Over } else { Self::Add }
    }
}

/// What becomes of a product before it is written: `bounded(A B + bias) + residual`.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// One number a column.
    pub(crate) bias: &'a [f32],
    /// Lowest and highest answer.
    pub(crate) bounds: [f32; 2],
    /// `[rows, n]`, rows as far apart as C's; empty for none.
    pub(crate) residual: &'a [f32],
}

/// How a tile ends.
#[derive(Clone, Copy)]
enum End<'a> {
    Write(Write),
    Finish(Finish<'a>),
}

/// Operands of a product.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// Rows of A and C.
    pub(crate) rows: usize,
    /// `[rows, k]`, rows `a_stride` apart.
    pub(crate) a: &'a [f32],
    pub(crate) a_stride: usize,
    pub(crate) k: usize,
    /// `[k, n]`, rows `b_stride` apart.
    pub(crate) b: &'a [f32],
    pub(crate) b_stride: usize,
    /// Columns of B and C, a multiple of half of [`columns`].
    pub(crate) n: usize,
}

/// Columns of a tile. A product's n must be a multiple of half as many.
pub(crate) fn columns(level: Level) -> usize {
    match level.instructions() {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => 32,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => 16,
        Instructions::Base => 8,
    }
}

/// Writes the product to `c`, or adds it there; rows are `c_stride` apart.
///
/// # Panics
/// When a slice is too short for the sizes, or n is no multiple of half of [`columns`].
pub(crate) fn multiply(level: Level, p: Product<'_>, write: Write, c: &mut [f32], c_stride: usize) {
    check(level, &p);
    assert!(holds(c.len(), p.rows, c_stride, p.n));
    // SAFETY: `check` and the assertion above.
    unsafe { run(level, p, End::Write(write), c.as_mut_ptr(), c_stride) }
}

/// Writes the finished product to `c`, whose rows and width are the product's.
///
/// # Panics
/// As [`multiply`], and when `finish` has fewer numbers than the product.
pub(crate) fn multiply_finished(level: Level, p: Product<'_>, finish: Finish<'_>, mut c: Block<'_>) {
    check(level, &p);
    let residual = finish.residual.len();
    assert!((c.rows(), c.width()) == (p.rows, p.n) && finish.bias.len() == p.n);
    assert!(residual == 0 || holds(residual, p.rows, c.stride(), p.n));
    // SAFETY: `check` and the assertions above; the block is this call's alone.
    unsafe { run(level, p, End::Finish(finish), c.start(), c.stride()) }
}

/// Whether a slice has room for a matrix.
fn holds(slice: usize, rows: usize, stride: usize, width: usize) -> bool {
    rows == 0 || (stride >= width && slice >= (rows - 1) * stride + width)
}

fn check(level: Level, p: &Product<'_>) {
    assert!(holds(p.a.len(), p.rows, p.a_stride, p.k) && holds(p.b.len(), p.k, p.b_stride, p.n));
    assert!(p.n.is_multiple_of(columns(level) / 2));
}

/// # Safety
/// `p` was checked; `c` has `p.rows` rows of `p.n` numbers, `c_stride` apart, and so have the bias and residual of `end`.
unsafe fn run(level: Level, p: Product<'_>, end: End<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's promise; the level proves the instructions.
    unsafe {
        match level.instructions() {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => avx512(p, end, c, c_stride),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => avx2(p, end, c, c_stride),
            Instructions::Base => blocks::<V4, 2>(p, end, c, c_stride),
        }
    }
}

/// # Safety
/// As [`blocks`], and the processor has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512(p: Product<'_>, end: End<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's promise.
    unsafe { blocks::<x86_64::V16, 2>(p, end, c, c_stride) }
}

/// # Safety
/// As [`blocks`], and the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(p: Product<'_>, end: End<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's promise. 16 registers hold 6 rows of 2.
    unsafe { blocks_of::<x86_64::V8, 2, 6>(p, end, c, c_stride) }
}

/// All tiles of a product, `W` vectors wide.
///
/// # Safety
/// As [`run`]; n is a multiple of `LANES`, and W is 2.
#[inline(always)]
unsafe fn blocks<V: Vector, const W: usize>(p: Product<'_>, end: End<'_>, c: *mut f32, c_stride: usize) {
    // SAFETY: the caller's promise.
    unsafe { blocks_of::<V, W, ROWS>(p, end, c, c_stride) }
}

/// [`blocks`] of at most `MOST` rows.
///
/// # Safety
/// As [`blocks`].
#[inline(always)]
unsafe fn blocks_of<V: Vector, const W: usize, const MOST: usize>(
    p: Product<'_>,
    end: End<'_>,
    c: *mut f32,
    c_stride: usize,
) {
    let width = W * V::LANES;
    // Tiles of about equal height.
    let tiles = p.rows.div_ceil(MOST);
    for tile in 0..tiles {
        let (first, last) = (tile * p.rows / tiles, (tile + 1) * p.rows / tiles);
        for column in (0..p.n).step_by(width) {
            let at = Corner { row: first, column };
            // SAFETY: rows and columns are inside, by the caller's promise.
            unsafe {
                if p.n - column >= width {
                    rows_of::<V, W>(last - first, p, at, end, c, c_stride);
                } else {
                    rows_of::<V, 1>(last - first, p, at, end, c, c_stride);
                }
            }
        }
    }
}

/// Where a tile begins.
#[derive(Clone, Copy)]
struct Corner {
    row: usize,
    column: usize,
}

/// [`tile_of`] with the number of rows made a constant, so that all sums stay in registers.
///
/// # Safety
/// As [`tile_of`]; `rows` is 1..=8.
#[inline(always)]
unsafe fn rows_of<V: Vector, const W: usize>(
    rows: usize,
    p: Product<'_>,
    at: Corner,
    end: End<'_>,
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match rows {
            1 => tile_of::<V, W, 1>(p, at, end, c, c_stride),
            2 => tile_of::<V, W, 2>(p, at, end, c, c_stride),
            3 => tile_of::<V, W, 3>(p, at, end, c, c_stride),
            4 => tile_of::<V, W, 4>(p, at, end, c, c_stride),
            5 => tile_of::<V, W, 5>(p, at, end, c, c_stride),
            6 => tile_of::<V, W, 6>(p, at, end, c, c_stride),
            7 => tile_of::<V, W, 7>(p, at, end, c, c_stride),
            _ => tile_of::<V, W, 8>(p, at, end, c, c_stride),
        }
    }
}

/// One tile of `R` rows by `W` vectors.
///
/// # Safety
/// As [`run`], with R rows and W vectors from `at` on inside the product.
#[inline(always)]
unsafe fn tile_of<V: Vector, const W: usize, const R: usize>(
    p: Product<'_>,
    at: Corner,
    end: End<'_>,
    c: *mut f32,
    c_stride: usize,
) {
    let corner = at.row * c_stride + at.column;
    // SAFETY: the corner is inside, by the caller's promise.
    let (a, mut b, c) = unsafe { (p.a.as_ptr().add(at.row * p.a_stride), p.b.as_ptr().add(at.column), c.add(corner)) };
    let mut sum = [[V::zero(); W]; R];
    if let End::Finish(finish) = end {
        // SAFETY: there is a number a column.
        let bias: [V; W] =
            std::array::from_fn(|i| unsafe { V::load(finish.bias.as_ptr().add(at.column + i * V::LANES)) });
        sum = [bias; R];
    }
    for k in 0..p.k {
        // SAFETY: row k of b and column k of a are inside, by the caller's promise; wrapping past the last row of b is
        // never read.
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
    if let End::Finish(finish) = end {
        (low, high) = (V::splat(finish.bounds[0]), V::splat(finish.bounds[1]));
        if !finish.residual.is_empty() {
            residual = finish.residual.as_ptr().wrapping_add(corner);
        }
    }
    for (row, sum) in sum.into_iter().enumerate() {
        for (i, sum) in sum.into_iter().enumerate() {
            let place = row * c_stride + i * V::LANES;
            // SAFETY: all of the tile is inside c, and inside the residual, which lies as c does, by the caller's promise.
            unsafe {
                let c = c.add(place);
                let sum = match end {
                    End::Write(Write::Over) => sum,
                    End::Write(Write::Add) => sum.plus(V::load(c)),
                    End::Finish(_) if residual.is_null() => sum.clamp(low, high),
                    End::Finish(_) => sum.clamp(low, high).plus(V::load(residual.add(place))),
                };
                sum.store(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::ops::shared::Shared;

    #[test]
    fn products_are_right_for_all_tile_heights_and_strides() {
        for level in [Level::BASE, Level::detect().at_most_avx2(), Level::detect()] {
            for (rows, n) in
                (1..20).chain([49, 50]).flat_map(|rows| [5, 6].map(|halves| (rows, columns(level) / 2 * halves)))
            {
                for k in [1, 2, 17, 64] {
                    let (a_stride, b_stride, c_stride) = (k + 3, n + 5, n + 1);
                    let a: Vec<f32> = (0..rows * a_stride).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
                    let b: Vec<f32> = (0..k * b_stride).map(|i| (i * 5 % 11) as f32 - 5.0).collect();
                    let mut c = vec![9.0; rows * c_stride];
                    let product = Product { rows, a: &a, a_stride, k, b: &b, b_stride, n };
                    multiply(level, product, Write::Over, &mut c, c_stride);
                    multiply(level, product, Write::Add, &mut c, c_stride);
                    let bias: Vec<f32> = (0..n).map(|j| (j % 7) as f32).collect();
                    let residual: Vec<f32> = (0..rows * c_stride).map(|i| (i % 5) as f32).collect();
                    let mut finished = vec![9.0; rows * c_stride];
                    let mut plain = finished.clone();
                    for (residual, out) in [(&residual[..], &mut finished), (&[], &mut plain)] {
                        let finish = Finish { bias: &bias, bounds: [-20.0, 30.0], residual };
                        let shared = Shared::new(out);
                        // SAFETY: nothing else refers to `out`.
                        multiply_finished(level, product, finish, unsafe { shared.block(0, c_stride, rows, n) });
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
