//! Decodes JPEG images, and reads sequences of them (motion JPEG without a container).

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;

use super::super::ClipInfo;
use super::{Reader, Recording, Wanted};
use crate::picture::{MAX_VIDEO_PIXELS, OwnedPicture, Picture, check_size};
use crate::units::{Rate, Seconds};
use crate::{Error, Result};

/// Maximum size of one image in bytes.
const MAX_IMAGE_BYTES: usize = 64 << 20;
/// Maximum number of bytes between two images: padding, or the text of a multipart stream.
const MAX_GAP_BYTES: usize = 64 << 10;
/// Assumed because the format has no times, as in ffmpeg.
const RATE: Rate = Rate { num: 25, den: 1 };

/// Start and end of an image.
const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: u8 = 0xd9;

/// Adds the standard Huffman tables to a JPEG image that has none, as motion JPEG may. Returns `None` if it has tables.
pub(in crate::source) fn with_tables(jpeg: &[u8]) -> Option<Vec<u8>> {
    // With this segment the decoder adds the tables.
    lacks_tables(jpeg).then(|| [&jpeg[..2], b"\xff\xe0\0\x09AVI1\0\0\0", &jpeg[2..]].concat())
}

/// Returns whether there is no Huffman table before the scan of a JPEG.
fn lacks_tables(jpeg: &[u8]) -> bool {
    let mut rest = jpeg.get(2..).unwrap_or_default();
    while let [0xff, marker, high, low, ..] = rest {
        match marker {
            0xc4 => return false,
            0xda => return true,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = rest.get(2 + length..).unwrap_or_default();
    }
    false
}

/// Splits a stream into JPEG images.
pub(in crate::source) struct JpegSplitter<R> {
    from: R,
    image: Vec<u8>,
    /// It belongs to a file with several images of one moment (MPF), such as a phone's photo with its depth.
    several: bool,
}

/// The result of looking for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum NextImage {
    Whole,
    /// The stream ended within the image, or the image is too large.
    Truncated,
    /// There are no more.
    None,
}

impl<R: Read> JpegSplitter<R> {
    /// Splits `from`, which should do its own buffering.
    pub(in crate::source) fn new(from: R) -> Self {
        Self { from, image: Vec::new(), several: false }
    }

    /// The image that was found last.
    pub(in crate::source) fn image(&self) -> &[u8] {
        &self.image
    }

    /// The image that was found last, and the rest of the stream.
    pub(in crate::source) fn into_parts(self) -> (Vec<u8>, R) {
        (self.image, self.from)
    }

    /// Whether the image that was found last belongs to a file with several images of one moment.
    pub(in crate::source) fn is_one_of_several(&self) -> bool {
        self.several
    }

    /// Moves past what follows an image, to the start of the next one; returns whether there is one.
    pub(in crate::source) fn find_start(&mut self) -> io::Result<bool> {
        let mut before = 0;
        for _ in 0..MAX_GAP_BYTES {
            let Some(byte) = self.byte()? else { return Ok(false) };
            if [before, byte] == SOI {
                return Ok(true);
            }
            before = byte;
        }
        Ok(false)
    }

    /// Reads the next image, from the start of one.
    pub(in crate::source) fn next(&mut self) -> io::Result<NextImage> {
        if !self.find_start()? {
            return Ok(NextImage::None);
        }
        self.read_image()
    }

    /// Reads an image whose start was found.
    pub(in crate::source) fn read_image(&mut self) -> io::Result<NextImage> {
        self.image.clear();
        self.image.extend_from_slice(&SOI);
        self.several = false;
        // Outside of a scan, segments follow each other; after a scan there is the next marker.
        while self.image.len() < MAX_IMAGE_BYTES {
            let Some(marker) = self.marker()? else { return Ok(NextImage::Truncated) };
            match marker {
                EOI => return Ok(NextImage::Whole),
                // Without a length: escaped data, restarts, and padding.
                0x00 | 0x01 | 0xd0..=0xd7 => {}
                _ => {
                    if !self.segment(marker)? {
                        return Ok(NextImage::Truncated);
                    }
                }
            }
        }
        Ok(NextImage::Truncated)
    }

    /// Reads up to and including the next marker.
    fn marker(&mut self) -> io::Result<Option<u8>> {
        let mut before = 0;
        while self.image.len() < MAX_IMAGE_BYTES {
            let Some(byte) = self.byte()? else { return Ok(None) };
            self.image.push(byte);
            if before == 0xff && byte != 0xff {
                return Ok(Some(byte));
            }
            before = byte;
        }
        Ok(None)
    }

