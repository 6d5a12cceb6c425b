//! The machine around the processor: memory, heat, cameras, GPU, ffmpeg.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::cpu;
use super::thermal::ThermalZones;

/// What `doctor` tells.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The board, where a device tree names it.
    pub board: Option<String>,
    /// The processor.
    pub cpu: Option<String>,
    /// Architecture this binary was built for.
    pub arch: &'static str,
    /// Instructions our kernels care for.
    pub cpu_features: Vec<&'static str>,
    /// Cores this process may use.
    pub threads: usize,
    /// Bytes of memory.
    pub memory_total: Option<u64>,
    /// Bytes that programs may still take.
    pub memory_available: Option<u64>,
    /// Hottest sensor, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// First line of `ffmpeg -version`.
    pub ffmpeg: Option<String>,
    /// V4L2 devices.
    pub cameras: Vec<Camera>,
    /// GPUs that are there, whether or not this binary can use them.
    pub gpus: Vec<String>,
}

/// A V4L2 device.
#[derive(Clone, Debug, Serialize)]
pub struct Camera {
    /// Its device file.
    pub device: String,
    /// What its driver calls it.
    pub name: String,
}

impl Machine {
    /// Looks around.
    pub fn look() -> Self {
        Self {
            board: board_model(),
            cpu: cpu::model(),
            arch: std::env::consts::ARCH,
            cpu_features: cpu::features(),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_total: meminfo("MemTotal:"),
            memory_available: meminfo("MemAvailable:"),
            temperature_c: ThermalZones::default().hottest_c(),
            ffmpeg: ffmpeg_version(),
            cameras: cameras(),
            gpus: gpus(),
        }
    }
}

/// The board, where a device tree names it.
pub fn board_model() -> Option<String> {
    text("/proc/device-tree/model")
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}

fn meminfo(key: &str) -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Paths in a folder of /sys or /dev, sorted; none where the folder is not there.
fn entries(folder: &str) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn ffmpeg_version() -> Option<String> {
    let output = Command::new("ffmpeg").arg("-version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

fn cameras() -> Vec<Camera> {
    let device = |path: &std::path::PathBuf| {
        let name = text(path.join("name"))?;
        Some(Camera { device: format!("/dev/{}", path.file_name()?.to_string_lossy()), name })
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
