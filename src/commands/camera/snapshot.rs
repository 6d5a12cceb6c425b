//! `camera snapshot`: one picture into a file.

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::cli::args::CameraArgs;
use crate::config::PictureSettings;
use crate::error::{Error, Result};
use crate::preprocess::{Upright, upright};
use crate::source::Moment;

/// JPEG quality of a hundred.
const QUALITY: u8 = 92;

/// Waits for a frame `after_s` seconds after the first, and writes it.
pub fn run(
    camera: &OsStr,
    file: &Path,
    force: bool,
    after_s: f64,
    mode: &CameraArgs,
    picture: &PictureSettings,
) -> Result<ExitCode> {
    let kind = Kind::of(file)?;
    if !force && file.symlink_metadata().is_ok() {
        return Err(already_there(file));
    }
    let mut live = super::open(camera, mode, picture)?;
    let patience = picture.source.io_timeout_s + after_s;
    let began = Instant::now();
    loop {
        let left = patience - began.elapsed().as_secs_f64();
        if left <= 0.0 {
            return Err(Error::input(super::super::shown(camera), format!("no picture came within {patience:.0} s")));
        }
        match live.newest(after_s, Duration::from_secs_f64(left))? {
            Moment::Frame(frame) => {
                write(file, kind, &upright(&frame.picture, picture.roi)?, force)?;
                return Ok(ExitCode::SUCCESS);
            }
            Moment::Waiting | Moment::Lost(_) => {}
            Moment::Ended => return Err(Error::input(super::super::shown(camera), "ended before its first picture")),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Png,
    Jpeg,
}

impl Kind {
    fn of(file: &Path) -> Result<Self> {
        let extension = file.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("jpg" | "jpeg") => Ok(Self::Jpeg),
            _ => Err(Error::Usage(format!("{}: give a file that ends in .png or .jpg", file.display()))),
        }
    }
}

fn already_there(file: &Path) -> Error {
    Error::Output(format!("{} is there already; name another file, or replace it with --force", file.display()))
}

/// Writes beside the file and moves it there when it is whole.
fn write(file: &Path, kind: Kind, picture: &Upright, force: bool) -> Result<()> {
    let failed = |e: io::Error| Error::Output(format!("{}: it cannot be written ({e})", file.display()));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::with_prefix_in(".snapshot-", folder).map_err(failed)?;
    let mut out = BufWriter::new(fresh.as_file_mut());
    let (rgb, width, height, pixels) = (&picture.rgb, picture.width, picture.height, ExtendedColorType::Rgb8);
    match kind {
        Kind::Png => PngEncoder::new(&mut out).write_image(rgb, width, height, pixels),
        Kind::Jpeg => JpegEncoder::new_with_quality(&mut out, QUALITY).write_image(rgb, width, height, pixels),
    }
    .map_err(|e| failed(io::Error::other(e)))?;
    out.flush().map_err(failed)?;
    drop(out);
    fresh.as_file().sync_all().map_err(failed)?;
    if force {
        return fresh.persist(file).map(drop).map_err(|e| failed(e.error));
    }
    fresh.persist_noclobber(file).map(drop).map_err(|e| match e.error.kind() {
        io::ErrorKind::AlreadyExists => already_there(file),
        _ => failed(e.error),
    })
}
