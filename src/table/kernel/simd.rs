//! Sixteen f32 lanes, the one abstraction that all kernels are written in.
//!
//! Every instruction set has the same sixteen lanes and adds them in the same order, so that kernels with fused
//! multiply-add agree to the bit and the portable one to rounding.

use half::f16;

/// Lanes in a vector of any instruction set.
pub const LANES: usize = 16;

/// An instruction set. A value of an implementing type exists only where the CPU has it.
///
/// Methods are inlined into functions compiled for the instruction set; see `entry_points` in [`super`].
pub trait Simd: Copy {
    /// Sixteen lanes.
    type V: Copy;
    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Lanes from memory.
    fn load(self, x: &[f32; LANES]) -> Self::V;
    /// Lanes from finite half-precision numbers.
    fn load_f16(self, x: &[f16; LANES]) -> Self::V;
    /// Lanes from integers.
    fn load_i8(self, x: &[i8; LANES]) -> Self::V;
    /// Lanes to memory.
    fn store(self, v: Self::V, out: &mut [f32; LANES]);
    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger, lane by lane.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c, rounded once where the instruction set can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Bits of `p` plus bits of `n` shifted left by 23: `p * 2^n` where the low bits of `n` hold a small integer.
    fn shift_exponent(self, p: Self::V, n: Self::V) -> Self::V;
    /// Asks for the cache line at `address`, which need not exist.
    fn prefetch(self, address: *const u8);
    /// All lanes added: lane i to i + 8, then i + 4, i + 2, i + 1.
    fn sum(self, v: Self::V) -> f32;
}

/// Number types that a table may be stored in.
pub trait Element: Copy {
    /// Zero.
    const ZERO: Self;
    /// Sixteen of them as lanes.
    fn load<S: Simd>(simd: S, x: &[Self; LANES]) -> S::V;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[Self; LANES]) -> S::V {
        simd.load(x)
    }
}

impl Element for f16 {
    const ZERO: Self = f16::ZERO;
    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[Self; LANES]) -> S::V {
        simd.load_f16(x)
    }
}

impl Element for i8 {
    const ZERO: Self = 0;
    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[Self; LANES]) -> S::V {
        simd.load_i8(x)
    }
}

/// Sixteen numbers from `at`, zeros where `x` ends before.
#[inline(always)]
pub fn lanes(x: &[f32], at: usize) -> &[f32; LANES] {
    x.get(at..).and_then(|x| x.first_chunk()).unwrap_or(&[0.0; LANES])
}
