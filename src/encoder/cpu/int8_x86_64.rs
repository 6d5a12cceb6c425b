//! Int8 kernels for x86-64: AVX-512 VNNI, AVX-VNNI and AVX2.

use std::arch::x86_64::*;

use super::int8_kernel::{ActivationFormat, Kernel, Tile};
use super::level::SimdLevel;

/// 6 rows by 4 vectors of 16 columns: 24 sums, enough to hide the latency of `vpdpbusd` on processors that start two
/// per cycle, and 10 loads for 24 products. With warm weights this reaches the processor's peak (AMD Zen 4: 235 G
/// multiply-adds per second). Prefetching the next panel gains 3-4% on weights that come from memory.
pub(super) static AVX512_VNNI: Kernel = Kernel {
    name: "avx512vnni",
    mr: 6,
    nr: 64,
    kr: 4,
    activations: ActivationFormat::U8,
    tile: avx512_vnni,
    full_range_tile: avx512_vnni,
    supported: || is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw"),
    level: |best| best,
};

/// 6 rows by 2 vectors of 8 columns: 12 sums of the 16 registers.
pub(super) static AVX_VNNI: Kernel = Kernel {
    name: "avxvnni",
    mr: 6,
    nr: 16,
    kr: 4,
    activations: ActivationFormat::U8,
    tile: avx_vnni,
    full_range_tile: avx_vnni,
    supported: || is_x86_feature_detected!("avxvnni"),
    level: SimdLevel::at_most_avx2,
};

/// Multiplies 16-bit numbers (`vpmaddwd`), because the 8-bit `vpmaddubsw` saturates and would give wrong sums.
pub(super) static AVX2: Kernel = Kernel {
    name: "avx2",
    mr: 6,
    nr: 16,
    kr: 2,
    activations: ActivationFormat::U16,
    tile: avx2,
    full_range_tile: avx2,
    supported: || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
    level: SimdLevel::at_most_avx2,
};

/// Calls `$body::<rows>` with the number of rows as a constant, so that all sums stay in registers.
macro_rules! by_rows {
    ($body:ident, $tile:expr, $sums:expr) => {
        // SAFETY: this function has the same contract as the body.
        unsafe {
            match $tile.rows {
                1 => $body::<1>($tile, $sums),
                2 => $body::<2>($tile, $sums),
                3 => $body::<3>($tile, $sums),
                4 => $body::<4>($tile, $sums),
                5 => $body::<5>($tile, $sums),
                _ => $body::<6>($tile, $sums),
            }
        }
    };
}

/// Implements [`super::int8_kernel::TileFn`].
unsafe fn avx512_vnni(tile: Tile, sums: *mut i32) {
    by_rows!(avx512_vnni_rows, tile, sums)
}

/// Implements [`super::int8_kernel::TileFn`]; `ROWS` is `tile.rows`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn avx512_vnni_rows<const ROWS: usize>(tile: Tile, sums: *mut i32) {
    let mut sum = [[_mm512_setzero_si512(); 4]; ROWS];
    let (mut a, mut b) = (tile.activations, tile.weights.cast::<__m512i>());
    let mut next = tile.next;
    for _ in 0..tile.groups {
        // SAFETY: `groups` times 4 vectors of weights and 4 bytes of each row can be read, by the caller's contract.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(next);
            next = next.wrapping_add(64);
            let w: [_; 4] = std::array::from_fn(|c| _mm512_loadu_si512(b.add(c)));
            for (row, sum) in sum.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(a.add(row * tile.stride).cast::<i32>().read_unaligned());
                for (sum, w) in sum.iter_mut().zip(w) {
                    *sum = _mm512_dpbusd_epi32(*sum, x, w);
                }
            }
            a = a.add(4);
            b = b.add(4);
        }
    }
    for (row, sum) in sum.iter().enumerate() {
        for (c, sum) in sum.iter().enumerate() {
            // SAFETY: `sums` holds ROWS * 64 numbers.
            unsafe { _mm512_storeu_si512(sums.add(row * 64 + c * 16).cast(), *sum) }
        }
    }
}

