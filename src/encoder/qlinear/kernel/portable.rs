//! The kernel that runs anywhere, and that defines what the others must compute.

use super::{Activations, Kernel, Tile};
use crate::encoder::ops::level::Level;

const NR: usize = 8;
const MR: usize = 4;

pub(super) static PORTABLE: Kernel = Kernel {
    name: "portable",
    mr: MR,
    nr: NR,
    kr: 1,
    activations: Activations::U8,
    tile,
    full_range_tile: tile,
    supported: || true,
    level: |_| Level::BASE,
};

/// See [`super::TileFn`].
unsafe fn tile(t: Tile, sums: *mut i32) {
    for row in 0..t.rows {
        let mut sum = [0i32; NR];
        for k in 0..t.groups {
            // SAFETY: within the row's and the panel's bytes, by the caller's promise.
            let (x, w) = unsafe {
                let x = t.activations.add(row * t.stride + k).read();
                (i16::from(x), t.weights.add(k * NR).cast::<[i8; NR]>().read_unaligned())
            };
            for (sum, w) in sum.iter_mut().zip(w) {
                *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
            }
        }
        // SAFETY: the caller's sums hold rows * NR numbers.
        unsafe { sums.add(row * NR).cast::<[i32; NR]>().write_unaligned(sum) }
    }
}
