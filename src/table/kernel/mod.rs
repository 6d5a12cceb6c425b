//! Kernels over tables, selected once for the CPU: AVX-512, AVX2, NEON or plain Rust.

#[cfg(target_arch = "aarch64")]
mod arm;
mod loops;
mod portable;
mod simd;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use loops::Kernels;
pub use loops::{Group, MAX_COLUMNS, SoftmaxSums};
pub use simd::LANES;

/// Returns the kernels that this CPU can run, fastest first; the portable ones are last.
fn available() -> impl Iterator<Item = Kernels> {
    #[cfg(target_arch = "x86_64")]
    let specific = [x86::avx512::detect(), x86::avx2::detect()];
    #[cfg(target_arch = "aarch64")]
    let specific = [arm::detect()];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let specific: [Option<Kernels>; 0] = [];
    specific.into_iter().flatten().chain([portable::KERNELS])
}

/// Returns the fastest kernels for this CPU.
pub fn kernels() -> &'static Kernels {
    static BEST: OnceLock<Kernels> = OnceLock::new();
    BEST.get_or_init(|| available().next().unwrap_or(portable::KERNELS))
}
