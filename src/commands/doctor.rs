//! `doctor`: what this machine has.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::doctor_profile::Fit;
use crate::bundle::{Bundle, BundleRef};
use crate::cli::args::DoctorArgs;
use crate::encoder::Device;
use crate::error::Result;
use crate::health::Machine;
use crate::output::{JsonLines, output_error};

#[derive(Serialize)]
struct Report {
    schema: u32,
    version: &'static str,
    #[serde(flatten)]
    machine: Machine,
    h264: bool,
    fit: Fit,
    /// What `--device` can be on this machine with this build.
    devices: Vec<&'static str>,
    /// The bundle inside this binary, or why it cannot be used.
    bundle: std::result::Result<String, String>,
}

/// Prints what there is, and what is missing for what.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let bundle = Bundle::open(&BundleRef::Embedded);
    let bundle = bundle.map(|b| format!("{} {}", b.manifest.name, b.manifest.version)).map_err(|e| e.to_string());
    let sound = bundle.is_ok();
    let machine = Machine::look();
    let usable = [Device::Cpu, Device::Cuda, Device::Metal].into_iter().filter(|device| device.check().is_ok());
    let report = Report {
        schema: 1,
        version: env!("CARGO_PKG_VERSION"),
        fit: Fit::new(&args.profile, &machine)?,
        machine,
        h264: cfg!(feature = "h264"),
        devices: usable.map(Device::name).collect(),
        bundle,
    };
    if args.json {
        JsonLines::new(std::io::stdout().lock()).write(&report)?;
    } else {
        print(&report).map_err(output_error)?;
    }
    // A profile that was asked for is a promise to be kept; the one that was guessed is a hint.
    let fits = args.profile == "auto" || report.fit.is_met();
    Ok(if sound && fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) -> std::io::Result<()> {
    let machine = &report.machine;
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{value}");
    line("bike-edge", report.version)?;
    if let Some(board) = &machine.board {
        line("board", board)?;
    }
    line("cpu", &format!("{} ({})", machine.cpu.as_deref().unwrap_or("unknown"), machine.arch))?;
    line("features", &or_none(machine.cpu_features.join(" "), "none that a kernel could use"))?;
    line("kernels", crate::table::instruction_set())?;
    line("threads", &machine.threads.to_string())?;
    if let (Some(total), Some(free)) = (machine.memory_total, machine.memory_available) {
        line("memory", &format!("{:.1} GiB, {:.1} GiB available", gib(total), gib(free)))?;
    }
    if let Some(celsius) = machine.temperature_c {
        line("hottest", &format!("{celsius:.0} °C"))?;
    }
    let h264 = if report.h264 { "H.264 in MP4, GIF, stills, y4m" } else { "GIF, stills, y4m (built without H.264)" };
    line("decodes", h264)?;
    let no_ffmpeg = "not found; install it for AVI, MKV, WebM and RTSP (apt install ffmpeg)";
    line("ffmpeg", machine.ffmpeg.as_deref().unwrap_or(no_ffmpeg))?;
    let cameras: Vec<_> = machine.cameras.iter().map(|c| format!("{} ({})", c.device, c.name)).collect();
    line("cameras", &or_none(cameras.join(", "), "none that Linux drives; `bike-edge camera list` says more"))?;
    line("gpu", &or_none(machine.gpus.join(", "), "none"))?;
    line("devices", &report.devices.join(", "))?;
    line("profile", &format!("{} ({})", report.fit.profile, report.fit.title))?;
    for check in &report.fit.checks {
        line(&format!("  {}", check.what), &format!("{}{}", if check.met { "" } else { "NOT MET: " }, check.told))?;
    }
    match &report.bundle {
        Ok(name) => line("bundle", &format!("{name}, sound")),
        Err(problem) => line("bundle", problem),
    }
}

fn or_none(text: String, none: &str) -> String {
    if text.is_empty() { none.to_owned() } else { text }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
