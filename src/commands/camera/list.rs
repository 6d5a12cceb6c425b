//! `camera list`: which cameras there are and what they offer.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::error::Result;
use crate::output::{JsonLines, output_error};
use crate::source::camera::{self, CameraInfo, SizeInfo};

#[derive(Serialize)]
struct Cameras {
    schema: u32,
    cameras: Vec<CameraInfo>,
}

/// Prints all cameras; none is no fault.
pub fn run(json: bool) -> Result<ExitCode> {
    let cameras = camera::list()?;
    if json {
        JsonLines::new(std::io::stdout().lock()).write(&Cameras { schema: 1, cameras })?;
    } else {
        print(&cameras).map_err(output_error)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(cameras: &[CameraInfo]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if cameras.is_empty() {
        log::warn!("there are no cameras here; a CSI camera may need rpicam-vid through a pipe (docs/cameras.md)");
    }
    for camera in cameras {
        writeln!(out, "{}  {} ({})", camera.device.display(), camera.name, camera.driver)?;
        for id in &camera.ids {
            writeln!(out, "  camera:{id}")?;
        }
        for mode in &camera.modes {
            for size in &mode.sizes {
                writeln!(out, "  {:<6} {}", mode.format.to_string(), described(size))?;
            }
        }
        if !camera.other_formats.is_empty() {
            writeln!(out, "  not read here: {}", camera.other_formats.join(", "))?;
        }
        if let Some(problem) = &camera.problem {
            writeln!(out, "  cannot be used: {problem}")?;
        }
    }
    Ok(())
}

fn described(size: &SizeInfo) -> String {
    let ((w, h), (max_w, max_h)) = (size.min, size.max);
    let range = if size.min == size.max { format!("{w}x{h}") } else { format!("{w}x{h} to {max_w}x{max_h}") };
    let rates: Vec<String> = size.rates.iter().map(|rate| format!("{}", (rate * 10.0).round() / 10.0)).collect();
    if rates.is_empty() { range } else { format!("{range:<24} at {} frames a second", rates.join(", ")) }
}
