//! Matrix products of bfloat16 numbers with f32 sums, on processors that have them (AVX-512 BF16: twice the rate of
//! f32). Two neighbours in K are packed in a u32, the first one in the low half.

use super::gemm::Store;
use super::level::{SimdLevel, by_level};

/// Proves that the processor multiplies bfloat16 numbers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bf16(());

/// Has no value on this target, which has no such instructions.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bf16 {}

/// The columns of a tile. A product's n must be a multiple of half as many.
pub(crate) const COLUMNS: usize = 32;

/// The operands of a product C = A B or C += A B.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// Rows of A and C.
    pub(crate) rows: usize,
    /// `[rows, pairs]`
    pub(crate) a: &'a [u32],
    /// Pairs from one row of A to the next.
    pub(crate) a_stride: usize,
    /// Half of K, rounded up.
    pub(crate) pairs: usize,
    /// `[pairs, n]`
    pub(crate) b: &'a [u32],
    /// Columns of B and C.
    pub(crate) n: usize,
}

/// Rounds to the nearest bfloat16, ties to even.
#[inline(always)]
fn nearest(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16
}

by_level! {
    /// Packs neighbours of `x` as pairs; a missing last one is 0.
    pub(crate) fn pairs(x: &[f32], out: &mut [u32]);
    avx512 = pairs_body, avx2 = pairs_body, base = pairs_body
}

#[inline(always)]
fn pairs_body(x: &[f32], out: &mut [u32]) {
    let (whole, rest) = x.as_chunks::<2>();
    let n = whole.len();
    let (out, last) = out[..x.len().div_ceil(2)].split_at_mut(n);
    for i in 0..n {
        out[i] = nearest(whole[i][0]) | nearest(whole[i][1]) << 16;
    }
    if let ([x], [last]) = (rest, last) {
        *last = nearest(*x);
    }
}

by_level! {
    /// Packs each number of `a` with the one at the same index of `b`; an empty `b` counts as zeros.
    pub(crate) fn zip(a: &[f32], b: &[f32], out: &mut [u32]);
    avx512 = zip_body, avx2 = zip_body, base = zip_body
}

#[inline(always)]
fn zip_body(a: &[f32], b: &[f32], out: &mut [u32]) {
    let n = a.len();
    let out = &mut out[..n];
    if b.is_empty() {
        for i in 0..n {
            out[i] = nearest(a[i]);
        }
    } else {
        let b = &b[..n];
        for i in 0..n {
            out[i] = nearest(a[i]) | nearest(b[i]) << 16;
        }
    }
}

