//! Where a frame encoder runs: on the CPU with our own operators, or on a GPU with the network runtime's.

use std::sync::Once;

use tract_core::internal::{RunOptions, Runnable, Runtime, TypedModel, runtime_for_name};
#[cfg(any(feature = "cuda-12000", feature = "cuda-13000"))]
use tract_cuda as _;
#[cfg(all(feature = "metal", target_os = "macos"))]
use tract_metal as _;

use super::caught::{caught, one_line};

/// What to run frame encoders on. The small networks behind them always run on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A GPU where this build can use one and it works, else the CPU.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An Apple GPU.
    Metal,
}

/// What a frame encoder computes with.
#[derive(Clone, Copy, Debug)]
pub struct Compute {
    /// CPU threads, at least 1.
    pub threads: usize,
    /// The device.
    pub device: Device,
}

/// That many threads of the CPU.
impl From<usize> for Compute {
    fn from(threads: usize) -> Self {
        Self { threads, device: Device::Cpu }
    }
}

/// GPUs that this build can use.
const BUILT: &[Device] = &[
    #[cfg(any(feature = "cuda-12000", feature = "cuda-13000"))]
    Device::Cuda,
    #[cfg(all(feature = "metal", target_os = "macos"))]
    Device::Metal,
];

impl Device {
    /// As typed and said.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }

    /// Whether networks can run there.
    ///
    /// # Errors
    /// A sentence with the reason and the remedy.
    pub fn check(self) -> Result<(), String> {
        self.gpu().map(drop)
    }

    /// The GPU to run on, None for the CPU.
    ///
    /// # Errors
    /// As [`Device::check`].
    pub(super) fn gpu(self) -> Result<Option<Gpu>, String> {
        match self {
            Self::Cpu => Ok(None),
            Self::Cuda | Self::Metal => Gpu::find(self).map(Some),
            Self::Auto => {
                let mut reasons = Vec::new();
                for device in BUILT {
                    match Gpu::find(*device) {
                        Ok(gpu) => return Ok(Some(gpu)),
                        Err(reason) => reasons.push(reason),
                    }
                }
                if reasons.is_empty() {
                    said_once(|| log::info!("running on the CPU: this build uses no GPU (docs/devices.md)"));
                } else {
                    said_once(|| log::warn!("running on the CPU: {}", reasons.join("; ")));
                }
                Ok(None)
            }
        }
    }

    /// How to get a build that can use it.
    fn build(self) -> &'static str {
        match self {
            Self::Metal => "build it on macOS with `cargo build --release --features metal`",
            _ => {
                "build it with `cargo build --release --features cuda-13000` (CUDA 13) or `cuda-12000` (CUDA 12, Jetson)"
            }
        }
    }
}

/// Says why `auto` took the CPU, once however many networks are loaded.
fn said_once(say: impl FnOnce()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(say);
}

/// A GPU that answered.
#[derive(Clone, Copy)]
pub(super) struct Gpu {
    device: Device,
    runtime: &'static dyn Runtime,
}

impl Gpu {
    fn find(device: Device) -> Result<Self, String> {
        let name = device.name();
        if !BUILT.contains(&device) {
            return Err(format!("this build cannot use {name}; {}, or use --device cpu", device.build()));
        }
        let runtime = caught(|| runtime_for_name(name).map_err(|e| one_line(&format!("{e:#}"))));
        match runtime {
            Ok(Some(runtime)) => Ok(Self { device, runtime }),
            Ok(None) => Err(format!("the network runtime has no {name}; {}, or use --device cpu", device.build())),
            Err(reason) => Err(format!(
                "no {name} device can be used ({reason}); install its driver and libraries (docs/devices.md), or use \
                 --device cpu"
            )),
        }
    }

    /// A model made ready to run there.
    ///
    /// # Errors
    /// The runtime's reason.
    pub(super) fn prepare(self, model: TypedModel) -> Result<Box<dyn Runnable>, String> {
        let failed = |e| format!("{} cannot run it ({})", self.device.name(), one_line(&format!("{e:#}")));
        let runnable = self.runtime.prepare_with_options(model, &RunOptions::default()).map_err(failed)?;
        log::info!("running on {}", self.device.name());
        Ok(runnable)
    }

    /// Why a network that cannot run there runs on the CPU.
    pub(super) fn given_up(self, problem: &str) {
        said_once(|| log::warn!("running on the CPU, as {} failed: {problem}", self.device.name()));
    }
}
