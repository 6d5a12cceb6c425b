//! Vectors of sixteen f32 lanes, the abstraction over instruction sets that all kernels are written in.
//!
//! Every instruction set has the same sixteen lanes and adds them in the same order. Kernels with fused multiply-add
//! therefore agree to the bit, and the portable one agrees to rounding.

use half::f16;

/// Lanes of a vector, the same for every instruction set.
pub const LANES: usize = 16;

/// An instruction set. A value of an implementing type exists only if the CPU has it.
///
/// Methods are inlined into functions that are compiled for the instruction set; see `entry_points` in `loops.rs`.
pub trait Simd: Copy {
    /// Sixteen lanes.
    type V: Copy;
    /// Sets all lanes to `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Loads lanes from memory.
    fn load(self, x: &[f32; LANES]) -> Self::V;
    /// Loads finite half-precision numbers as lanes.
    fn load_f16(self, x: &[f16; LANES]) -> Self::V;
    /// Loads integers as lanes.
    fn load_i8(self, x: &[i8; LANES]) -> Self::V;
    /// Stores lanes to memory.
    fn store(self, v: Self::V, out: &mut [f32; LANES]);
    /// Returns a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a * b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns the larger of a and b for each lane.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a * b + c, rounded once if the instruction set can do so.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Returns the bits of `p` plus the bits of `n` shifted left by 23: `p * 2^n` if the low bits of `n` are a small
    /// integer.
    fn shift_exponent(self, p: Self::V, n: Self::V) -> Self::V;
    /// Prefetches the cache line at `address`, which need not exist.
    fn prefetch(self, address: *const u8);
    /// Returns the sum of all lanes, added in pairs of distance 8, then 4, 2 and 1.
    fn sum(self, v: Self::V) -> f32;
}

/// A number type of tables.
pub trait Element: Copy {
    /// Zero.
    const ZERO: Self;
    /// Loads sixteen numbers as lanes.
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

/// Returns sixteen numbers of `x` from `at` on, or zeros if `x` does not have that many.
#[inline(always)]
pub fn lanes(x: &[f32], at: usize) -> &[f32; LANES] {
    x.get(at..).and_then(|x| x.first_chunk()).unwrap_or(&[0.0; LANES])
}
