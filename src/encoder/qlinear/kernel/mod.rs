//! Integer matrix kernels: activations u8 times weights i8, summed in i32, exact on every processor.
//!
//! A kernel works on tiles: a few rows of activations against one panel of `nr` weight columns over the whole of K.
//! All kernels give the same integers; they differ in the instructions they need and in how weights and activations
//! are laid out for them.

use crate::encoder::ops::level::Level;

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Computes a tile of sums.
///
/// # Safety
/// The processor has the kernel's instructions. `tile.rows` is 1..=mr; `tile.activations` can be read for
/// `(rows - 1) * stride + groups * kr * size` bytes, where size is 2 for [`Activations::U16`] and 1 otherwise;
/// `tile.weights` for `groups * kr * nr` bytes; `sums` can be written for `rows * nr` numbers.
type TileFn = unsafe fn(tile: Tile, sums: *mut i32);

/// What one call of a kernel works on.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Rows of activations, 1..=mr.
    pub(super) rows: usize,
    /// First row, in the kernel's form of activations, K filled up to `groups * kr` with anything.
    pub(super) activations: *const u8,
    /// Bytes from one row to the next.
    pub(super) stride: usize,
    /// K / kr, rounded up.
    pub(super) groups: usize,
    /// One packed panel, `[groups][nr][kr]`, K filled up with zeros.
    pub(super) weights: *const i8,
    /// What will be wanted next and may be fetched into the cache: one line of 64 bytes a group from here on. Any
    /// address is allowed.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only kernels of x86-64 fetch ahead"))]
    pub(super) next: *const i8,
}

/// How a kernel wants activations stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activations {
    /// As they are.
    U8,
    /// Minus 128, as i8: the zero point moves along.
    I8,
    /// Widened to 16 bits.
    U16,
}

impl Activations {
    /// Bytes a stored activation takes.
    pub(super) fn size(self) -> usize {
        if self == Self::U16 { 2 } else { 1 }
    }
}

/// One way to multiply; see the module.
pub(crate) struct Kernel {
    name: &'static str,
    /// Rows of a full tile.
    pub(super) mr: usize,
    /// Columns of a panel.
    pub(super) nr: usize,
    /// Neighbours in K that lie together.
    pub(super) kr: usize,
    pub(super) activations: Activations,
    /// For weights of -127..=127.
    tile: TileFn,
    /// For weights that include -128.
    full_range_tile: TileFn,
    supported: fn() -> bool,
    level: fn(Level) -> Level,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All kernels of this target, best first. The last one always works.
static KERNELS: &[&Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    &x86_64::AVX512_VNNI,
    #[cfg(target_arch = "x86_64")]
    &x86_64::AVX_VNNI,
    #[cfg(all(target_arch = "x86_64", test))]
    &x86_64::AVX512_VNNI_256,
    #[cfg(target_arch = "x86_64")]
    &x86_64::AVX2,
    #[cfg(target_arch = "aarch64")]
    &aarch64::I8MM,
    #[cfg(target_arch = "aarch64")]
    &aarch64::SDOT,
    #[cfg(target_arch = "aarch64")]
    &aarch64::NEON,
    &portable::PORTABLE,
];

impl Kernel {
    /// The fastest that this processor can run.
    pub(crate) fn best() -> &'static Self {
        KERNELS.iter().find(|k| k.supported()).unwrap_or(&&portable::PORTABLE)
    }

    /// The kernel of that name, or a sentence that says why it cannot be had and which can.
    pub(crate) fn named(name: &str) -> Result<&'static Self, String> {
        let list = || Self::all_supported().map(|k| k.name).collect::<Vec<_>>().join(", ");
        match KERNELS.iter().find(|k| k.name == name) {
            Some(kernel) if kernel.supported() => Ok(kernel),
            Some(_) => {
                Err(format!("kernel {name} needs instructions that this processor lacks; it can run {}", list()))
            }
            None => Err(format!("there is no kernel {name} in this build; this processor can run {}", list())),
        }
    }

    /// Every kernel that this processor can run, best first.
    pub(crate) fn all_supported() -> impl Iterator<Item = &'static Self> {
        KERNELS.iter().copied().filter(|k| k.supported())
    }

    /// As said to people and in `BIKE_EDGE_KERNEL`.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The f32 instructions that go with this kernel: a forced kernel keeps newer ones out everywhere.
    pub(crate) fn level(&self, best: Level) -> Level {
        (self.level)(best)
    }

    fn supported(&self) -> bool {
        (self.supported)()
    }

    /// Computes `sums[r][c] = sum over k of activation[r][k] * weight[k][c]`, wrapping in i32.
    ///
    /// # Safety
    /// As for [`TileFn`]; and `full_range` is true when some weight is -128.
    #[inline]
    pub(super) unsafe fn run(&self, full_range: bool, tile: Tile, sums: *mut i32) {
        let function = if full_range { self.full_range_tile } else { self.tile };
        // SAFETY: the caller's promise; a Kernel that is not supported is never handed out.
        unsafe { function(tile, sums) }
    }
}