    /// Reads a segment with a length; false if it is truncated.
    fn segment(&mut self, marker: u8) -> io::Result<bool> {
        let start = self.image.len();
        if !self.append(2)? {
            return Ok(false);
        }
        let length = usize::from(u16::from_be_bytes([self.image[start], self.image[start + 1]]));
        if !self.append(length.saturating_sub(2))? {
            return Ok(false);
        }
        self.several |= marker == 0xe2 && self.image[start + 2..].starts_with(b"MPF\0");
        Ok(true)
    }

    fn append(&mut self, bytes: usize) -> io::Result<bool> {
        Ok((&mut self.from).take(bytes as u64).read_to_end(&mut self.image)? == bytes)
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match self.from.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Returns whether a file that begins with a JPEG image is a sequence of images.
pub(in crate::source) fn is_jpeg_sequence(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut images = JpegSplitter::new(BufReader::new(file));
    matches!(images.next(), Ok(NextImage::Whole)) && !images.is_one_of_several() && images.find_start().unwrap_or(false)
}

/// A file of JPEG images, one after another.
pub(in crate::source) struct MjpegFile {
    input: String,
    path: PathBuf,
    info: ClipInfo,
    warnings: Vec<String>,
}

impl MjpegFile {
    /// Decodes the first image.
    pub(in crate::source) fn open(input: &str, path: &Path) -> Result<Self> {
        let mut opened = Self { input: input.into(), path: path.into(), info: mjpeg_info(), warnings: Vec::new() };
        let mut first = opened.mjpeg_reader()?;
        if first.advance(&|_, _| true)?.is_some() {
            (opened.info.width, opened.info.height) = first.picture()?.display_size();
        }
        Ok(opened)
    }

    fn mjpeg_reader(&self) -> Result<MjpegReader<BufReader<File>>> {
        let file = File::open(&self.path).map_err(|e| Error::input(&self.input, format!("cannot be read: {e}")))?;
        Ok(MjpegReader::new(&self.input, JpegSplitter::new(BufReader::with_capacity(1 << 16, file))))
    }
}

/// The properties of a sequence before its first image.
pub(in crate::source) fn mjpeg_info() -> ClipInfo {
    ClipInfo { format: "motion JPEG".into(), width: 0, height: 0, fps: Some(RATE.fps()), duration_s: None }
}

impl Recording for MjpegFile {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(self.mjpeg_reader()?))
    }

