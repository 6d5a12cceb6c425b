//! The choice of the kernels that networks compute with on this processor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::bf16::Bf16;
#[cfg(target_arch = "aarch64")]
use super::int8_aarch64;
use super::int8_kernel::{Kernel, PORTABLE};
#[cfg(target_arch = "x86_64")]
use super::int8_x86_64;
use super::level::SimdLevel;
use super::threads::{MAX_THREADS, ThreadPool};

/// All int8 kernels of this target, best first. The last one always works.
static KERNELS: &[&Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    &int8_x86_64::AVX512_VNNI,
    #[cfg(target_arch = "x86_64")]
    &int8_x86_64::AVX_VNNI,
    #[cfg(all(target_arch = "x86_64", test))]
    &int8_x86_64::AVX512_VNNI_256,
    #[cfg(target_arch = "x86_64")]
    &int8_x86_64::AVX2,
    #[cfg(target_arch = "aarch64")]
    &int8_aarch64::I8MM,
    #[cfg(target_arch = "aarch64")]
    &int8_aarch64::SDOT,
    #[cfg(target_arch = "aarch64")]
    &int8_aarch64::NEON,
    &PORTABLE,
];

/// Returns the fastest int8 kernel that this processor can run.
fn best_kernel() -> &'static Kernel {
    KERNELS.iter().find(|k| k.supported()).unwrap_or(&&PORTABLE)
}

/// Returns the int8 kernel of that name.
///
/// # Errors
/// A sentence with the reason and with the kernels that this processor can run.
pub(crate) fn kernel_named(name: &str) -> Result<&'static Kernel, String> {
    let list = || supported_kernels().map(Kernel::name).collect::<Vec<_>>().join(", ");
    match KERNELS.iter().find(|k| k.name() == name) {
        Some(kernel) if kernel.supported() => Ok(kernel),
        Some(_) => Err(format!("kernel {name} needs instructions that this processor lacks; it can run {}", list())),
        None => Err(format!("there is no kernel {name} in this build; this processor can run {}", list())),
    }
}

/// Returns every int8 kernel that this processor can run, best first.
pub(crate) fn supported_kernels() -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().copied().filter(|k| k.supported())
}

/// The kernel set by [`force_kernel`].
static FORCED: OnceLock<&'static Kernel> = OnceLock::new();

/// Makes all networks that are loaded from now on use the int8 kernel of that name instead of the best one, for tests
/// and comparisons. Call it once, before the first network is loaded; a second call changes nothing.
///
/// # Errors
/// A sentence with the kernels that this processor can run, if it cannot run that one or there is none of that name.
pub fn force_kernel(name: &str) -> Result<(), String> {
    let kernel = kernel_named(name)?;
    FORCED.get_or_init(|| kernel);
    Ok(())
}

/// Returns the name of the int8 kernel that networks loaded from now on use: the best one for this processor, or the
/// one set by [`force_kernel`].
pub fn int8_kernel_name() -> &'static str {
    FORCED.get().copied().unwrap_or_else(best_kernel).name()
}

/// How attention and patch embedding of int8 networks are computed. Everything else is int8 or f32, as in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// In bfloat16 with f32 sums on processors on which that is faster (AVX-512 BF16), in f32 elsewhere.
    #[default]
    Fast,
    /// In f32 everywhere.
    Full,
}

/// The kernels and threads that all operators of a network share.
#[derive(Debug)]
pub(crate) struct CpuContext {
    /// For int8 linear layers.
    pub(crate) kernel: &'static Kernel,
    /// For f32 work.
    pub(crate) level: SimdLevel,
    /// For bfloat16 products, if [`Precision::Fast`] was chosen and the processor has the instructions.
    pub(crate) bf16: Option<Bf16>,
    /// The threads.
    pub(crate) pool: ThreadPool,
}

impl CpuContext {
    /// Creates a context of `threads` threads with `kernel`, or with the best kernel of this processor if `None`.
    pub(crate) fn new(threads: usize, kernel: Option<&'static Kernel>, precision: Precision) -> std::io::Result<Self> {
        let best = SimdLevel::detect();
        let kernel = kernel.unwrap_or_else(best_kernel);
        let level = kernel.level(best);
        let bf16 = if precision == Precision::Fast { Bf16::detect(level) } else { None };
        Ok(Self { kernel, level, bf16, pool: ThreadPool::new(threads)? })
    }

    /// Returns the context of that many threads and that precision. All loaded networks share it, so that they share
    /// its threads too.
    pub(crate) fn shared(threads: usize, precision: Precision) -> std::io::Result<Arc<Self>> {
        static CONTEXTS: Mutex<BTreeMap<(usize, Precision), Weak<CpuContext>>> = Mutex::new(BTreeMap::new());
        let key = (threads.clamp(1, MAX_THREADS), precision);
        let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = contexts.get(&key).and_then(Weak::upgrade) {
            return Ok(context);
        }
        let context = Arc::new(Self::new(key.0, FORCED.get().copied(), precision)?);
        contexts.insert(key, Arc::downgrade(&context));
        Ok(context)
    }
}

impl PartialEq for CpuContext {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for CpuContext {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_cannot_run_here_is_refused_with_those_that_can() {
        assert_eq!(kernel_named("portable").map(Kernel::name), Ok("portable"));
        let refusal = kernel_named("abacus").map(Kernel::name).unwrap_err();
        assert!(refusal.contains("abacus") && refusal.contains("portable"), "{refusal}");
    }

    #[test]
    fn the_best_kernel_is_the_first_supported_one() {
        assert_eq!(Some(best_kernel().name()), supported_kernels().next().map(Kernel::name));
        assert!(supported_kernels().any(|kernel| kernel.name() == int8_kernel_name()));
    }
}
