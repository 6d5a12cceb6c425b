//! `camera`: lists and tests cameras, and takes pictures.

mod snapshot;

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bike_edge::Result;
use bike_edge::io::{IfExists, shown_input};
use bike_edge::output::{JsonLines, output_error};
use bike_edge::source::{CameraInfo, LiveCounts, LiveUpdate, SizeInfo, list_cameras, open_live};
use bike_edge::units::{check_range, rounded};
use serde::Serialize;

use crate::cli::{CameraCommand, FlagSet, Overrides};
use crate::config::CommandSettings;

/// Runs one of the camera commands.
pub fn run(command: &CameraCommand) -> Result<ExitCode> {
    match command {
        CameraCommand::List { json } => list(*json),
        CameraCommand::Snapshot { camera, file, force, after, settings } => {
            check_range("--after", *after, 0.0..=86_400.0, "seconds")?;
            let if_exists = if *force { IfExists::Replace } else { IfExists::Fail };
            snapshot::run(camera, file, if_exists, *after, &resolve(settings)?)
        }
        CameraCommand::Test { camera, seconds, json, settings } => {
            check_range("--seconds", *seconds, 0.0..=86_400.0, "seconds")?;
            test(camera, *seconds, *json, &resolve(settings)?)
        }
    }
}

fn resolve<S: FlagSet>(flags: &Overrides<S>) -> Result<CommandSettings> {
    CommandSettings::resolve(flags.table()?, None)
}

#[derive(Serialize)]
struct Cameras {
    schema: u32,
    cameras: Vec<CameraInfo>,
}

/// Prints all cameras. Succeeds also if there is none.
fn list(json: bool) -> Result<ExitCode> {
    let cameras = list_cameras()?;
    if json {
        JsonLines::new(std::io::stdout().lock()).write(&Cameras { schema: 1, cameras })?;
    } else {
        print_list(&cameras).map_err(output_error)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_list(cameras: &[CameraInfo]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if cameras.is_empty() {
        log::warn!("no camera was found; a CSI camera may need rpicam-vid and a pipe (docs/cameras.md)");
    }
    for camera in cameras {
        writeln!(out, "{}  {} ({})", camera.device.display(), camera.name, camera.driver)?;
        for id in &camera.ids {
            writeln!(out, "  camera:{id}")?;
        }
        for mode in &camera.modes {
            for size in &mode.sizes {
                writeln!(out, "  {:<6} {}", mode.format.to_string(), describe(size))?;
            }
        }
        if !camera.other_formats.is_empty() {
            writeln!(out, "  not supported: {}", camera.other_formats.join(", "))?;
        }
        if let Some(problem) = &camera.problem {
            writeln!(out, "  cannot be used: {problem}")?;
        }
    }
    Ok(())
}

fn describe(size: &SizeInfo) -> String {
    let ((w, h), (max_w, max_h)) = (size.min, size.max);
    let range = if size.min == size.max { format!("{w}x{h}") } else { format!("{w}x{h} to {max_w}x{max_h}") };
    let rates: Vec<String> = size.rates.iter().map(|rate| format!("{}", (rate * 10.0).round() / 10.0)).collect();
    if rates.is_empty() { range } else { format!("{range:<24} at {} frames per second", rates.join(", ")) }
}

/// The outcome, schema 1.
#[derive(Serialize)]
struct Outcome {
    schema: u32,
    camera: String,
    format: String,
    width: u32,
    height: u32,
    /// The rate that the camera was set to.
    fps: Option<f64>,
    /// Seconds from the start to the end.
    seconds: f64,
    /// Frames that were read.
    taken: u64,
    /// Frames read per second of stream time.
    fps_taken: Option<f64>,
    /// How often the connection was lost.
    losses: u64,
    #[serde(flatten)]
    counts: LiveCounts,
}

/// Reads for `seconds`. Fails if no frame could be read.
fn test(camera: &OsStr, seconds: f64, json: bool, settings: &CommandSettings) -> Result<ExitCode> {
    let mut live = open_live(camera, &settings.live_options())?;
    let (started, mut taken, mut losses, mut first, mut last) = (Instant::now(), 0_u64, 0, 0.0, 0.0);
    loop {
        let left = seconds - started.elapsed().as_secs_f64();
        if left <= 0.0 {
            break;
        }
        match live.newest(0.0, Duration::from_secs_f64(left))? {
            LiveUpdate::Frame(frame) => {
                if taken == 0 {
                    first = frame.time;
                }
                taken += 1;
                last = frame.time;
            }
            LiveUpdate::Lost(_) => losses += 1,
            LiveUpdate::NoFrame => {}
            LiveUpdate::Ended => break,
        }
    }
    let (info, counts) = (live.info().clone(), live.counts());
    let outcome = Outcome {
        schema: 1,
        camera: shown_input(camera),
        format: info.format,
        width: info.width,
        height: info.height,
        fps: info.fps,
        seconds: rounded(started.elapsed().as_secs_f64(), 3),
        taken,
        fps_taken: (last > first).then(|| rounded((taken - 1) as f64 / (last - first), 2)),
        losses,
        counts,
    };
    if json {
        JsonLines::new(std::io::stdout().lock()).write(&outcome)?;
    } else {
        print_outcome(&outcome).map_err(output_error)?;
    }
    Ok(if outcome.taken > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_outcome(outcome: &Outcome) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{value}");
    line("camera", &outcome.camera)?;
    let fps = outcome.fps.map(|fps| format!(" at {fps:.1} frames per second")).unwrap_or_default();
    line("mode", &format!("{} {}x{}{fps}", outcome.format, outcome.width, outcome.height))?;
    let rate = outcome.fps_taken.map(|fps| format!(", {fps:.1} per second")).unwrap_or_default();
    line("read", &format!("{} frames in {:.1} s{rate}", outcome.taken, outcome.seconds))?;
    let counts = &outcome.counts;
    line("captured", &counts.captured.to_string())?;
    line("dropped", &counts.dropped.to_string())?;
    line("damaged", &format!("{} corrupt, {} short", counts.corrupt, counts.short))?;
    line(
        "lost",
        &format!("{} times, {} by timeout, {} times reconnected", outcome.losses, counts.timeouts, counts.reconnects),
    )
}
