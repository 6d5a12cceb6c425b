//! Number crunching for tables, chosen once for the CPU at hand: AVX-512, AVX2, NEON or plain Rust.
//!
//! They are written once, over sixteen lanes ([`simd::Simd`]), and compiled for each instruction set.

/// Compiles the kernels for one instruction set and gathers them in `TABLE`.
///
/// `one` rows at a time with a single vector, `many` rows x vectors with several: as many running sums as the
/// registers hold.
macro_rules! entry_points {
    ($simd:expr, $name:literal, [$($features:literal)?], one: $one:literal, many: $rows:literal x $vectors:literal) => {
        use $crate::table::kernel::entry::*;

        entry_points!(@fn [$($features)?] dot_f32(rows: &[f32], width: usize, x: &[f32], out: &mut [f32], stride: usize) =>
            dot::<_, f32, $one, $rows, $vectors>($simd, rows, width, x, out, stride));
        entry_points!(@fn [$($features)?] dot_f16(rows: &[f16], width: usize, x: &[f32], out: &mut [f32], stride: usize) =>
            dot::<_, f16, $one, $rows, $vectors>($simd, rows, width, x, out, stride));
        entry_points!(@fn [$($features)?] dot_i8(rows: &[i8], width: usize, x: &[f32], out: &mut [f32], stride: usize) =>
            dot::<_, i8, $one, $rows, $vectors>($simd, rows, width, x, out, stride));
        entry_points!(@fn [$($features)?] mix_f32(rows: &[f32], factors: &[f32], base: &[f32], out: &mut [f32]) =>
            mix($simd, rows, factors, base, out));
        entry_points!(@fn [$($features)?] mix_f16(rows: &[f16], factors: &[f32], base: &[f32], out: &mut [f32]) =>
            mix($simd, rows, factors, base, out));
        entry_points!(@fn [$($features)?] mix_i8(rows: &[i8], factors: &[f32], base: &[f32], out: &mut [f32]) =>
            mix($simd, rows, factors, base, out));
        entry_points!(@fn [$($features)?] exp(x: &[f32], shift: f32, scale: f32, out: &mut [f32]) =>
            exp_all($simd, x, shift, scale, out));
        entry_points!(@fn [$($features)?] sums(m: SoftmaxSums<'_>, groups: &[Group], out: &mut [f32], stride: usize) =>
            softmax_sums($simd, m, groups, out, stride));

        const TABLE: $crate::table::kernel::Kernels = $crate::table::kernel::Kernels {
            name: $name,
            dot_f32,
            dot_f16,
            dot_i8,
            mix_f32,
            mix_f16,
            mix_i8,
            exp_all: exp,
            softmax_sums: sums,
        };
    };
    (@fn [] $name:ident($($arg:ident: $type:ty),*) => $body:expr) => {
        fn $name($($arg: $type),*) {
            $body
        }
    };
    (@fn [$features:literal] $name:ident($($arg:ident: $type:ty),*) => $body:expr) => {
        fn $name($($arg: $type),*) {
            #[target_feature(enable = $features)]
            fn compiled_for($($arg: $type),*) {
                $body
            }
            // SAFETY: `TABLE`, the only way here, is handed out by `detect` alone, where the CPU has the features.
            unsafe { compiled_for($($arg),*) }
        }
    };
}

#[cfg(target_arch = "aarch64")]
mod arm;
mod dot;
mod mix;
mod portable;
mod simd;
mod softmax;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

/// What `entry_points!` compiles.
mod entry {
    pub use super::dot::dot;
    pub use super::mix::mix;
    pub use super::softmax::{Group, SoftmaxSums, exp_all, softmax_sums};
}

use std::sync::OnceLock;

use half::f16;
pub use simd::LANES;
pub use softmax::{Group, MAX_COLUMNS, SoftmaxSums};

/// Dot products of rows `[R, width]` with vectors `[V, width]` into `out[v * stride + r]`.
type Dot<E> = fn(rows: &[E], width: usize, vectors: &[f32], out: &mut [f32], stride: usize);

/// Rows `[R, width]` in the given shares `[R]`, added to `base` `[width]`, into `out` `[width]`.
type Mix<E> = fn(rows: &[E], factors: &[f32], base: &[f32], out: &mut [f32]);

/// The kernels of one instruction set.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// The instruction set.
    pub name: &'static str,
    /// [`dot::dot`] over f32 rows.
    pub dot_f32: Dot<f32>,
    /// [`dot::dot`] over f16 rows, which must be finite.
    pub dot_f16: Dot<f16>,
    /// [`dot::dot`] over i8 rows, their scales left out.
    pub dot_i8: Dot<i8>,
    /// [`mix::mix`] over f32 rows.
    pub mix_f32: Mix<f32>,
    /// [`mix::mix`] over f16 rows, which must be finite.
    pub mix_f16: Mix<f16>,
    /// [`mix::mix`] over i8 rows, their scales left out.
    pub mix_i8: Mix<i8>,
    /// [`softmax::exp_all`].
    pub exp_all: fn(x: &[f32], shift: f32, scale: f32, out: &mut [f32]),
    /// [`softmax::softmax_sums`].
    pub softmax_sums: fn(matrix: SoftmaxSums<'_>, groups: &[Group], out: &mut [f32], stride: usize),
}

/// The kernels this CPU can run, best first; the portable ones are last.
fn available() -> impl Iterator<Item = Kernels> {
    #[cfg(target_arch = "x86_64")]
    let special = [x86::avx512::detect(), x86::avx2::detect()];
    #[cfg(target_arch = "aarch64")]
    let special = [arm::detect()];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let special: [Option<Kernels>; 0] = [];
    special.into_iter().flatten().chain([portable::KERNELS])
}

/// The best kernels for this CPU.
pub fn kernels() -> &'static Kernels {
    static BEST: OnceLock<Kernels> = OnceLock::new();
    BEST.get_or_init(|| available().next().unwrap_or(portable::KERNELS))
}
