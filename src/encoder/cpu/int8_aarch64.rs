//! Int8 kernels for aarch64: I8MM (USMMLA), SDOT and plain NEON.
//!
//! The instructions of the first two have no stable intrinsics yet. Each is therefore one instruction of inline
//! assembly, and the compiler still allocates registers and schedules.

use std::arch::aarch64::*;
use std::arch::asm;

use super::int8_kernel::{ActivationFormat, Kernel, Tile};

/// USMMLA multiplies 2 rows by 2 columns over 8 of K: 8 rows by 8 columns are 16 sums.
pub(super) static I8MM: Kernel = Kernel {
    name: "i8mm",
    mr: 8,
    nr: 8,
    kr: 8,
    activations: ActivationFormat::U8,
    tile: i8mm,
    full_range_tile: i8mm,
    supported: || std::arch::is_aarch64_feature_detected!("i8mm"),
    level: |best| best,
};

/// SDOT multiplies signed by signed, so activations are stored minus 128: 5 rows by 16 columns are 20 sums.
pub(super) static SDOT: Kernel = Kernel {
    name: "sdot",
    mr: 5,
    nr: 16,
    kr: 4,
    activations: ActivationFormat::I8,
    tile: sdot_any,
    full_range_tile: sdot_any,
    supported: || std::arch::is_aarch64_feature_detected!("dotprod"),
    level: |best| best,
};

/// SMULL and SMLAL add two products in 16 bits, and SADALP adds pairs of those to 32-bit sums: 4 rows by 4 columns, 16
/// of K at once.
pub(super) static NEON: Kernel = Kernel {
    name: "neon",
    mr: 4,
    nr: 4,
    kr: 16,
    activations: ActivationFormat::I8,
    tile: neon,
    full_range_tile: neon_full_range,
    supported: || true,
    level: |best| best,
};

