//! Reads a folder of JPEG and PNG stills, or a single one, as a clip.
//!
//! Every still is a frame, in natural order of names: `frame9.png` comes before `frame10.png`. A still that cannot be
//! read is replaced by the first one that can, as the reference replaces it by the first.

use std::cmp::Ordering;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use super::super::ClipInfo;
use super::super::open::cannot_open;
use super::jpeg::with_tables;
use super::{Reader, Recording, Wanted};
use crate::picture::{OwnedPicture, Picture, check_size};
use crate::units::{Rate, Seconds};
use crate::{Error, Result};

/// Maximum number of pixels of a still; phones make stills of 50 million.
const MAX_STILL_PIXELS: u64 = 64_000_000;
/// Maximum number of stills in a folder: ten hours at 25 per second.
const MAX_STILLS: usize = 1_000_000;
/// Maximum size of a still's file in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// A folder of stills.
pub(in crate::source) struct Stills {
    input: String,
    files: Vec<PathBuf>,
    rate: Rate,
    info: ClipInfo,
    /// A single still that counting decoded, for the next reader.
    decoded: Option<RgbImage>,
}

impl Stills {
    /// Lists the stills in the folder `path`, or takes the file `path` as the only still.
    pub(in crate::source) fn open(input: &str, path: &Path, rate: Rate) -> Result<Self> {
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
        Ok(Self { input: input.into(), files, rate, info, decoded: None })
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
            current: OwnedPicture::default(),
            decoded: self.decoded.take(),
            substitute: None,
            unreadable: 0,
            warnings: Vec::new(),
        }))
    }

    fn count(&mut self) -> Result<u64> {
        // A single still is decoded, because another reader may be able to decode it if this one is not.
        if let [file] = self.files.as_slice() {
            let decoded = decode(file).map_err(|why| Error::input(&self.input, format!("cannot be decoded: {why}")))?;
            self.decoded = Some(decoded);
        }
        Ok(self.files.len() as u64)
    }

    fn warnings(&self) -> &[String] {
        &[]
    }
}

fn list(input: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| cannot_open(input, folder, &e);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png")) && !hidden && path.is_file() {
            if files.len() == MAX_STILLS {
                return Err(Error::input(input, format!("contains more than {MAX_STILLS} stills; split the folder")));
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

/// Compares names, with runs of digits as numbers; of equal numbers the one with fewer leading zeros comes first.
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

/// Removes the number at the start of `rest` and returns it without leading zeros.
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
    let bytes = with_tables(&bytes).unwrap_or(bytes);
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, MAX_STILL_PIXELS)?;
    let mut limits = image::Limits::no_limits();
    // Four channels of 16 bits, twice, as the picture is converted.
    limits.max_alloc = Some(MAX_STILL_PIXELS * 8 * 2);
    decoder.set_limits(limits).map_err(|e| e.to_string())?;
    Ok(decoder)
}

/// Width and height of the upright still.
fn dimensions(path: &Path) -> Result<(u32, u32), String> {
    use image::metadata::Orientation as O;
    let mut decoder = open_still(path)?;
    let (width, height) = decoder.dimensions();
    let rotated =
        matches!(decoder.orientation(), Ok(O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH));
    Ok(if rotated { (height, width) } else { (width, height) })
}

/// Decodes a still and rotates it as its EXIF data specify.
fn decode(path: &Path) -> Result<RgbImage, String> {
    let mut decoder = open_still(path)?;
    // A still with a damaged EXIF block is not rotated.
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
    current: OwnedPicture,
    /// The first still, if it is decoded already.
    decoded: Option<RgbImage>,
    /// The first readable still.
    substitute: Option<PathBuf>,
    unreadable: u64,
    warnings: Vec<String>,
}

impl StillsReader {
    /// Returns the first readable still in place of `missing`, which is unreadable.
    fn replacement(&mut self, missing: &Path, why: &str) -> Result<RgbImage> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // It is searched once, so that many unreadable stills do not take quadratic time.
        let known = self.substitute.as_ref().map(|file| (file.clone(), decode(file)));
        let found = match known {
            Some((file, Ok(image))) => Some((file, image)),
            Some(_) => None,
            None => {
                let others = self.files.iter().filter(|file| file.as_path() != missing);
                others.map(|file| (file, decode(file))).find_map(|(file, image)| Some((file.clone(), image.ok()?)))
            }
        };
        let found = found.map(|(file, image)| {
            let substitute = name(&file);
            self.substitute = Some(file);
            (substitute, image)
        });
        let Some((substitute, image)) = found else {
            return Err(Error::input(&self.input, format!("none of its stills can be read; {}: {why}", name(missing))));
        };
        self.unreadable += 1;
        let missing = name(missing);
        self.warnings = vec![match self.unreadable {
            1 => format!("{missing} cannot be read ({why}); {substitute} is used instead"),
            n => format!("{n} stills cannot be read, last {missing} ({why}); {substitute} is used instead"),
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
                let image = match self.decoded.take().map_or_else(|| decode(&file), Ok) {
                    Ok(image) => image,
                    Err(why) => self.replacement(&file, &why)?,
                };
                let (width, height) = image.dimensions();
                self.current = OwnedPicture::rgb(width, height, image.into_raw());
                return Ok(Some((index, time)));
            }
        }
        Ok(None)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        Ok(self.current.as_picture())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Pixels;
    use image::Rgb;

