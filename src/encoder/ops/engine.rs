//! What every operator of ours computes with: kernels fit for this processor, and threads.

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
    pub(crate) pool: Pool,
}

impl Engine {
    /// An engine of `threads` threads, with `kernel` or, when None, the best for this processor.
    pub(crate) fn new(threads: usize, kernel: Option<&'static Kernel>) -> std::io::Result<Self> {
        let best = Level::detect();
        let kernel = kernel.unwrap_or_else(Kernel::best);
        Ok(Self { kernel, level: kernel.level(best), pool: Pool::new(threads)? })
    }
}

impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for Engine {}
