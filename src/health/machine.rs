//! Describes this machine: board, processor, memory, temperature, cameras, GPUs and ffmpeg.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::measure::ThermalZones;

/// This machine, as `doctor` reports it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The board, if the device tree names it.
    pub board: Option<String>,
    /// The processor.
    pub cpu: Option<String>,
    /// The architecture that this binary was built for.
    pub arch: &'static str,
    /// CPU features by which kernels are selected.
    pub cpu_features: Vec<&'static str>,
    /// The number of cores that this process may use.
    pub threads: usize,
    /// Total memory, bytes.
    pub memory_total: Option<u64>,
    /// Available memory, bytes.
    pub memory_available: Option<u64>,
    /// The temperature of the hottest sensor, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// The first line of `ffmpeg -version`.
    pub ffmpeg: Option<String>,
    /// The V4L2 devices.
    pub cameras: Vec<VideoDevice>,
    /// The GPUs of this machine, whether or not this binary can use them.
    pub gpus: Vec<String>,
}

/// A V4L2 device.
#[derive(Clone, Debug, Serialize)]
pub struct VideoDevice {
    /// The path of the device file.
    pub device: String,
    /// The name that the driver gives it.
    pub name: String,
}

impl Machine {
    /// Inspects this machine.
    pub fn detect() -> Self {
        Self {
            board: board_model(),
            cpu: cpu_model(),
            arch: std::env::consts::ARCH,
            cpu_features: cpu_features(),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_total: meminfo("MemTotal:"),
            memory_available: meminfo("MemAvailable:"),
            temperature_c: ThermalZones::default().hottest_c(),
            ffmpeg: ffmpeg_version(),
            cameras: video_devices(),
            gpus: gpus(),
        }
    }
}

/// Returns the name of the board, if the device tree has one.
pub fn board_model() -> Option<String> {
    read_line("/proc/device-tree/model")
}

/// Returns the names of the CPU features of this processor by which kernels are selected.
fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detect {
            ($($name:tt),*) => { $(if std::arch::is_x86_feature_detected!($name) { found.push($name); })* };
        }
        detect!("avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw", "avx512vnni", "avx512bf16");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! detect {
            ($($name:tt),*) => { $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })* };
        }
        detect!("neon", "fp16", "dotprod", "i8mm", "bf16");
    }
    found.shrink_to_fit();
    found
}

/// Returns the processor's name from /proc/cpuinfo: `model name`, or `Hardware` on ARM boards.
fn cpu_model() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |key: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == key))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    value("model name").or_else(|| value("Hardware"))
}

/// Reads a short text file; `None` if it is missing or empty.
fn read_line(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // Strings in the device tree end with a zero byte.
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}

fn meminfo(key: &str) -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Returns the paths in a folder, sorted; none if the folder does not exist.
fn entries(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn ffmpeg_version() -> Option<String> {
    let output = Command::new("ffmpeg").arg("-version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

fn video_devices() -> Vec<VideoDevice> {
    let device = |path: &PathBuf| {
        let name = read_line(path.join("name"))?;
        Some(VideoDevice { device: format!("/dev/{}", path.file_name()?.to_string_lossy()), name })
    };
    entries("/sys/class/video4linux").iter().filter_map(device).collect()
}

fn gpus() -> Vec<String> {
    let nvidia = entries("/proc/driver/nvidia/gpus").into_iter().filter_map(|gpu| {
        let info = fs::read_to_string(gpu.join("information")).ok()?;
        info.lines().find_map(|line| line.strip_prefix("Model:")).map(|model| format!("NVIDIA {}", model.trim()))
    });
    let jetson = Path::new("/dev/nvhost-gpu").exists().then(|| "NVIDIA Tegra (integrated)".to_owned());
    nvidia.chain(jetson).collect()
}
