//! What every operator of ours computes with: kernels fit for this processor, and threads.

use super::bf16::Bf16;
use super::level::Level;
use super::pool::Pool;
use crate::encoder::qlinear::kernel::Kernel;

/// Kernels and threads, shared by all operators of one network.
#[derive(Debug)]
pub(crate) struct Engine {
    /// For int8 linears.
    pub(crate) kernel: &'static Kernel,
    /// For f32 work.
    pub(crate) level: Level,
    /// For attention and patch embedding, where it is wanted and there.
    pub(crate) bf16: Option<Bf16>,
    pub(crate) pool: Pool,
}

/// How attention and patch embedding are computed; everything else is int8 or f32 as the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In bfloat16 with f32 sums on processors that are faster so (AVX-512 BF16), in f32 elsewhere.
    #[default]
    Fast,
    /// In f32 everywhere.
    Full,
}

impl Engine {
    /// An engine of `threads` threads, with `kernel` or, when None, the best for this processor.
    pub(crate) fn new(threads: usize, kernel: Option<&'static Kernel>, precision: Precision) -> std::io::Result<Self> {
        let best = Level::detect();
        let kernel = kernel.unwrap_or_else(Kernel::best);
        let level = kernel.level(best);
        let bf16 = if precision == Precision::Fast { Bf16::detect(level) } else { None };
        Ok(Self { kernel, level, bf16, pool: Pool::new(threads)? })
    }
}

impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for Engine {}
