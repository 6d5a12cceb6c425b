//! Compute kernels by instruction set, the choice among them, and the threads they run on.
//!
//! Nothing here depends on an operator: f32 matrix products ([`gemm`]), bfloat16 products ([`bf16`]), depthwise
//! convolution rows ([`depthwise`]) and the int8 product with what surrounds it (`int8_*`). [`choice`] picks the best
//! kernel of this processor, or the one that was forced.

pub(crate) mod bf16;
pub(crate) mod choice;
pub(crate) mod depthwise;
pub(crate) mod gemm;
#[cfg(target_arch = "aarch64")]
mod int8_aarch64;
pub(crate) mod int8_convert;
pub(crate) mod int8_kernel;
pub(crate) mod int8_weights;
#[cfg(target_arch = "x86_64")]
mod int8_x86_64;
pub(crate) mod level;
pub(crate) mod threads;