/// Defines a kernel of 2 vectors of 8 columns, for either encoding of the 256-bit `vpdpbusd`.
macro_rules! vnni_256 {
    ($name:ident, $rows:ident, $features:literal, $dot:ident) => {
        /// Implements [`super::int8_kernel::TileFn`].
        unsafe fn $name(tile: Tile, sums: *mut i32) {
            by_rows!($rows, tile, sums)
        }

        /// Implements [`super::int8_kernel::TileFn`]; `ROWS` is `tile.rows`.
        #[target_feature(enable = $features)]
        unsafe fn $rows<const ROWS: usize>(tile: Tile, sums: *mut i32) {
            let mut sum = [[_mm256_setzero_si256(); 2]; ROWS];
            let (mut a, mut b) = (tile.activations, tile.weights.cast::<__m256i>());
            for _ in 0..tile.groups {
                // SAFETY: `groups` times 2 vectors of weights and 4 bytes of each row can be read, by the caller's
                // contract.
                unsafe {
                    let w: [_; 2] = std::array::from_fn(|c| _mm256_loadu_si256(b.add(c)));
                    for (row, sum) in sum.iter_mut().enumerate() {
                        let x = _mm256_set1_epi32(a.add(row * tile.stride).cast::<i32>().read_unaligned());
                        for (sum, w) in sum.iter_mut().zip(w) {
                            *sum = $dot(*sum, x, w);
                        }
                    }
                    a = a.add(4);
                    b = b.add(2);
                }
            }
            for (row, sum) in sum.iter().enumerate() {
                for (c, sum) in sum.iter().enumerate() {
                    // SAFETY: `sums` holds ROWS * 16 numbers.
                    unsafe { _mm256_storeu_si256(sums.add(row * 16 + c * 8).cast(), *sum) }
                }
            }
        }
    };
}

vnni_256!(avx_vnni, avx_vnni_rows, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);

/// [`AVX_VNNI`] in the instruction encoding of processors with AVX-512, so that its code is tested on those too.
#[cfg(test)]
pub(super) static AVX512_VNNI_256: Kernel = Kernel {
    name: "avx512vnni-256",
    tile: avx512_vnni_256,
    full_range_tile: avx512_vnni_256,
    supported: || is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl"),
    ..AVX_VNNI
};

#[cfg(test)]
vnni_256!(avx512_vnni_256, avx512_vnni_256_rows, "avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);

/// Implements [`super::int8_kernel::TileFn`].
unsafe fn avx2(tile: Tile, sums: *mut i32) {
    by_rows!(avx2_rows, tile, sums)
}

/// Implements [`super::int8_kernel::TileFn`]; `ROWS` is `tile.rows`. Activations are 16 bits wide.
#[target_feature(enable = "avx2")]
unsafe fn avx2_rows<const ROWS: usize>(tile: Tile, sums: *mut i32) {
    let mut sum = [[_mm256_setzero_si256(); 2]; ROWS];
    let (mut a, mut b) = (tile.activations, tile.weights.cast::<__m128i>());
    for _ in 0..tile.groups {
        // SAFETY: `groups` times 32 bytes of weights and 4 bytes of each row can be read, by the caller's contract.
        unsafe {
            let w: [_; 2] = std::array::from_fn(|c| _mm256_cvtepi8_epi16(_mm_loadu_si128(b.add(c))));
            for (row, sum) in sum.iter_mut().enumerate() {
                let x = _mm256_set1_epi32(a.add(row * tile.stride).cast::<i32>().read_unaligned());
                for (sum, w) in sum.iter_mut().zip(w) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
                }
            }
            a = a.add(4);
            b = b.add(2);
        }
    }
    for (row, sum) in sum.iter().enumerate() {
        for (c, sum) in sum.iter().enumerate() {
            // SAFETY: `sums` holds ROWS * 16 numbers.
            unsafe { _mm256_storeu_si256(sums.add(row * 16 + c * 8).cast(), *sum) }
        }
    }
}
