//! `doctor`: shows the hardware and software of this machine, and compares it with a board profile.

use std::io::Write;
use std::process::ExitCode;

use bike_edge::bundle::{Bundle, BundleRef};
use bike_edge::encoder::{Device, int8_kernel_name};
use bike_edge::health::{GovernorSpec, Machine};
use bike_edge::output::{JsonLines, output_error};
use bike_edge::source::decoded_formats;
use bike_edge::table;
use bike_edge::{Error, Result};
use serde::Serialize;

use crate::cli::DoctorArgs;
use crate::config::{MachineNeeds, Profile};

#[derive(Serialize)]
struct Report {
    schema: u32,
    version: &'static str,
    #[serde(flatten)]
    machine: Machine,
    h264: bool,
    /// The kernel of int8 networks.
    int8_kernel: &'static str,
    /// The instruction set of the kernels for embedding tables.
    table_kernels: &'static str,
    fit: ProfileFit,
    /// Values of `--device` that this build supports on this machine.
    devices: Vec<&'static str>,
    /// The bundle inside this program, or why it cannot be used.
    bundle: std::result::Result<String, String>,
}

/// Prints what was found and what is missing.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let bundle = Bundle::open(&BundleRef::Embedded);
    let bundle = bundle.map(|b| format!("{} {}", b.manifest.name, b.manifest.version)).map_err(|e| e.to_string());
    let bundle_works = bundle.is_ok();
    let machine = Machine::detect();
    let usable = [Device::Cpu, Device::Cuda, Device::Metal].into_iter().filter(|device| device.check().is_ok());
    let report = Report {
        schema: 1,
        version: env!("CARGO_PKG_VERSION"),
        int8_kernel: int8_kernel_name(),
        table_kernels: table::instruction_set(),
        fit: ProfileFit::new(&args.profile, &machine).map_err(name_profile)?,
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
    // A profile from the command line is a requirement; the detected one is only informative.
    let fits = args.profile == "auto" || report.fit.is_met();
    Ok(if bundle_works && fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Names the flag: in a configuration the profile is a key.
fn name_profile(error: Error) -> Error {
    match error {
        Error::Setting { problem, remedy, .. } => Error::setting("--profile", problem, remedy),
        other => other,
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    let machine = &report.machine;
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<14}{value}");
    line("bike-edge", report.version)?;
    if let Some(board) = &machine.board {
        line("board", board)?;
    }
    line("cpu", &format!("{} ({})", machine.cpu.as_deref().unwrap_or("unknown"), machine.arch))?;
    line("features", &or_none(machine.cpu_features.join(" "), "none that a kernel uses"))?;
    line("int8 kernel", report.int8_kernel)?;
    line("table kernels", report.table_kernels)?;
    line("threads", &machine.threads.to_string())?;
    if let (Some(total), Some(free)) = (machine.memory_total, machine.memory_available) {
        line("memory", &format!("{:.1} GiB, {:.1} GiB available", gib(total), gib(free)))?;
    }
    if let Some(celsius) = machine.temperature_c {
        line("temperature", &format!("{celsius:.0} °C"))?;
    }
    line("decodes", &decoded_formats().join(", "))?;
    let no_ffmpeg = "not found; install it for AVI, MKV, WebM and RTSP (apt install ffmpeg)";
    line("ffmpeg", machine.ffmpeg.as_deref().unwrap_or(no_ffmpeg))?;
    let cameras: Vec<_> = machine.cameras.iter().map(|c| format!("{} ({})", c.device, c.name)).collect();
    line("cameras", &or_none(cameras.join(", "), "none with a Linux driver; see `bike-edge camera list`"))?;
    line("gpu", &or_none(machine.gpus.join(", "), "none"))?;
    line("devices", &report.devices.join(", "))?;
    line("profile", &format!("{} ({})", report.fit.profile, report.fit.title))?;
    for check in &report.fit.checks {
        line(&format!("  {}", check.what), &format!("{}{}", if check.met { "" } else { "NOT MET: " }, check.detail))?;
    }
    match &report.bundle {
        Ok(name) => line("bundle", &format!("{name}, works")),
        Err(problem) => line("bundle", problem),
    }
}

fn or_none(text: String, none: &str) -> String {
    if text.is_empty() { none.to_owned() } else { text }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// How well this machine fits a profile.
#[derive(Debug, Serialize)]
struct ProfileFit {
    /// The profile's name.
    profile: &'static str,
    /// The board that it is for.
    title: String,
    /// What was checked.
    checks: Vec<Check>,
}

/// One requirement of a profile.
#[derive(Debug, Serialize)]
struct Check {
    /// What is required.
    what: &'static str,
    /// Whether it is met.
    met: bool,
    /// Details, with the remedy if it is not met.
    #[serde(rename = "told")]
    detail: String,
}

impl ProfileFit {
    /// # Errors
    /// A profile that does not exist.
    fn new(profile: &str, machine: &Machine) -> Result<Self> {
        let Profile { name, needs, settings } = Profile::find(profile, machine.board.as_deref())?;
        let number = |section: &str, key: &str| settings.get(section)?.get(key).cloned();
        let threads =
            number("model", "threads").and_then(|value| value.as_integer()).and_then(|n| usize::try_from(n).ok());
        let hot_c = number("governor", "hot_c").and_then(|value| value.as_float());
        Ok(Self { profile: name, checks: checks(&needs, threads, hot_c, machine), title: needs.title })
    }

    /// Returns whether all requirements are met.
    fn is_met(&self) -> bool {
        self.checks.iter().all(|check| check.met)
    }
}

fn checks(needs: &MachineNeeds, threads: Option<usize>, hot_c: Option<f64>, machine: &Machine) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |what, met, detail: String| checks.push(Check { what, met, detail });
    if !needs.device_tree.is_empty() {
        let board = machine.board.as_deref().unwrap_or("a machine without a device tree");
        let met = needs.device_tree.iter().any(|part| board.contains(part.as_str()));
        check("board", met, if met { board.into() } else { format!("this is {board}; use --profile auto") });
    }
    let wanted = threads.unwrap_or(1).max(needs.cores.min(threads.unwrap_or(needs.cores)));
    let cores = machine.threads;
    let few = format!("{cores}, and the profile takes {wanted} threads; set model.threads = {cores}");
    check("cores", cores >= wanted, if cores >= wanted { format!("{cores}, {wanted} needed") } else { few });
    if let Some(total) = machine.memory_total {
        let mib = total >> 20;
        let met = mib >= needs.memory_mib;
        let least = needs.memory_mib;
        let few = format!("{mib} MiB, and the profile expects {least}; use a smaller bundle");
        check("memory", met, if met { format!("{mib} MiB, {least} needed") } else { few });
    }
    let missing: Vec<&str> =
        needs.features.iter().map(String::as_str).filter(|f| !machine.cpu_features.contains(f)).collect();
    if !needs.features.is_empty() {
        let detail = if missing.is_empty() {
            needs.features.join(" ")
        } else {
            format!("{} missing; kernels will be slower", missing.join(" "))
        };
        check("features", missing.is_empty(), detail);
    }
    match machine.temperature_c {
        None => check(
            "heat",
            needs.throttles_c.is_none(),
            "there is no thermal zone; the governor can use only the load".into(),
        ),
        Some(now) => {
            let limit = hot_c.unwrap_or(GovernorSpec::default().hot_c);
            let hot = format!("{now:.0} °C, and the governor slows down at {limit:.0} °C; improve the cooling");
            check(
                "heat",
                now < limit,
                if now < limit { format!("{now:.0} °C, slows down at {limit:.0} °C") } else { hot },
            );
        }
    }
    if needs.gpu {
        let met = !machine.gpus.is_empty();
        check("gpu", met, if met { machine.gpus.join(", ") } else { "none found; the CPU is used".into() });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let mut machine = Machine::detect();
        machine.board = Some("Raspberry Pi 5 Model B Rev 1.0".into());
        (machine.threads, machine.memory_total, machine.temperature_c) = (4, Some(4 << 30), Some(50.0));
        machine.cpu_features = vec!["neon", "fp16", "dotprod"];
        machine
    }

    #[test]
    fn a_board_fits_its_own_profile() {
        let fit = ProfileFit::new("auto", &machine()).unwrap();
        assert!(fit.profile == "rpi5" && fit.is_met(), "{fit:?}");
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let unmet = |change: &dyn Fn(&mut Machine)| {
            let mut machine = machine();
            change(&mut machine);
            let fit = ProfileFit::new("rpi5", &machine).unwrap();
            fit.checks.into_iter().filter(|check| !check.met).map(|check| check.what).collect::<Vec<_>>()
        };
        assert_eq!(unmet(&|m| m.threads = 2), ["cores"]);
        assert_eq!(unmet(&|m| m.memory_total = Some(1 << 30)), ["memory"]);
        assert_eq!(unmet(&|m| m.cpu_features = vec!["neon"]), ["features"]);
        assert_eq!(unmet(&|m| m.temperature_c = Some(79.0)), ["heat"]);
        assert_eq!(unmet(&|m| m.temperature_c = None), ["heat"]);
        assert_eq!(unmet(&|m| m.board = None), ["board"]);
        assert!(ProfileFit::new("rpi9", &machine()).is_err());
    }
}
