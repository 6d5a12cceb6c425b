//! A folder of JPEG and PNG stills, or one of them, as a clip.
//!
//! Every still counts as a frame, in the natural order of names, so `img_00001.jpg` and `frame9.png` before
//! `frame10.png` come as meant. One that cannot be read is replaced by the first one that can, as the reference
//! replaces it by the first.

use std::cmp::Ordering;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use super::limits::{MAX_STILL_PIXELS, check_size};
use super::recorded::{Reader, Recording, Wanted};
use super::{ClipInfo, Picture, Pixels, Rate, Rotation, Seconds};
use crate::{Error, Result};

/// Most stills of a folder: ten hours at 25 a second.
const MAX_STILLS: usize = 1_000_000;
/// Most bytes of a still's file.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// A folder of stills.
pub(super) struct Stills {
    input: String,
    files: Vec<PathBuf>,
    rate: Rate,
    info: ClipInfo,
}

impl Stills {
    /// Lists `path`, a folder, or takes it as the only still.
    pub(super) fn open(input: &str, path: &Path, rate: Rate) -> Result<Self> {
        let files = if path.is_dir() { list(input, path)? } else { vec![path.to_path_buf()] };
        let format = if path.is_dir() { "stills" } else { "still" };
        let first = files.iter().find_map(|file| dimensions(file).ok());
        let (width, height) = first.unwrap_or_default();
        let info = ClipInfo {
            format: format.into(),
            width,
            height,
            fps: Some(rate.fps()),
            duration_s: Some(rate.time_of(files.len() as u64)),
        };
        Ok(Self { input: input.into(), files, rate, info })
    }
}

impl Recording for Stills {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(StillsReader {
            input: self.input.clone(),
            files: self.files.clone(),
            rate: self.rate,
            next: 0,
            picture: RgbImage::default(),
            unreadable: 0,
            warnings: Vec::new(),
        }))
    }

    fn count(&mut self) -> Result<u64> {
        Ok(self.files.len() as u64)
    }

    fn warnings(&self) -> &[String] {
        &[]
    }
}

fn list(input: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| super::detect::cannot_open(input, folder, &e);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let known = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if matches!(known.as_deref(), Some("jpg" | "jpeg" | "png")) && !hidden && path.is_file() {
            if files.len() == MAX_STILLS {
                return Err(Error::input(input, format!("holds more than {MAX_STILLS} stills; split the folder")));
            }
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::input(
            input,
            "is a folder without stills (*.jpg, *.jpeg, *.png); name a clip, or a folder of frames",
        ));
    }
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    files.sort_by(|a, b| natural_order(&name(a), &name(b)));
    Ok(files)
}

/// Compares names with runs of digits as numbers; equal numbers with fewer leading zeros come first.
fn natural_order(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        match (a_rest.first(), b_rest.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (digits(&mut a_rest), digits(&mut b_rest));
                let by_value = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                if by_value != Ordering::Equal {
                    return by_value;
                }
            }
            (Some(x), Some(y)) => {
                if x != y {
                    return x.cmp(y);
                }
                (a_rest, b_rest) = (&a_rest[1..], &b_rest[1..]);
            }
            (None, None) => return a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (x, y) => return x.is_some().cmp(&y.is_some()),
        }
    }
}

/// Takes the number that `rest` begins with, its leading zeros left out.
fn digits<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    *rest = after;
    let zeros = number.iter().take_while(|b| **b == b'0').count();
    &number[zeros..]
}

fn open_still(path: &Path) -> Result<impl ImageDecoder, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, MAX_STILL_PIXELS)?;
    let mut limits = image::Limits::no_limits();
    // 16 bits of RGBA, and as much again while it is converted.
    limits.max_alloc = Some(MAX_STILL_PIXELS * 8 * 2);
    decoder.set_limits(limits).map_err(|e| e.to_string())?;
    Ok(decoder)
}

/// Width and height, upright.
fn dimensions(path: &Path) -> Result<(u32, u32), String> {
    use image::metadata::Orientation as O;
    let mut decoder = open_still(path)?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(decoder.orientation(), Ok(O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH));
    Ok(if turned { (height, width) } else { (width, height) })
}

/// Decodes a still, turned as its EXIF data say.
fn decode(path: &Path) -> Result<RgbImage, String> {
    let mut decoder = open_still(path)?;
    // A still whose EXIF block is damaged is shown as stored.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

struct StillsReader {
    input: String,
    files: Vec<PathBuf>,
    rate: Rate,
    next: usize,
    picture: RgbImage,
    unreadable: u64,
    warnings: Vec<String>,
}

impl StillsReader {
    /// The first still that can be read, for one that cannot.
    fn replacement(&mut self, missing: &Path, why: &str) -> Result<RgbImage> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let found = self.files.iter().filter(|file| file.as_path() != missing).find_map(|file| {
            let image = decode(file).ok()?;
            Some((name(file), image))
        });
        let Some((stand_in, image)) = found else {
            return Err(Error::input(&self.input, format!("no still of it can be read; {}: {why}", name(missing))));
        };
        self.unreadable += 1;
        let missing = name(missing);
        self.warnings = vec![match self.unreadable {
            1 => format!("{missing} cannot be read ({why}); {stand_in} stands in for it"),
            n => {
                format!("{n} stills cannot be read, the last of them {missing} ({why}); {stand_in} stands in for them")
            }
        }];
        Ok(image)
    }
}

impl Reader for StillsReader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        while self.next < self.files.len() {
            let (index, time) = (self.next as u64, self.rate.time_of(self.next as u64));
            self.next += 1;
            if wanted(index, time) {
                let file = self.files[self.next - 1].clone();
                self.picture = match decode(&file) {
                    Ok(image) => image,
                    Err(why) => self.replacement(&file, &why)?,
                };
                return Ok(Some((index, time)));
            }
        }
        Ok(None)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        let (width, height) = self.picture.dimensions();
        Ok(Picture {
            width,
            height,
            rotation: Rotation::None,
            pixels: Pixels::Rgb { data: self.picture.as_raw(), stride: width as usize * 3 },
        })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests;
