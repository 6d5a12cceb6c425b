//! The integer product of one layer by itself, for measuring kernels (`benches/kernels.rs`).

use std::borrow::Cow;

use super::kernel::Kernel;
use super::quantise::Quantised;
use super::{Arena, MAX_TILE, Packed, pack_all};
use crate::encoder::ops::level::Level;
use crate::encoder::ops::pool::Pool;

/// Activations `[m, k]` times weights `[k, n]`, made-up numbers, on one thread.
pub struct IntegerProduct {
    kernel: &'static Kernel,
    arena: Arena,
    weights: Packed,
    x: Quantised,
    m: usize,
}

impl IntegerProduct {
    /// Names of the kernels that this processor can run, best first.
    pub fn kernels() -> Vec<&'static str> {
        Kernel::all_supported().map(Kernel::name).collect()
    }

    /// # Errors
    /// A sentence, for a kernel that cannot be had.
    pub fn new(kernel: &str, m: usize, k: usize, n: usize) -> Result<Self, String> {
        let kernel = Kernel::named(kernel)?;
        let pool = Pool::new(1).map_err(|e| e.to_string())?;
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        let weights: Vec<u8> = (0..k * n).map(|_| (next() as u8).max(1)).collect();
        let numbers: Vec<f32> = (0..m * k).map(|_| next() as f32 - 100.0).collect();
        let (arena, mut packed) = pack_all(Level::BASE, kernel, &pool, &[(k, n)], &|_| Ok(Cow::Borrowed(&weights)))
            .map_err(|e| e.to_string())?;
        let mut x = Quantised::default();
        x.set(kernel, Level::BASE, &pool, &numbers, k);
        let weights = packed.pop().ok_or("nothing was packed")?;
        Ok(Self { kernel, arena, weights, x, m })
    }

    /// All sums once; returns one that depends on the last tile.
    pub fn run(&self) -> i32 {
        let mut sums = [0i32; MAX_TILE];
        let tiles = self.m.div_ceil(self.kernel.mr);
        for panel in 0..self.weights.panels() {
            for tile in 0..tiles {
                let (first, last) = (tile * self.m / tiles, (tile + 1) * self.m / tiles);
                self.weights.tile(self.kernel, &self.arena, &self.x, panel, first, last - first, &mut sums);
            }
        }
        sums[0]
    }
}