impl Bf16 {
    /// Returns `None` if the processor or `level` lacks the instructions.
    pub(crate) fn detect(level: SimdLevel) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if level.instructions() == super::level::Instructions::Avx512 && is_x86_feature_detected!("avx512bf16") {
            return Some(Self(()));
        }
        let _ = level;
        None
    }

    /// Stores the product in `c` or adds it there; rows of `c` are `c_stride` apart.
    ///
    /// # Panics
    /// When a slice is too short for the sizes, or n is no multiple of half of [`COLUMNS`].
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    pub(crate) fn multiply(self, p: Product<'_>, store: Store, c: &mut [f32], c_stride: usize) {
        let fits = |slice: usize, rows: usize, stride: usize, width: usize| {
            rows == 0 || (stride >= width && slice >= (rows - 1) * stride + width)
        };
        assert!(fits(p.a.len(), p.rows, p.a_stride, p.pairs) && p.b.len() >= p.pairs * p.n);
        assert!(fits(c.len(), p.rows, c_stride, p.n) && p.n.is_multiple_of(COLUMNS / 2));
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value proves the instructions; the slices are as long as the sizes say.
        unsafe {
            x86_64::product(p, store, c.as_mut_ptr(), c_stride);
        }
        #[cfg(not(target_arch = "x86_64"))]
        match self {}
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{COLUMNS, Product, Store};
    use std::arch::x86_64::*;

    /// Computes a product in tiles.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16; the slices of `p` and `c` are as long as its sizes say; n is a multiple of 16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn product(p: Product<'_>, store: Store, c: *mut f32, c_stride: usize) {
        let tiles = p.rows.div_ceil(8);
        for tile in 0..tiles {
            let (first, last) = (tile * p.rows / tiles, (tile + 1) * p.rows / tiles);
            for column in (0..p.n).step_by(COLUMNS) {
                // SAFETY: rows and columns are inside, by the caller's contract.
                unsafe {
                    let a = p.a.as_ptr().add(first * p.a_stride);
                    let b = p.b.as_ptr().add(column);
                    let c = c.add(first * c_stride + column);
                    if p.n - column >= COLUMNS {
                        run_rows::<2>(last - first, p, a, b, store, c, c_stride);
                    } else {
                        run_rows::<1>(last - first, p, a, b, store, c, c_stride);
                    }
                }
            }
        }
    }

    /// Calls [`tile`] with the number of rows as a constant.
    ///
    /// # Safety
    /// As [`tile`]; `rows` is 1..=8.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn run_rows<const W: usize>(
        rows: usize,
        p: Product<'_>,
        a: *const u32,
        b: *const u32,
        store: Store,
        c: *mut f32,
        c_stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match rows {
                1 => tile::<W, 1>(p, a, b, store, c, c_stride),
                2 => tile::<W, 2>(p, a, b, store, c, c_stride),
                3 => tile::<W, 3>(p, a, b, store, c, c_stride),
                4 => tile::<W, 4>(p, a, b, store, c, c_stride),
                5 => tile::<W, 5>(p, a, b, store, c, c_stride),
                6 => tile::<W, 6>(p, a, b, store, c, c_stride),
                7 => tile::<W, 7>(p, a, b, store, c, c_stride),
                _ => tile::<W, 8>(p, a, b, store, c, c_stride),
            }
        }
    }

    /// Computes one tile of `R` rows by `W` vectors.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16; `a` has R rows of `pairs`, `b` `pairs` rows and `c` R rows of W vectors.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn tile<const W: usize, const R: usize>(
        p: Product<'_>,
        a: *const u32,
        mut b: *const u32,
        store: Store,
        c: *mut f32,
        c_stride: usize,
    ) {
        let bf16 = |x: __m512i| -> __m512bh {
            // SAFETY: both are 512 bits of plain data.
            unsafe { std::mem::transmute(x) }
        };
        let mut sum = [[_mm512_setzero_ps(); W]; R];
        for k in 0..p.pairs {
            // SAFETY: row k of b and pair k of a's rows are inside, by the caller's contract.
            unsafe {
                let w: [_; W] = std::array::from_fn(|i| bf16(_mm512_loadu_si512(b.add(i * 16).cast())));
                for (row, sum) in sum.iter_mut().enumerate() {
                    let x = bf16(_mm512_set1_epi32((*a.add(row * p.a_stride + k)).cast_signed()));
                    for (sum, w) in sum.iter_mut().zip(w) {
                        *sum = _mm512_dpbf16_ps(*sum, x, w);
                    }
                }
            }
            b = b.wrapping_add(p.n);
        }
        for (row, sum) in sum.into_iter().enumerate() {
            for (i, sum) in sum.into_iter().enumerate() {
                // SAFETY: inside c by the caller's contract.
                unsafe {
                    let c = c.add(row * c_stride + i * 16);
                    let sum = if store == Store::Add { _mm512_add_ps(_mm512_loadu_ps(c), sum) } else { sum };
                    _mm512_storeu_ps(c, sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_to_nearest_with_ties_to_even() {
        let value = |x: f32| f32::from_bits(nearest(x) << 16);
        assert_eq!([1.0, -2.5, 0.0].map(value), [1.0, -2.5, 0.0]);
        assert_eq!([1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0].map(value), [1.0, 1.0 + 4.0 / 256.0]);
        let mut out = [9; 3];
        pairs(SimdLevel::detect(), &[1.0, 2.0, 3.0], &mut out);
        assert_eq!(out, [0x4000_3f80, 0x4040, 9]);
    }

    #[test]
    fn products_of_small_integers_are_exact() {
        let level = SimdLevel::detect();
        let Some(bf16) = Bf16::detect(level) else { return };
        for rows in 1..20 {
            for (k, n) in [(1usize, 16), (2, 32), (17, 48), (64, 64)] {
                let a: Vec<f32> = (0..rows * k).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
                let b: Vec<f32> = (0..k * n).map(|i| (i * 5 % 11) as f32 - 5.0).collect();
                let half = k.div_ceil(2);
                let (mut packed_a, mut packed_b) = (vec![0; rows * half], vec![0; half * n]);
                for (row, out) in a.chunks_exact(k).zip(packed_a.chunks_exact_mut(half)) {
                    pairs(level, row, out);
                }
                for (two, out) in b.chunks(2 * n).zip(packed_b.chunks_exact_mut(n)) {
                    let (first, second) = two.split_at(n);
                    zip(level, first, second, out);
                }
                let mut c = vec![0.0; rows * n];
                let p = Product { rows, a: &packed_a, a_stride: half, pairs: half, b: &packed_b, n };
                bf16.multiply(p, Store::Overwrite, &mut c, n);
                bf16.multiply(p, Store::Add, &mut c, n);
                for i in 0..rows {
                    for j in 0..n {
                        let expected: f32 = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
                        assert_eq!(c[i * n + j], 2.0 * expected, "{rows}x{k}x{n}");
                    }
                }
            }
        }
    }
}