/// Returns `sum + a b'` for 2 u8 rows of a and 2 i8 columns of b, 8 deep.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn usmmla(mut sum: int32x4_t, a: uint8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction only touches the registers named; the feature is enabled.
    unsafe {
        asm!("usmmla {s:v}.4s, {a:v}.16b, {b:v}.16b", s = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Returns `sum` plus 4 columns of b times the 4 numbers in lane `LANE` of a.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot<const LANE: u8>(mut sum: int32x4_t, b: int8x16_t, a: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction only touches the registers named; the feature is enabled.
    unsafe {
        asm!("sdot {s:v}.4s, {b:v}.16b, {a:v}.4b[{lane}]", s = inout(vreg) sum, b = in(vreg) b, a = in(vreg) a,
            lane = const LANE, options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Implements [`super::int8_kernel::TileFn`].
unsafe fn i8mm(tile: Tile, sums: *mut i32) {
    // SAFETY: this function has the same contract as the body; an odd last row is computed twice.
    unsafe {
        match tile.rows.div_ceil(2) {
            1 => i8mm_rows::<1>(tile, sums),
            2 => i8mm_rows::<2>(tile, sums),
            3 => i8mm_rows::<3>(tile, sums),
            _ => i8mm_rows::<4>(tile, sums),
        }
    }
}

/// Implements [`super::int8_kernel::TileFn`]; `PAIRS` is half of `tile.rows`, rounded up.
#[target_feature(enable = "neon,i8mm")]
unsafe fn i8mm_rows<const PAIRS: usize>(tile: Tile, sums: *mut i32) {
    let mut sum = [[vdupq_n_s32(0); 4]; PAIRS];
    // If the last pair has only one row, that row is used twice.
    let row = |r: usize| r.min(tile.rows - 1) * tile.stride;
    let (mut a, mut b) = (tile.activations, tile.weights);
    // Two groups at a time: one load of a row serves both.
    for _ in 0..tile.groups / 2 {
        // SAFETY: 2 groups are 128 bytes of weights and 16 bytes of each row, inside by the caller's contract.
        unsafe {
            let w: [_; 8] = std::array::from_fn(|c| vld1q_s8(b.add(c * 16)));
            for (pair, sum) in sum.iter_mut().enumerate() {
                let upper = vreinterpretq_u64_u8(vld1q_u8(a.add(row(pair * 2))));
                let lower = vreinterpretq_u64_u8(vld1q_u8(a.add(row(pair * 2 + 1))));
                let first = vreinterpretq_u8_u64(vtrn1q_u64(upper, lower));
                let second = vreinterpretq_u8_u64(vtrn2q_u64(upper, lower));
                for (c, sum) in sum.iter_mut().enumerate() {
                    *sum = usmmla(usmmla(*sum, first, w[c]), second, w[4 + c]);
                }
            }
            a = a.add(16);
            b = b.add(128);
        }
    }
    if tile.groups % 2 == 1 {
        // SAFETY: one group is 64 bytes of weights and 8 bytes of each row, inside by the caller's contract.
        unsafe {
            let w: [_; 4] = std::array::from_fn(|c| vld1q_s8(b.add(c * 16)));
            for (pair, sum) in sum.iter_mut().enumerate() {
                let x = vcombine_u8(vld1_u8(a.add(row(pair * 2))), vld1_u8(a.add(row(pair * 2 + 1))));
                for (sum, w) in sum.iter_mut().zip(w) {
                    *sum = usmmla(*sum, x, w);
                }
            }
        }
    }
    for (pair, sum) in sum.iter().enumerate() {
        for (c, sum) in sum.iter().enumerate() {
            // SAFETY: `sums` holds rows * 8 numbers, and the second row is only written if it exists.
            unsafe {
                let to = sums.add(pair * 16 + c * 2);
                vst1_s32(to, vget_low_s32(*sum));
                if pair * 2 + 1 < tile.rows {
                    vst1_s32(to.add(8), vget_high_s32(*sum));
                }
            }
        }
    }
}

/// Implements [`super::int8_kernel::TileFn`].
unsafe fn sdot_any(tile: Tile, sums: *mut i32) {
    // SAFETY: this function has the same contract as the body.
    unsafe {
        match tile.rows {
            1 => sdot_rows::<1>(tile, sums),
            2 => sdot_rows::<2>(tile, sums),
            3 => sdot_rows::<3>(tile, sums),
            4 => sdot_rows::<4>(tile, sums),
            _ => sdot_rows::<5>(tile, sums),
        }
    }
}

/// Implements [`super::int8_kernel::TileFn`]; `ROWS` is `tile.rows`.
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot_rows<const ROWS: usize>(tile: Tile, sums: *mut i32) {
    let mut sum = [[vdupq_n_s32(0); 4]; ROWS];
    let (mut a, mut b) = (tile.activations.cast::<i8>(), tile.weights);
    // Four groups at a time: one load of a row serves four lanes.
    for _ in 0..tile.groups / 4 {
        // SAFETY: 4 groups are 256 bytes of weights and 16 bytes of each row, inside by the caller's contract.
        unsafe {
            let x: [_; ROWS] = std::array::from_fn(|r| vld1q_s8(a.add(r * tile.stride)));
            step::<ROWS, 0>(&mut sum, b, &x);
            step::<ROWS, 1>(&mut sum, b.add(64), &x);
            step::<ROWS, 2>(&mut sum, b.add(128), &x);
            step::<ROWS, 3>(&mut sum, b.add(192), &x);
            a = a.add(16);
            b = b.add(256);
        }
    }
    for _ in 0..tile.groups % 4 {
        // SAFETY: one group is 64 bytes of weights and 4 bytes of each row, inside by the caller's contract.
        unsafe {
            let x: [_; ROWS] = std::array::from_fn(|r| {
                vreinterpretq_s8_s32(vdupq_n_s32(a.add(r * tile.stride).cast::<i32>().read_unaligned()))
            });
            step::<ROWS, 0>(&mut sum, b, &x);
            a = a.add(4);
            b = b.add(64);
        }
    }
    for (row, sum) in sum.iter().enumerate() {
        for (c, sum) in sum.iter().enumerate() {
            // SAFETY: `sums` holds ROWS * 16 numbers.
            unsafe { vst1q_s32(sums.add(row * 16 + c * 4), *sum) }
        }
    }
}

/// Adds the products of one group of weights and lane `LANE` of each row.
///
/// # Safety
/// 64 bytes can be read at `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn step<const ROWS: usize, const LANE: u8>(
    sum: &mut [[int32x4_t; 4]; ROWS],
    b: *const i8,
    x: &[int8x16_t; ROWS],
) {
    // SAFETY: the caller's contract.
    let b: [_; 4] = std::array::from_fn(|c| unsafe { vld1q_s8(b.add(c * 16)) });
    for (sum, x) in sum.iter_mut().zip(x) {
        for (sum, b) in sum.iter_mut().zip(b) {
            *sum = sdot::<LANE>(*sum, b, *x);
        }
    }
}

/// Implements [`super::int8_kernel::TileFn`].
unsafe fn neon(tile: Tile, sums: *mut i32) {
    // SAFETY: this function has the same contract as the body.
    unsafe { neon_by_rows::<false>(tile, sums) }
}

/// Implements [`super::int8_kernel::TileFn`].
unsafe fn neon_full_range(tile: Tile, sums: *mut i32) {
    // SAFETY: this function has the same contract as the body.
    unsafe { neon_by_rows::<true>(tile, sums) }
}

/// Implements [`super::int8_kernel::TileFn`].
unsafe fn neon_by_rows<const FULL_RANGE: bool>(tile: Tile, sums: *mut i32) {
    // SAFETY: this function has the same contract as the body.
    unsafe {
        match tile.rows {
            1 => neon_rows::<1, FULL_RANGE>(tile, sums),
            2 => neon_rows::<2, FULL_RANGE>(tile, sums),
            3 => neon_rows::<3, FULL_RANGE>(tile, sums),
            _ => neon_rows::<4, FULL_RANGE>(tile, sums),
        }
    }
}

/// Implements [`super::int8_kernel::TileFn`]; `ROWS` is `tile.rows`.
///
/// The sum of two products of -128..=127 and -127..=127 fits in 16 bits. With weights of -128 (`FULL_RANGE`) it might
/// not, so each half is added to the sums separately.
#[target_feature(enable = "neon")]
unsafe fn neon_rows<const ROWS: usize, const FULL_RANGE: bool>(tile: Tile, sums: *mut i32) {
    let mut sum = [[vdupq_n_s32(0); 4]; ROWS];
    for group in 0..tile.groups {
        // SAFETY: `groups` times 64 bytes of weights and 16 bytes of each row can be read, by the caller's contract.
        unsafe {
            let b = tile.weights.add(group * 64);
            let b: [_; 4] = std::array::from_fn(|c| vld1q_s8(b.add(c * 16)));
            for (row, sum) in sum.iter_mut().enumerate() {
                let x = vld1q_s8(tile.activations.add(row * tile.stride + group * 16).cast());
                for (sum, b) in sum.iter_mut().zip(b) {
                    let low = vmull_s8(vget_low_s8(x), vget_low_s8(b));
                    *sum = if FULL_RANGE {
                        vpadalq_s16(vpadalq_s16(*sum, low), vmull_high_s8(x, b))
                    } else {
                        vpadalq_s16(*sum, vmlal_high_s8(low, x, b))
                    };
                }
            }
        }
    }
    for (row, sum) in sum.iter().enumerate() {
        let pairs = [vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3])];
        // SAFETY: `sums` holds ROWS * 4 numbers.
        unsafe { vst1q_s32(sums.add(row * 4), vpaddq_s32(pairs[0], pairs[1])) }
    }
}
