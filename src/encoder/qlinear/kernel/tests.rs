//! Every kernel against plain sums, on edge shapes and extreme values.

use super::*;
use std::borrow::Cow;

use crate::encoder::ops::level::Level;
use crate::encoder::ops::pool::Pool;
use crate::encoder::qlinear::pack::pack_all;
use crate::encoder::qlinear::quantise::Quantised;

/// Integers that look random, the extremes among them.
fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state >> 60 {
            0 => 0,
            1 => 255,
            2 => 128,
            3 => 127,
            _ => (state >> 24) as u8,
        }
    }
}

/// Sums of one product through `kernel`, as `[m][n]`, zero points not yet taken off.
fn product(kernel: &'static Kernel, x: &[u8], m: usize, k: usize, w: &[i8], n: usize) -> Vec<i32> {
    let bytes: Vec<u8> = w.iter().map(|w| w.cast_unsigned()).collect();
    let weights = |_| Ok(Cow::Borrowed(bytes.as_slice()));
    let (arena, packed) = pack_all(Level::BASE, kernel, &Pool::new(1).unwrap(), &[(k, n)], &weights).unwrap();
    let packed = &packed[0];
    let mut store = Quantised::default();
    store.set_integers(kernel, x, m, k, 0);
    let mut out = vec![0; m * n];
    for panel in 0..packed.panels() {
        let mut sums = vec![0; kernel.mr * kernel.nr];
        for first in (0..m).step_by(kernel.mr) {
            let rows = kernel.mr.min(m - first);
            packed.tile(kernel, &arena, &store, panel, first, rows, &mut sums);
            for r in 0..rows {
                for c in 0..kernel.nr.min(n - panel * kernel.nr) {
                    let column = panel * kernel.nr + c;
                    let correction = store.zero_point() * packed.column_sums()[column];
                    out[(first + r) * n + column] = sums[r * kernel.nr + c] - correction;
                }
            }
        }
    }
    out
}

fn plain(x: &[u8], m: usize, k: usize, w: &[i8], n: usize) -> Vec<i32> {
    let mut out = vec![0; m * n];
    for i in 0..m {
        for p in 0..k {
            for j in 0..n {
                out[i * n + j] += i32::from(x[i * k + p]) * i32::from(w[p * n + j]);
            }
        }
    }
    out
}

#[test]
fn every_kernel_equals_plain_sums_on_edge_shapes() {
    for kernel in Kernel::all_supported() {
        for m in [1, 2, 3, 5, 6, 7, 8, 50, 197] {
            for (k, n) in [(1, 1), (3, 5), (7, 64), (64, 65), (66, 63), (130, 33), (257, 17)] {
                let mut next = noise((m * 1000 + k * 10 + n) as u64);
                let x: Vec<u8> = (0..m * k).map(|_| next()).collect();
                for full_range in [true, false] {
                    let w: Vec<i8> =
                        (0..k * n).map(|_| (next() as i8).max(if full_range { -128 } else { -127 })).collect();
                    let (expected, found) = (plain(&x, m, k, &w, n), product(kernel, &x, m, k, &w, n));
                    assert!(expected == found, "kernel {} on {m}x{k}x{n}, full range {full_range}", kernel.name());
                }
            }
        }
        println!("kernel={} exact ok", kernel.name());
    }
}

#[test]
fn extremes_neither_saturate_nor_overflow() {
    let (m, k, n) = (5, 3072, 9);
    for kernel in Kernel::all_supported() {
        for x in [0u8, 1, 127, 128, 255] {
            for w in [-128i8, -127, 0, 127] {
                let (x, w) = (vec![x; m * k], vec![w; k * n]);
                assert!(product(kernel, &x, m, k, &w, n) == plain(&x, m, k, &w, n), "kernel {}", kernel.name());
            }
        }
    }
}

#[test]
fn a_kernel_that_cannot_run_here_is_refused_with_those_that_can() {
    assert_eq!(Kernel::named("portable").map(Kernel::name), Ok("portable"));
    let refusal = Kernel::named("abacus").map(Kernel::name).unwrap_err();
    assert!(refusal.contains("abacus") && refusal.contains("portable"), "{refusal}");
}
