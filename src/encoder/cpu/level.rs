//! The vector instructions of this processor for f32 work, and what is compiled once for each set: functions
//! ([`by_level`]), scalar arithmetic that vectorises, and vector registers ([`Vector`]).

/// A set of vector instructions. A value of this type proves that the processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SimdLevel(Instructions);

/// The instruction sets of [`SimdLevel`]. Code matches on this; only [`SimdLevel::detect`] and [`SimdLevel::BASE`] wrap
/// it in a `SimdLevel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// AVX-512 F, BW, DQ and VL, and the sets below.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The set that the target always has: NEON on aarch64, SSE2 on x86-64.
    Base,
}

impl SimdLevel {
    /// The instructions that every processor of this target has.
    pub(crate) const BASE: Self = Self(Instructions::Base);

    /// Returns the best set of this processor.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            match (avx2, avx512) {
                (true, true) => return Self(Instructions::Avx512),
                (true, false) => return Self(Instructions::Avx2),
                _ => {}
            }
        }
        Self::BASE
    }

    /// Lowers AVX-512 to AVX2, for a run that must not use AVX-512. Other sets are returned unchanged.
    #[cfg(any(target_arch = "x86_64", test))]
    pub(crate) fn at_most_avx2(self) -> Self {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Instructions::Avx512 {
            return Self(Instructions::Avx2);
        }
        self
    }

    /// Returns the set, to match on.
    pub(crate) fn instructions(self) -> Instructions {
        self.0
    }
}

/// Defines a function `name(level, ...)` that runs one of three bodies, each compiled for its instructions:
/// `avx512`, `avx2` and `base` name `#[inline(always)]` functions with the same arguments.
macro_rules! by_level {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;
     avx512 = $avx512:expr, avx2 = $avx2:expr, base = $base:expr) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(level: $crate::encoder::cpu::level::SimdLevel, $($arg: $ty),*) $(-> $ret)? {
            use $crate::encoder::cpu::level::Instructions;
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $avx512($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $avx2($($arg),*)
            }
            match level.instructions() {
                // SAFETY: a SimdLevel of this kind is only created after these features were detected.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => unsafe { avx2($($arg),*) },
                Instructions::Base => $base($($arg),*),
            }
        }
    };
}
pub(crate) use by_level;

/// Whether every processor of the target has a fused multiply-add instruction.
pub(crate) const BASE_FUSED: bool = cfg!(target_arch = "aarch64");

/// Returns `a * b + c`, fused only if that is one instruction, because the library call is slow.
#[inline(always)]
pub(crate) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Limits x to `low..=high` without branches.
#[inline(always)]
pub(crate) fn bounded(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

/// Returns e^x within 2 units in the last place, without branches. Below -87 it is about 1e-38, above 88 about 1.6e38.
#[inline(always)]
pub(crate) fn exp<const FUSED: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    // x = n ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts so that r is exact.
    let t = fma::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let n = t - ROUND;
    let r = fma::<FUSED>(n, -0.693_359_4, x);
    let r = fma::<FUSED>(n, 2.121_944_4e-4, r);
    let mut p: f32 = 1.987_569_1e-4;
    p = fma::<FUSED>(p, r, 1.398_2e-3);
    p = fma::<FUSED>(p, r, 8.333_452e-3);
    p = fma::<FUSED>(p, r, 4.166_579_6e-2);
    p = fma::<FUSED>(p, r, 1.666_666_5e-1);
    p = fma::<FUSED>(p, r, 5e-1);
    p = fma::<FUSED>(p, r * r, r) + 1.0;
    // Times 2^n: n sits in the lowest bits of t.
    f32::from_bits(p.to_bits().wrapping_add(t.to_bits() << 23))
}

/// A vector register of f32 numbers.
pub(crate) trait Vector: Copy {
    /// The count of f32 numbers in the register.
    const LANES: usize;
    /// Returns a vector of zeros.
    fn zero() -> Self;
    /// Returns a vector with `x` in all lanes.
    fn splat(x: f32) -> Self;
    /// Reads `LANES` numbers; no alignment is needed.
    ///
    /// # Safety
    /// `LANES` numbers can be read.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes `LANES` numbers; no alignment is needed.
    ///
    /// # Safety
    /// `LANES` numbers can be written.
    unsafe fn store(self, to: *mut f32);
    /// Returns `self * b + c`.
    fn fma(self, b: Self, c: Self) -> Self;
    /// Returns `self + b`.
    fn plus(self, b: Self) -> Self;
    /// Limits each lane to `low..=high`.
    fn clamp(self, low: Self, high: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64 {
    use super::Vector;
    use std::arch::x86_64::*;

    // SAFETY, for all blocks below: these are called only inside functions compiled for the instructions, which in turn
    // run only if a `SimdLevel` proves that the processor has them. Pointers obey the trait's contract.

    /// An AVX-512 register.
    #[derive(Clone, Copy)]
    pub(crate) struct V16(__m512);

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

    /// An AVX2 register.
    #[derive(Clone, Copy)]
    pub(crate) struct V8(__m256);

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

/// Four lanes in plain Rust, which compilers turn into the target's own vectors (NEON, SSE2).
#[derive(Clone, Copy)]
pub(crate) struct V4([f32; 4]);

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
        Self(std::array::from_fn(|i| fma::<{ BASE_FUSED }>(self.0[i], b.0[i], c.0[i])))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -8_600..8_700 {
            let x = i as f32 * 0.01;
            let (found, expected) = (exp::<false>(x), f64::from(x).exp());
            assert!((f64::from(found) / expected - 1.0).abs() < 3e-7, "{x}: {found} for {expected}");
        }
        assert!(exp::<false>(-1e9) < 2e-38 && exp::<false>(f32::NEG_INFINITY) < 2e-38);
        assert!(exp::<false>(1e9).is_finite());
    }
}
