//! Arithmetic that compilers turn into vector instructions: no branches, no calls.

/// Whether the target itself has a fused multiply-add instruction.
pub(crate) const BASE_FUSED: bool = cfg!(target_arch = "aarch64");

/// Multiply and add; fused only where that is one instruction, as the library call is slow.
#[inline(always)]
pub(crate) fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// x, or the bound that it lies beyond.
#[inline(always)]
pub(crate) fn bounded(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

/// e^x within 2 units in the last place, without branches; below -87 it is about 1e-38 and above 88 about 1.6e38.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_two_units() {
        for i in -8_600..8_700 {
            let x = i as f32 * 0.01;
            let (found, expected) = (exp::<false>(x), f64::from(x).exp());
            assert!((f64::from(found) / expected - 1.0).abs() < 3e-7, "{x}: {found} for {expected}");
        }
        assert!(exp::<false>(-1e9) < 2e-38 && exp::<false>(f32::NEG_INFINITY) < 2e-38);
        assert!(exp::<false>(1e9).is_finite());
    }
}
