//! Int8 matrix kernels: u8 activations times i8 weights, summed in i32, exact on every processor. The portable kernel,
//! which defines what the others must compute, is here too.
//!
//! A kernel works on tiles: a few rows of activations times one panel of `nr` weight columns over the whole of K.
//! All kernels compute the same integers. They differ in the instructions that they need and in the layout of weights
//! and activations.

use super::level::SimdLevel;

/// Computes the sums of a tile.
///
/// # Safety
/// The processor has the kernel's instructions. `tile.rows` is 1..=mr; `tile.activations` can be read for
/// `(rows - 1) * stride + groups * kr * size` bytes, where size is 2 for [`ActivationFormat::U16`] and 1 otherwise;
/// `tile.weights` for `groups * kr * nr` bytes; `sums` can be written for `rows * nr` numbers.
pub(super) type TileFn = unsafe fn(tile: Tile, sums: *mut i32);

/// The operands of one call of a kernel.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Rows of activations, 1..=mr.
    pub(super) rows: usize,
    /// The first row, in the kernel's format of activations. K is padded to `groups * kr` with any values.
    pub(super) activations: *const u8,
    /// Bytes from one row of activations to the next.
    pub(super) stride: usize,
    /// K / kr, rounded up.
    pub(super) groups: usize,
    /// One packed panel, `[groups][nr][kr]`, K padded with zeros.
    pub(super) weights: *const i8,
    /// What is needed next and may be prefetched into the cache: one line of 64 bytes per group, starting here. Any
    /// address is allowed.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 kernels prefetch"))]
    pub(super) next: *const i8,
}

/// How a kernel needs activations stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActivationFormat {
    /// Unchanged.
    U8,
    /// Minus 128, as i8; the zero point changes in the same way.
    I8,
    /// Widened to 16 bits.
    U16,
}

impl ActivationFormat {
    /// Returns the bytes of one stored activation.
    pub(super) fn size(self) -> usize {
        if self == Self::U16 { 2 } else { 1 }
    }
}

/// One implementation of the int8 product.
pub(crate) struct Kernel {
    pub(super) name: &'static str,
    /// Rows of a full tile.
    pub(crate) mr: usize,
    /// Columns of a panel.
    pub(crate) nr: usize,
    /// Neighbours in K that are stored together.
    pub(super) kr: usize,
    pub(super) activations: ActivationFormat,
    /// For weights from -127 to 127.
    pub(super) tile: TileFn,
    /// For weights that include -128.
    pub(super) full_range_tile: TileFn,
    pub(super) supported: fn() -> bool,
    /// Limits the best f32 instructions of the processor to those that go with this kernel.
    pub(super) level: fn(SimdLevel) -> SimdLevel,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Kernel {
    /// Returns the name that logs show and `BIKE_EDGE_KERNEL` takes.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the f32 instructions to use with this kernel: a forced kernel excludes newer instructions everywhere.
    pub(crate) fn level(&self, best: SimdLevel) -> SimdLevel {
        (self.level)(best)
    }

    /// Returns whether this processor has the kernel's instructions.
    pub(crate) fn supported(&self) -> bool {
        (self.supported)()
    }

    /// Computes `sums[r][c] = sum over k of activation[r][k] * weight[k][c]`, wrapping in i32.
    ///
    /// # Safety
    /// As for [`TileFn`]. `full_range` must be true if any weight is -128.
    #[inline]
    pub(super) unsafe fn run(&self, full_range: bool, tile: Tile, sums: *mut i32) {
        let function = if full_range { self.full_range_tile } else { self.tile };
        // SAFETY: the caller's contract; `choice` only returns supported kernels.
        unsafe { function(tile, sums) }
    }
}

/// The widest panel of any kernel.
pub(crate) const MAX_NR: usize = 64;
/// The largest tile of any kernel, in sums. aarch64: 8 * 8, 5 * 16 and 4 * 4; AVX2: 6 * 16.
pub(crate) const MAX_TILE: usize = 6 * 64;

/// Columns and rows of a tile of the portable kernel.
const NR: usize = 8;
const MR: usize = 4;

/// Runs on any processor.
pub(super) static PORTABLE: Kernel = Kernel {
    name: "portable",
    mr: MR,
    nr: NR,
    kr: 1,
    activations: ActivationFormat::U8,
    tile,
    full_range_tile: tile,
    supported: || true,
    level: |_| SimdLevel::BASE,
};

/// Implements [`TileFn`].
unsafe fn tile(t: Tile, sums: *mut i32) {
    for row in 0..t.rows {
        let mut sum = [0i32; NR];
        for k in 0..t.groups {
            // SAFETY: inside the bytes of the row and of the panel, by the caller's contract.
            let (x, w) = unsafe {
                let x = t.activations.add(row * t.stride + k).read();
                (i16::from(x), t.weights.add(k * NR).cast::<[i8; NR]>().read_unaligned())
            };
            for (sum, w) in sum.iter_mut().zip(w) {
                *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
            }
        }
        // SAFETY: `sums` holds rows * NR numbers, by the caller's contract.
        unsafe { sums.add(row * NR).cast::<[i32; NR]>().write_unaligned(sum) }
    }
}
