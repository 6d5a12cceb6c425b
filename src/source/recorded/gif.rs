//! Reads animated GIF files through the `image` crate, which also handles frame disposal.
//!
//! Times are the file's own. As in browsers and ffmpeg, a delay below two hundredths of a second, which encoders write
//! for "as fast as possible", counts as ten hundredths. Transparent background is black.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, Frames, ImageDecoder, RgbaImage};

use super::super::ClipInfo;
use super::{Reader, Recording, Wanted};
use crate::picture::{OwnedPicture, Picture, check_size};
use crate::units::{Seconds, ticks_to_seconds};
use crate::{Error, Result};

/// Maximum number of pixels of an animated GIF, whose canvas is held in RGBA more than once.
const MAX_GIF_PIXELS: u64 = 1 << 24;

/// A GIF file.
pub(in crate::source) struct GifFile {
    input: String,
    path: PathBuf,
    info: ClipInfo,
    warnings: Vec<String>,
}

impl GifFile {
    pub(in crate::source) fn open(input: &str, path: &Path) -> Result<Self> {
        let (width, height) = decoder(input, path)?.dimensions();
        let info = ClipInfo { format: "GIF".into(), width, height, fps: None, duration_s: None };
        Ok(Self { input: input.into(), path: path.into(), info, warnings: Vec::new() })
    }
}

impl Recording for GifFile {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(GifReader::new(&self.input, &self.path)?))
    }

    fn count(&mut self) -> Result<u64> {
        let mut reader = GifReader::new(&self.input, &self.path)?;
        while reader.advance(&|_, _| false)?.is_some() {}
        let duration = reader.time();
        self.info.duration_s = Some(duration);
        if duration > 0.0 {
            self.info.fps = Some(reader.passed as f64 / duration);
        }
        self.warnings = reader.warnings;
        Ok(reader.passed)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Opens the decoder; a canvas that is too large is refused before anything of its size is allocated.
fn decoder(input: &str, path: &Path) -> Result<GifDecoder<BufReader<File>>> {
    let file = File::open(path).map_err(|e| Error::input(input, format!("cannot be read: {e}")))?;
    let mut decoder = GifDecoder::new(BufReader::new(file))
        .map_err(|e| Error::input(input, format!("is a damaged GIF ({e}); copy or export it again")))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, MAX_GIF_PIXELS).map_err(|problem| Error::input(input, problem))?;
    let mut limits = image::Limits::no_limits();
    // The canvas, one frame as stored and one as displayed.
    limits.max_alloc = Some(MAX_GIF_PIXELS * 4 * 3);
    decoder.set_limits(limits).map_err(|e| Error::input(input, e.to_string()))?;
    Ok(decoder)
}

struct GifReader {
    frames: Frames<'static>,
    passed: u64,
    hundredths: i128,
    ended: bool,
    current: OwnedPicture,
    warnings: Vec<String>,
}

impl GifReader {
    fn new(input: &str, path: &Path) -> Result<Self> {
        Ok(Self {
            frames: decoder(input, path)?.into_frames(),
            passed: 0,
            hundredths: 0,
            ended: false,
            current: OwnedPicture::default(),
            warnings: Vec::new(),
        })
    }

    /// The time of the next frame.
    fn time(&self) -> Seconds {
        ticks_to_seconds(self.hundredths, 100)
    }

    /// Stores the displayed frame as RGB.
    fn store(&mut self, displayed: &RgbaImage) {
        let (width, height) = displayed.dimensions();
        let mut rgb = std::mem::take(&mut self.current).into_bytes();
        rgb.clear();
        rgb.extend(displayed.as_raw().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]));
        self.current = OwnedPicture::rgb(width, height, rgb);
    }
}

impl Reader for GifReader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        while !self.ended {
            let frame = match self.frames.next() {
                Some(Ok(frame)) => frame,
                Some(Err(e)) => {
                    self.ended = true;
                    self.warnings
                        .push(format!("the GIF is damaged after frame {} ({e}); the rest was skipped", self.passed));
                    break;
                }
                None => {
                    self.ended = true;
                    break;
                }
            };
            let (index, time) = (self.passed, self.time());
            let (num, den) = frame.delay().numer_denom_ms();
            let hundredths = i128::from(num) / (10 * i128::from(den.max(1)));
            self.hundredths += if hundredths < 2 { 10 } else { hundredths };
            self.passed += 1;
            if wanted(index, time) {
                self.store(frame.buffer());
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
    use image::codecs::gif::GifEncoder;
    use image::{Delay, Frame, Rgba};
    use std::io::Write;

    fn write_gif(path: &Path, delays_ms: &[u32]) {
        let mut encoder = GifEncoder::new(File::create(path).expect("created"));
        for (i, &delay) in delays_ms.iter().enumerate() {
            let image = RgbaImage::from_pixel(5, 3, Rgba([i as u8 * 40, 0, 0, 255]));
            let frame = Frame::from_parts(image, 0, 0, Delay::from_numer_denom_ms(delay, 1));
            encoder.encode_frame(frame).expect("encoded");
        }
    }

    #[test]
    fn times_are_the_files_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.gif");
        write_gif(&path, &[50, 200, 0, 10, 40]);
        let mut gif = GifFile::open("a.gif", &path).expect("opens");
        assert_eq!(gif.count().expect("counts"), 5);
        assert_eq!(gif.info().duration_s, Some(0.49));
        let mut reader = gif.reader().expect("reads");
        let mut times = Vec::new();
        while let Some((index, time)) = reader.advance(&|_, _| true).expect("advances") {
            let Pixels::Rgb { data, stride } = reader.picture().expect("a picture").pixels else { panic!("not RGB") };
            assert_eq!((stride, data.len()), (15, 45));
            assert!(data[0].abs_diff(index as u8 * 40) < 4);
            times.push(time);
        }
        assert_eq!(times, [0.0, 0.05, 0.25, 0.35, 0.45]);
    }

    #[test]
    fn a_huge_canvas_is_refused_before_it_is_allocated() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        // A screen of 16384 x 16384 with a palette of two colours, one tiny image, and the trailer.
        file.write_all(
            b"GIF89a\x00\x40\x00\x40\x80\x00\x00\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0;",
        )
        .expect("written");
        let error = GifFile::open("bomb.gif", file.path()).err().expect("refused").to_string();
        assert!(error.contains("16384 x 16384"), "{error}");
    }

    #[test]
    fn a_truncated_gif_gives_its_complete_frames() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.gif");
        write_gif(&path, &[50; 6]);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).expect("written");
        let mut gif = GifFile::open("a.gif", &path).expect("opens");
        let count = gif.count().expect("counts");
        assert!((1..6).contains(&count), "{count}");
        assert!(gif.warnings()[0].contains("skipped"));
    }
}
