//! Kernels for aarch64, where every CPU has NEON.

use std::arch::aarch64::*;
use std::arch::asm;

use half::f16;

use super::loops::entry_points;
use super::simd::{LANES, Simd};

/// NEON, in four registers of four lanes.
#[derive(Clone, Copy)]
pub struct Neon;

type Four = (float32x4_t, float32x4_t, float32x4_t, float32x4_t);

/// Runs a NEON intrinsic.
macro_rules! intrinsic {
    ($call:expr) => {{
        // SAFETY: NEON is part of every aarch64 target this crate builds for; pointers come from references to arrays
        // of the full size.
        #[allow(unused_unsafe, reason = "which intrinsics are safe depends on the toolchain")]
        unsafe {
            $call
        }
    }};
}

/// Widens eight half-precision numbers. The intrinsics are not stable yet; the instructions are part of base ARMv8.
#[inline(always)]
fn widen(x: &[f16; 8]) -> (float32x4_t, float32x4_t) {
    let halves = intrinsic!(vld1q_u16(x.as_ptr().cast()));
    let (low, high): (float32x4_t, float32x4_t);
    // SAFETY: works on the named registers only.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) low, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
        asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) high, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
    }
    (low, high)
}

/// Converts four integers to floats.
#[inline(always)]
fn float(x: int16x4_t) -> float32x4_t {
    intrinsic!(vcvtq_f32_s32(vmovl_s16(x)))
}

impl Simd for Neon {
    type V = Four;

    #[inline(always)]
    fn splat(self, x: f32) -> Four {
        let v = intrinsic!(vdupq_n_f32(x));
        (v, v, v, v)
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Four {
        let x = x.as_ptr();
        intrinsic!((vld1q_f32(x), vld1q_f32(x.add(4)), vld1q_f32(x.add(8)), vld1q_f32(x.add(12))))
    }

    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> Four {
        let (halves, _) = x.as_chunks::<8>();
        let ((a, b), (c, d)) = (widen(&halves[0]), widen(&halves[1]));
        (a, b, c, d)
    }

    #[inline(always)]
    fn load_i8(self, x: &[i8; LANES]) -> Four {
        intrinsic!({
            let x = vld1q_s8(x.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_s8(vget_high_s8(x)));
            (float(vget_low_s16(low)), float(vget_high_s16(low)), float(vget_low_s16(high)), float(vget_high_s16(high)))
        })
    }

    #[inline(always)]
    fn store(self, v: Four, out: &mut [f32; LANES]) {
        let out = out.as_mut_ptr();
        intrinsic!({
            vst1q_f32(out, v.0);
            vst1q_f32(out.add(4), v.1);
            vst1q_f32(out.add(8), v.2);
            vst1q_f32(out.add(12), v.3);
        })
    }

    #[inline(always)]
    fn add(self, a: Four, b: Four) -> Four {
        intrinsic!((vaddq_f32(a.0, b.0), vaddq_f32(a.1, b.1), vaddq_f32(a.2, b.2), vaddq_f32(a.3, b.3)))
    }

    #[inline(always)]
    fn sub(self, a: Four, b: Four) -> Four {
        intrinsic!((vsubq_f32(a.0, b.0), vsubq_f32(a.1, b.1), vsubq_f32(a.2, b.2), vsubq_f32(a.3, b.3)))
    }

    #[inline(always)]
    fn mul(self, a: Four, b: Four) -> Four {
        intrinsic!((vmulq_f32(a.0, b.0), vmulq_f32(a.1, b.1), vmulq_f32(a.2, b.2), vmulq_f32(a.3, b.3)))
    }

    #[inline(always)]
    fn div(self, a: Four, b: Four) -> Four {
        intrinsic!((vdivq_f32(a.0, b.0), vdivq_f32(a.1, b.1), vdivq_f32(a.2, b.2), vdivq_f32(a.3, b.3)))
    }

    #[inline(always)]
    fn max(self, a: Four, b: Four) -> Four {
        intrinsic!((vmaxq_f32(a.0, b.0), vmaxq_f32(a.1, b.1), vmaxq_f32(a.2, b.2), vmaxq_f32(a.3, b.3)))
    }

    #[inline(always)]
    fn fma(self, a: Four, b: Four, c: Four) -> Four {
        intrinsic!((
            vfmaq_f32(c.0, a.0, b.0),
            vfmaq_f32(c.1, a.1, b.1),
            vfmaq_f32(c.2, a.2, b.2),
            vfmaq_f32(c.3, a.3, b.3)
        ))
    }

    #[inline(always)]
    fn shift_exponent(self, p: Four, n: Four) -> Four {
        #[inline(always)]
        fn shift(p: float32x4_t, n: float32x4_t) -> float32x4_t {
            intrinsic!({
                let n = vshlq_n_s32::<23>(vreinterpretq_s32_f32(n));
                vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), n))
            })
        }
        (shift(p.0, n.0), shift(p.1, n.1), shift(p.2, n.2), shift(p.3, n.3))
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // SAFETY: a prefetch is a hint that never faults and has no effect that the program can observe.
        unsafe { asm!("prfm pldl1strm, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly)) }
    }

    #[inline(always)]
    fn sum(self, v: Four) -> f32 {
        intrinsic!({
            let four = vaddq_f32(vaddq_f32(v.0, v.2), vaddq_f32(v.1, v.3));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        })
    }
}

entry_points!(Neon, "neon", ["neon"], one: 4, many: 2 x 2);

/// Returns the NEON kernels if the CPU has NEON.
pub fn detect() -> Option<Kernels> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(TABLE)
}