    fn still(folder: &Path, name: &str, level: u8) {
        RgbImage::from_pixel(8, 6, Rgb([level; 3])).save(folder.join(name)).expect("saved");
    }

    /// First byte of every frame.
    fn levels(stills: &mut Stills) -> Vec<u8> {
        let mut reader = stills.reader().expect("reads");
        let mut levels = Vec::new();
        while reader.advance(&|_, _| true).expect("advances").is_some() {
            let Pixels::Rgb { data, .. } = reader.picture().expect("a picture").pixels else { panic!("not RGB") };
            levels.push(data[0]);
        }
        levels
    }

    #[test]
    fn numbers_in_names_sort_by_value() {
        let mut names = ["f10.png", "f9.png", "f09.png", "a.png", "f1b2.png", "f1b10.png", "f.png"];
        names.sort_by(|a, b| natural_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(names, ["a.png", "f.png", "f1b2.png", "f1b10.png", "f9.png", "f09.png", "f10.png"]);
    }

    #[test]
    fn a_folder_is_a_clip_at_its_nominal_rate() {
        let folder = tempfile::tempdir().expect("a folder");
        for i in 1..=12u8 {
            still(folder.path(), &format!("img_{i:05}.png"), i);
        }
        std::fs::write(folder.path().join("notes.txt"), "not a still").expect("written");
        let mut stills = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).expect("opens");
        assert_eq!(stills.count().expect("counts"), 12);
        assert_eq!(levels(&mut stills), (1..=12).collect::<Vec<u8>>());
        assert_eq!((stills.info.width, stills.info.height), (8, 6));
        assert_eq!(stills.info.duration_s, Some(12.0 / 25.0));
        let mut reader = stills.reader().expect("reads");
        assert_eq!(reader.advance(&|_, time| time >= 0.1).expect("advances"), Some((3, 0.12)));
    }

    #[test]
    fn an_unreadable_still_is_replaced_by_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for i in 1..=4u8 {
            still(folder.path(), &format!("img_{i:05}.png"), i * 10);
        }
        std::fs::write(folder.path().join("img_00003.png"), b"\x89PNG\r\n\x1a\ncut").expect("written");
        let mut stills = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).expect("opens");
        assert_eq!(levels(&mut stills), [10, 20, 10, 40]);
        let mut reader = stills.reader().expect("reads");
        reader.advance(&|i, _| i == 2).expect("advances");
        let warning = reader.warnings()[0].clone();
        assert!(warning.contains("img_00003.png") && warning.contains("img_00001.png is used instead"), "{warning}");
    }

    #[test]
    fn a_folder_without_readable_stills_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).err().expect("refused").to_string();
        assert!(empty.contains("without stills"), "{empty}");
        std::fs::write(folder.path().join("a.png"), b"").expect("written");
        let mut stills = Stills::open("f", folder.path(), Rate { num: 25, den: 1 }).expect("opens");
        let error = stills.reader().expect("reads").advance(&|_, _| true).expect_err("refused").to_string();
        assert!(error.contains("none of its stills can be read"), "{error}");
    }

    #[test]
    fn exif_orientation_is_honoured() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("phone.jpg");
        let mut image = RgbImage::from_pixel(32, 16, Rgb([0; 3]));
        (0..16).for_each(|y| (0..16).for_each(|x| image.put_pixel(x, y, Rgb([255; 3]))));
        image.save(&path).expect("saved");
        let plain = std::fs::read(&path).expect("read");
        // An APP1 block with one entry: orientation 6, which means rotate 90 degrees clockwise.
        let mut exif =
            b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
        exif.splice(0..0, plain[..2].iter().copied());
        exif.extend_from_slice(&plain[2..]);
        std::fs::write(&path, exif).expect("written");
        let mut stills = Stills::open("phone.jpg", &path, Rate { num: 25, den: 1 }).expect("opens");
        assert_eq!((stills.info.width, stills.info.height, stills.count().expect("counts")), (16, 32, 1));
        // White was on the left, so it is on top after rotation.
        assert!(levels(&mut stills)[0] > 250);
    }
}
