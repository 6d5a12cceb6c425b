//! `camera snapshot`: writes one picture to a file.

use std::ffi::OsStr;
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bike_edge::io::{AtomicFile, Durability, IfExists, shown_input};
use bike_edge::picture::OwnedPicture;
use bike_edge::preprocess::upright;
use bike_edge::source::{LiveUpdate, open_live};
use bike_edge::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::config::CommandSettings;

/// JPEG quality, of 100.
const QUALITY: u8 = 92;

/// Waits for a frame at least `after_s` seconds after the first one, and writes it.
pub fn run(
    camera: &OsStr,
    file: &Path,
    if_exists: IfExists,
    after_s: f64,
    settings: &CommandSettings,
) -> Result<ExitCode> {
    let format = PictureFormat::of(file)?;
    if if_exists == IfExists::Fail && file.symlink_metadata().is_ok() {
        return Err(already_exists(file));
    }
    let mut live = open_live(camera, &settings.live_options())?;
    let timeout_s = settings.source.read.timeout_s + after_s;
    let started = Instant::now();
    loop {
        let left = timeout_s - started.elapsed().as_secs_f64();
        if left <= 0.0 {
            return Err(Error::input(shown_input(camera), format!("no picture arrived within {timeout_s:.0} s")));
        }
        match live.newest(after_s, Duration::from_secs_f64(left))? {
            LiveUpdate::Frame(frame) => {
                write(file, format, &upright(&frame.picture, settings.region.roi)?, if_exists)?;
                return Ok(ExitCode::SUCCESS);
            }
            LiveUpdate::NoFrame | LiveUpdate::Lost(_) => {}
            LiveUpdate::Ended => return Err(Error::input(shown_input(camera), "it ended before its first picture")),
        }
    }
}

#[derive(Clone, Copy)]
enum PictureFormat {
    Png,
    Jpeg,
}

impl PictureFormat {
    fn of(file: &Path) -> Result<Self> {
        let extension = file.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("jpg" | "jpeg") => Ok(Self::Jpeg),
            _ => Err(Error::Usage(format!("{}: give a file that ends in .png or .jpg", file.display()))),
        }
    }
}

fn already_exists(file: &Path) -> Error {
    Error::Output(format!("{} exists already; name another file, or replace it with --force", file.display()))
}

fn write(file: &Path, format: PictureFormat, picture: &OwnedPicture, if_exists: IfExists) -> Result<()> {
    let failed = |e: io::Error| Error::Output(format!("{}: it cannot be written ({e})", file.display()));
    let mut out = BufWriter::new(AtomicFile::create(file).map_err(failed)?);
    let (rgb, width, height, pixels) = (picture.bytes(), picture.width(), picture.height(), ExtendedColorType::Rgb8);
    match format {
        PictureFormat::Png => PngEncoder::new(&mut out).write_image(rgb, width, height, pixels),
        PictureFormat::Jpeg => JpegEncoder::new_with_quality(&mut out, QUALITY).write_image(rgb, width, height, pixels),
    }
    .map_err(|e| failed(io::Error::other(e)))?;
    let written = out.into_inner().map_err(|e| failed(e.into_error()))?;
    written.commit(if_exists, Durability::PowerCuts).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => already_exists(file),
        _ => failed(e),
    })
}
