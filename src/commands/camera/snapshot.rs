//! `camera snapshot`: writes one picture to a file.

use std::ffi::OsStr;
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bike_edge::io::{AtomicFile, Durability, IfExists, shown_input};
use bike_edge::picture::{OwnedPicture, Rect};
use bike_edge::pipeline::{Follow, RegionFinder};
use bike_edge::preprocess::upright;
use bike_edge::source::{LiveUpdate, open_live};
use bike_edge::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::config::CommandSettings;

/// Seconds between the frames in which moving regions are found.
const FOLLOW_STRIDE_S: f64 = 0.5;

/// Width of the lines around regions, pixels, and their colour.
const LINE: u32 = 3;
const COLOUR: [u8; 3] = [255, 220, 0];

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
    let mut finder = RegionFinder::new(settings.follow, settings.region);
    let follows = settings.follow.follow != Follow::Off;
    // Regions are found between frames that are as far apart as in `watch`.
    let mut next = if follows { 0.0 } else { after_s };
    loop {
        let left = timeout_s - started.elapsed().as_secs_f64();
        if left <= 0.0 {
            return Err(Error::input(shown_input(camera), format!("no picture arrived within {timeout_s:.0} s")));
        }
        match live.newest(next, Duration::from_secs_f64(left))? {
            LiveUpdate::Frame(frame) => {
                let regions = if follows { finder.update(&frame.picture, frame.time)? } else { Default::default() };
                if frame.time < after_s {
                    next = (frame.time + FOLLOW_STRIDE_S).min(after_s);
                    continue;
                }
                let picture = upright(&frame.picture, settings.region.roi)?;
                let corner = settings.region.roi.map_or((0, 0), |roi| (roi.x, roi.y));
                write(file, format, &outlined(picture, corner, &regions), if_exists)?;
                return Ok(ExitCode::SUCCESS);
            }
            LiveUpdate::NoFrame | LiveUpdate::Lost(_) => {}
            LiveUpdate::Ended => return Err(Error::input(shown_input(camera), "it ended before its first picture")),
        }
    }
}

/// Draws the edges of regions of a picture whose top left pixel is at `corner`.
fn outlined(picture: OwnedPicture, corner: (u32, u32), regions: &[Rect]) -> OwnedPicture {
    let (width, height) = (picture.width(), picture.height());
    let mut rgb = picture.into_bytes();
    for region in regions {
        let (left, top) = (region.x.saturating_sub(corner.0), region.y.saturating_sub(corner.1));
        let (right, bottom) = ((left + region.w).min(width), (top + region.h).min(height));
        for y in top..bottom {
            for x in left..right {
                let inside = |low: u32, at: u32, high: u32| low + LINE <= at && at + LINE < high;
                if !(inside(left, x, right) && inside(top, y, bottom)) {
                    let at = 3 * (y as usize * width as usize + x as usize);
                    rgb[at..at + 3].copy_from_slice(&COLOUR);
                }
            }
        }
    }
    OwnedPicture::rgb(width, height, rgb)
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