    fn count(&mut self) -> Result<u64> {
        let mut reader = self.mjpeg_reader()?;
        while reader.advance(&|_, _| false)?.is_some() {}
        self.info.duration_s = Some(RATE.time_of(reader.next));
        self.warnings = reader.warnings;
        Ok(reader.next)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Reads a sequence of JPEG images forward. An image that cannot be decoded is replaced by the one before.
pub(in crate::source) struct MjpegReader<R> {
    input: String,
    images: JpegSplitter<R>,
    /// The number of the next image.
    next: u64,
    ended: bool,
    current: OwnedPicture,
    undecodable: u64,
    warnings: Vec<String>,
}

impl<R: Read> MjpegReader<R> {
    pub(in crate::source) fn new(input: &str, images: JpegSplitter<R>) -> Self {
        let (current, warnings) = (OwnedPicture::default(), Vec::new());
        Self { input: input.into(), images, next: 0, ended: false, current, undecodable: 0, warnings }
    }

    fn next_image(&mut self) -> Result<bool> {
        let found = self.images.next().map_err(|e| Error::input(&self.input, format!("cannot be read: {e}")))?;
        if found == NextImage::Truncated {
            self.warnings.push(format!("its last image (frame {}) is truncated; it was dropped", self.next));
        }
        Ok(found == NextImage::Whole)
    }
}

impl<R: Read> Reader for MjpegReader<R> {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        while !self.ended {
            if !self.next_image()? {
                self.ended = true;
                break;
            }
            let (index, time) = (self.next, RATE.time_of(self.next));
            self.next += 1;
            if !wanted(index, time) {
                continue;
            }
            match decode(self.images.image()) {
                Ok(picture) => self.current = picture,
                Err(problem) if self.current == OwnedPicture::default() => {
                    return Err(Error::input(&self.input, format!("its frame {index} cannot be decoded: {problem}")));
                }
                Err(problem) => {
                    self.undecodable += 1;
                    self.warnings = vec![format!(
                        "{} images cannot be decoded, last frame {index} ({problem}); the images before are used instead",
                        self.undecodable
                    )];
                }
            }
            return Ok(Some((index, time)));
        }
        Ok(None)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        Ok(self.current.as_picture())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn doubt(&self) -> Option<&str> {
        self.warnings.last().filter(|_| self.undecodable > 0).map(String::as_str)
    }
}

/// Returns a reader for a stream of images whose first one was read into `first`.
pub(in crate::source) fn mjpeg_stream<R: Read>(
    input: &str,
    first: Vec<u8>,
    rest: R,
) -> MjpegReader<io::Chain<Cursor<Vec<u8>>, R>> {
    MjpegReader::new(input, JpegSplitter::new(Cursor::new(first).chain(rest)))
}

/// Decodes a JPEG image to RGB.
fn decode(jpeg: &[u8]) -> Result<OwnedPicture, String> {
    let whole = with_tables(jpeg);
    let decoder = JpegDecoder::new(Cursor::new(whole.as_deref().unwrap_or(jpeg))).map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, MAX_VIDEO_PIXELS)?;
    let image = image::DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    Ok(OwnedPicture::rgb(width, height, image.into_rgb8().into_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Pixels;
    use image::{Rgb, RgbImage};

    fn jpeg(level: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let image = RgbImage::from_pixel(24, 16, Rgb([level; 3]));
        image.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Jpeg).expect("encoded");
        bytes
    }

    fn levels(bytes: Vec<u8>) -> (Vec<(u64, u8)>, Vec<String>) {
        let mut reader = MjpegReader::new("-", JpegSplitter::new(Cursor::new(bytes)));
        let mut found = Vec::new();
        while let Some((index, _)) = reader.advance(&|i, _| i % 2 == 0).expect("advances") {
            let Pixels::Rgb { data, .. } = reader.picture().expect("a picture").pixels else { panic!("not RGB") };
            found.push((index, data[0]));
        }
        (found, reader.warnings().to_vec())
    }

    #[test]
    fn images_one_after_another_are_frames() {
        let bytes =
            [jpeg(10), vec![0; 7], jpeg(20), jpeg(30), b"\r\n--next\r\n\r\n".to_vec(), jpeg(40), jpeg(50)].concat();
        assert_eq!(levels(bytes.clone()), (vec![(0, 10), (2, 30), (4, 50)], vec![]));
        let (found, warnings) = levels(bytes[..bytes.len() - 9].to_vec());
        assert_eq!(found.len(), 2);
        assert!(warnings[0].contains("frame 4) is truncated"), "{warnings:?}");
    }

    #[test]
    fn one_image_or_several_of_one_moment_are_no_sequence() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jpg");
        let several = {
            let image = jpeg(1);
            [&image[..2], b"\xff\xe2\0\x08MPF\0II", &image[2..], &jpeg(2)].concat()
        };
        let cases = [(jpeg(1), false), ([jpeg(1), jpeg(2)].concat(), true), (several, false), (SOI.to_vec(), false)];
        for (bytes, sequence) in cases {
            std::fs::write(&path, &bytes).expect("written");
            assert_eq!(is_jpeg_sequence(&path), sequence, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn an_image_without_tables_is_decoded() {
        let image = jpeg(90);
        let mut bare = image[..2].to_vec();
        let mut rest = &image[2..];
        while let [0xff, marker, high, low, ..] = rest {
            let length = 2 + usize::from(u16::from_be_bytes([*high, *low]));
            if *marker == 0xda {
                break;
            }
            if *marker != 0xc4 {
                bare.extend_from_slice(&rest[..length]);
            }
            rest = &rest[length..];
        }
        bare.extend_from_slice(rest);
        assert!(bare.len() < image.len() && with_tables(&image).is_none());
        assert_eq!(decode(&bare), decode(&image));
    }

    #[test]
    fn an_undecodable_image_is_replaced_by_the_one_before() {
        let mut broken = jpeg(60);
        let at = broken.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
        broken[at + 4] = 99;
        let (found, warnings) = levels([jpeg(10), jpeg(20), broken].concat());
        assert_eq!(found, [(0, 10), (2, 10)]);
        assert!(warnings[0].contains("frame 2"), "{warnings:?}");
    }
}
