//! `camera test`: reads frames for a while and says what became of them.

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::args::{CameraArgs, PictureArgs};
use crate::config::PictureSettings;
use crate::error::Result;
use crate::output::{JsonLines, output_error};
use crate::source::{LiveCounts, Moment};

/// The outcome, schema 1.
#[derive(Serialize)]
struct Outcome {
    schema: u32,
    camera: String,
    format: String,
    width: u32,
    height: u32,
    /// What the camera was set to.
    fps: Option<f64>,
    /// Seconds from the first call to the last.
    seconds: f64,
    /// Frames that were looked at.
    taken: u64,
    /// Taken frames a second of stream time.
    fps_taken: Option<f64>,
    /// Times that the source was lost.
    losses: u64,
    #[serde(flatten)]
    counts: LiveCounts,
}

/// Reads for `seconds`; fails where not one frame could be looked at.
pub fn run(camera: &OsStr, seconds: f64, json: bool, mode: &CameraArgs, picture: &PictureArgs) -> Result<ExitCode> {
    let mut live = super::open(camera, mode, &PictureSettings::new(picture)?)?;
    let (began, mut taken, mut losses, mut first, mut last) = (Instant::now(), 0_u64, 0, 0.0, 0.0);
    loop {
        let left = seconds - began.elapsed().as_secs_f64();
        if left <= 0.0 {
            break;
        }
        match live.newest(0.0, Duration::from_secs_f64(left))? {
            Moment::Frame(frame) => {
                if taken == 0 {
                    first = frame.time;
                }
                taken += 1;
                last = frame.time;
            }
            Moment::Lost(_) => losses += 1,
            Moment::Waiting => {}
            Moment::Ended => break,
        }
    }
    let (info, counts) = (live.info().clone(), live.counts());
    let outcome = Outcome {
        schema: 1,
        camera: super::super::shown(camera),
        format: info.format,
        width: info.width,
        height: info.height,
        fps: info.fps,
        seconds: (began.elapsed().as_secs_f64() * 1e3).round() / 1e3,
        taken,
        fps_taken: (last > first).then(|| ((taken - 1) as f64 / (last - first) * 100.0).round() / 100.0),
        losses,
        counts,
    };
    if json {
        JsonLines::new(std::io::stdout().lock()).write(&outcome)?;
    } else {
        print(&outcome).map_err(output_error)?;
    }
    Ok(if outcome.taken > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(outcome: &Outcome) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{value}");
    line("camera", &outcome.camera)?;
    let fps = outcome.fps.map(|fps| format!(" at {fps:.1} frames a second")).unwrap_or_default();
    line("mode", &format!("{} {}x{}{fps}", outcome.format, outcome.width, outcome.height))?;
    let seen = outcome.fps_taken.map(|fps| format!(", {fps:.1} a second")).unwrap_or_default();
    line("taken", &format!("{} frames in {:.1} s{seen}", outcome.taken, outcome.seconds))?;
    let counts = &outcome.counts;
    line("captured", &counts.captured.to_string())?;
    line("dropped", &counts.dropped.to_string())?;
    line("damaged", &format!("{} corrupt, {} short", counts.corrupt, counts.short))?;
    line(
        "lost",
        &format!("{} times, {} by time-out, {} times back", outcome.losses, counts.timeouts, counts.reconnects),
    )
}
