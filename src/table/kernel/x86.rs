//! Kernels for x86-64 with AVX2, FMA and F16C, or with AVX-512.

use half::f16;

use super::loops::entry_points;
use super::simd::{LANES, Simd};

/// Calls an intrinsic of this file's instruction sets.
macro_rules! intrinsic {
    ($call:expr) => {{
        // SAFETY: values of the implementing types are made only inside functions compiled for the instruction set,
        // which are called only after it was detected; pointers come from references to arrays of the full size.
        unsafe { $call }
    }};
}

pub mod avx2 {
    //! AVX2: two registers of eight lanes.
    use std::arch::x86_64::*;

    use super::{LANES, Simd, entry_points, f16};

    /// The instruction sets AVX2, FMA and F16C.
    #[derive(Clone, Copy)]
    pub struct Avx2;

    type Pair = (__m256, __m256);

    impl Simd for Avx2 {
        type V = Pair;

        #[inline(always)]
        fn splat(self, x: f32) -> Pair {
            let v = intrinsic!(_mm256_set1_ps(x));
            (v, v)
        }

        #[inline(always)]
        fn load(self, x: &[f32; LANES]) -> Pair {
            intrinsic!((_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))))
        }

        #[inline(always)]
        fn load_f16(self, x: &[f16; LANES]) -> Pair {
            let x: *const __m128i = x.as_ptr().cast();
            intrinsic!((_mm256_cvtph_ps(_mm_loadu_si128(x)), _mm256_cvtph_ps(_mm_loadu_si128(x.add(1)))))
        }

        #[inline(always)]
        fn load_i8(self, x: &[i8; LANES]) -> Pair {
            intrinsic!({
                let low = _mm_loadu_si128(x.as_ptr().cast());
                let high = _mm_unpackhi_epi64(low, low);
                (_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high)))
            })
        }

        #[inline(always)]
        fn store(self, v: Pair, out: &mut [f32; LANES]) {
            intrinsic!({
                _mm256_storeu_ps(out.as_mut_ptr(), v.0);
                _mm256_storeu_ps(out.as_mut_ptr().add(8), v.1);
            })
        }

        #[inline(always)]
        fn add(self, a: Pair, b: Pair) -> Pair {
            intrinsic!((_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)))
        }

        #[inline(always)]
        fn sub(self, a: Pair, b: Pair) -> Pair {
            intrinsic!((_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)))
        }

        #[inline(always)]
        fn mul(self, a: Pair, b: Pair) -> Pair {
            intrinsic!((_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)))
        }

        #[inline(always)]
        fn div(self, a: Pair, b: Pair) -> Pair {
            intrinsic!((_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)))
        }

        #[inline(always)]
        fn max(self, a: Pair, b: Pair) -> Pair {
            intrinsic!((_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)))
        }

        #[inline(always)]
        fn fma(self, a: Pair, b: Pair, c: Pair) -> Pair {
            intrinsic!((_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)))
        }

        #[inline(always)]
        fn shift_exponent(self, p: Pair, n: Pair) -> Pair {
            #[inline(always)]
            fn shift(p: __m256, n: __m256) -> __m256 {
                intrinsic!({
                    let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
                    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n))
                })
            }
            (shift(p.0, n.0), shift(p.1, n.1))
        }

        #[inline(always)]
        fn prefetch(self, address: *const u8) {
            intrinsic!(_mm_prefetch::<_MM_HINT_T0>(address.cast()))
        }

        #[inline(always)]
        fn sum(self, v: Pair) -> f32 {
            intrinsic!({
                let eight = _mm256_add_ps(v.0, v.1);
                let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            })
        }
    }

    entry_points!(Avx2, "avx2", ["avx2,fma,f16c"], one: 4, many: 2 x 2);

    /// Returns these kernels if the CPU has AVX2, FMA and F16C.
    pub fn detect() -> Option<Kernels> {
        let has =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        has.then_some(TABLE)
    }
}

pub mod avx512 {
    //! AVX-512: one register of sixteen lanes.
    use std::arch::x86_64::*;

    use super::{LANES, Simd, entry_points, f16};

    /// The instruction sets AVX-512 F and VL.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    impl Simd for Avx512 {
        type V = __m512;

        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            intrinsic!(_mm512_set1_ps(x))
        }

        #[inline(always)]
        fn load(self, x: &[f32; LANES]) -> __m512 {
            intrinsic!(_mm512_loadu_ps(x.as_ptr()))
        }

        #[inline(always)]
        fn load_f16(self, x: &[f16; LANES]) -> __m512 {
            intrinsic!(_mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())))
        }

        #[inline(always)]
        fn load_i8(self, x: &[i8; LANES]) -> __m512 {
            intrinsic!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast()))))
        }

        #[inline(always)]
        fn store(self, v: __m512, out: &mut [f32; LANES]) {
            intrinsic!(_mm512_storeu_ps(out.as_mut_ptr(), v))
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            intrinsic!(_mm512_add_ps(a, b))
        }

        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            intrinsic!(_mm512_sub_ps(a, b))
        }

        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            intrinsic!(_mm512_mul_ps(a, b))
        }

        #[inline(always)]
        fn div(self, a: __m512, b: __m512) -> __m512 {
            intrinsic!(_mm512_div_ps(a, b))
        }

        #[inline(always)]
        fn max(self, a: __m512, b: __m512) -> __m512 {
            intrinsic!(_mm512_max_ps(a, b))
        }

        #[inline(always)]
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            intrinsic!(_mm512_fmadd_ps(a, b, c))
        }

        #[inline(always)]
        fn shift_exponent(self, p: __m512, n: __m512) -> __m512 {
            intrinsic!({
                let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
                _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n))
            })
        }

        #[inline(always)]
        fn prefetch(self, address: *const u8) {
            intrinsic!(_mm_prefetch::<_MM_HINT_T0>(address.cast()))
        }

        #[inline(always)]
        fn sum(self, v: __m512) -> f32 {
            intrinsic!({
                let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
                let eight = _mm256_add_ps(_mm512_castps512_ps256(v), high);
                let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            })
        }
    }

    entry_points!(Avx512, "avx512", ["avx512f,avx512vl"], one: 8, many: 4 x 4);

    /// Returns these kernels if the CPU has AVX-512 F and VL.
    pub fn detect() -> Option<Kernels> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")).then_some(TABLE)
    }
}
