//! The device that a frame encoder runs on: the CPU with our own operators, or a GPU with those of the network runtime.

use std::sync::Once;

use serde::{Deserialize, Serialize};
use tract_core::internal::{Runtime, runtime_for_name};
#[cfg(any(feature = "cuda-12000", feature = "cuda-13000"))]
use tract_cuda as _;
#[cfg(all(feature = "metal", target_os = "macos"))]
use tract_metal as _;

use crate::encoder::onnx::load::Target;
use crate::encoder::onnx::panic_guard::{catch_panics, one_line};

/// The device to run frame encoders on. The small networks behind them always run on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU if this build can use one and it works, otherwise the CPU.
    Auto,
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An Apple GPU.
    Metal,
}

/// The resources of a frame encoder.
#[derive(Clone, Copy, Debug)]
pub struct Compute {
    /// CPU threads, at least 1.
    pub threads: usize,
    /// The device.
    pub device: Device,
}

impl From<usize> for Compute {
    /// Returns that many threads of the CPU.
    fn from(threads: usize) -> Self {
        Self { threads, device: Device::Cpu }
    }
}

/// The GPUs that this build can use.
const SUPPORTED: &[Device] = &[
    #[cfg(any(feature = "cuda-12000", feature = "cuda-13000"))]
    Device::Cuda,
    #[cfg(all(feature = "metal", target_os = "macos"))]
    Device::Metal,
];

impl Device {
    /// Returns the name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }

    /// Checks whether networks can run on this device.
    ///
    /// # Errors
    /// A sentence with the reason and the remedy.
    pub fn check(self) -> Result<(), String> {
        self.gpu().map(drop)
    }

    /// Returns the GPU to run on, `None` for the CPU.
    ///
    /// # Errors
    /// As [`Device::check`].
    pub(super) fn gpu(self) -> Result<Option<Gpu>, String> {
        match self {
            Self::Cpu => Ok(None),
            Self::Cuda | Self::Metal => Gpu::find(self).map(Some),
            Self::Auto => {
                let mut reasons = Vec::new();
                for device in SUPPORTED {
                    match Gpu::find(*device) {
                        Ok(gpu) => return Ok(Some(gpu)),
                        Err(reason) => reasons.push(reason),
                    }
                }
                if reasons.is_empty() {
                    log_once(|| log::info!("running on the CPU: this build supports no GPU (docs/devices.md)"));
                } else {
                    log_once(|| log::warn!("running on the CPU: {}", reasons.join("; ")));
                }
                Ok(None)
            }
        }
    }

    /// Returns how to make a build that supports the device.
    fn build_command(self) -> &'static str {
        match self {
            Self::Metal => "build it on macOS with `cargo build --release --features metal`",
            _ => {
                "build it with `cargo build --release --features cuda-13000` (CUDA 13) or `cuda-12000` (CUDA 12, Jetson)"
            }
        }
    }
}

/// Logs once why `auto` chose the CPU, however many networks are loaded.
fn log_once(log: impl FnOnce()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(log);
}

/// A GPU that works.
#[derive(Clone, Copy)]
pub(super) struct Gpu {
    device: Device,
    runtime: &'static dyn Runtime,
}

impl Gpu {
    /// Opens a GPU.
    fn find(device: Device) -> Result<Self, String> {
        let name = device.name();
        if !SUPPORTED.contains(&device) {
            return Err(format!("this build cannot use {name}; {}, or use device cpu", device.build_command()));
        }
        let runtime = catch_panics(|| runtime_for_name(name).map_err(|e| one_line(&format!("{e:#}"))));
        match runtime {
            Ok(Some(runtime)) => Ok(Self { device, runtime }),
            Ok(None) => {
                Err(format!("the network runtime has no {name}; {}, or use device cpu", device.build_command()))
            }
            Err(reason) => Err(format!(
                "no {name} device can be used ({reason}); install its driver and libraries (docs/devices.md), or use \
                 device cpu"
            )),
        }
    }

    /// Returns the target to load a network for.
    pub(super) fn target(self) -> Target {
        Target::Gpu { name: self.device.name(), runtime: self.runtime }
    }

    /// Logs why a network that cannot run on the GPU runs on the CPU.
    pub(super) fn warn_fallback(self, problem: &str) {
        log_once(|| log::warn!("running on the CPU, as {} failed: {problem}", self.device.name()));
    }
}
