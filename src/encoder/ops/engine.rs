//! What every operator of ours computes with: kernels fit for this processor, and threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::bf16::Bf16;
use super::level::Level;
use super::pool::Pool;
use crate::encoder::limits;
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

/// How attention and patch embedding of int8 networks are computed; everything else is int8 or f32 as the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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

/// The kernel that every engine made from now on uses, see [`force_kernel`].
static FORCED: OnceLock<&'static Kernel> = OnceLock::new();

/// Has all networks that are loaded from now on use the integer kernel of that name instead of the best one, for tests
/// and comparisons. To be called once, before the first network is loaded.
///
/// # Errors
/// A sentence with the kernels that this processor can run, when it cannot run that one or there is none.
pub fn force_kernel(name: &str) -> Result<(), String> {
    let kernel = Kernel::named(name)?;
    // A second call changes nothing.
    FORCED.get_or_init(|| kernel);
    Ok(())
}

/// The engine of that many threads and that precision, shared by all networks that are alive, so that they share its
/// threads too.
pub(crate) fn engine(threads: usize, precision: Precision) -> std::io::Result<Arc<Engine>> {
    static ENGINES: Mutex<BTreeMap<(usize, Precision), Weak<Engine>>> = Mutex::new(BTreeMap::new());
    let key = (threads.clamp(1, limits::THREADS), precision);
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = engines.get(&key).and_then(Weak::upgrade) {
        return Ok(engine);
    }
    let engine = Arc::new(Engine::new(key.0, FORCED.get().copied(), precision)?);
    engines.insert(key, Arc::downgrade(&engine));
    Ok(engine)
}

impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for Engine {}
