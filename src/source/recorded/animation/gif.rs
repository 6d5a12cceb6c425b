//! Draws the frames of a GIF file on a canvas.
//!
//! Only the rectangle that a frame changes is drawn, so that the work depends on the frames' data and not on the size of
//! the canvas. As in browsers and ffmpeg, a delay below two hundredths of a second, which encoders write for "as fast as
//! possible", counts as ten hundredths.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::rc::Rc;

use gif::{ColorOutput, DecodeOptions, Decoder, DisposalMethod, MemoryLimit};

use super::super::budget::WorkBudget;
use super::frames::{AnimationFrames, CountedFile, MAX_CANVAS_PIXELS, Problem, TICKS};
use crate::picture::check_size;

/// A rectangle of the canvas, in pixels.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    x: usize,
    y: usize,
    w: usize,
    h: usize,
}

/// What happens to a frame's rectangle before the next frame is drawn.
enum Disposal {
    Keep,
    Clear(Part),
    /// Its pixels before the frame, in rows of R, G, B.
    Restore(Part, Vec<u8>),
}

/// The frames of a GIF.
pub(super) struct GifFrames {
    decoder: Decoder<CountedFile>,
    read: Rc<Cell<u64>>,
    budget: WorkBudget,
    size: (u32, u32),
    /// Rows of R, G, B; allocated when the first frame is drawn.
    canvas: Vec<u8>,
    disposal: Disposal,
}

impl GifFrames {
    pub(super) fn open(file: CountedFile) -> Result<Self, Problem> {
        let read = file.read.clone();
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        options.allow_unknown_blocks(true);
        if let Some(limit) = NonZeroU64::new(MAX_CANVAS_PIXELS) {
            options.set_memory_limit(MemoryLimit::Bytes(limit));
        }
        let decoder = options.read_info(file).map_err(|e| Problem::Damaged(e.to_string()))?;
        let size = (u32::from(decoder.width()), u32::from(decoder.height()));
        check_size(size.0, size.1, MAX_CANVAS_PIXELS).map_err(Problem::TooLarge)?;
        let (budget, canvas, disposal) = (WorkBudget::default(), Vec::new(), Disposal::Keep);
        Ok(Self { decoder, read, budget, size, canvas, disposal })
    }

    /// The bytes of row `y` of a part of the canvas.
    fn row(&mut self, part: Part, y: usize) -> &mut [u8] {
        let start = ((part.y + y) * self.size.0 as usize + part.x) * 3;
        &mut self.canvas[start..start + part.w * 3]
    }

    fn dispose(&mut self) {
        match std::mem::replace(&mut self.disposal, Disposal::Keep) {
            Disposal::Keep => {}
            Disposal::Clear(part) => (0..part.h).for_each(|y| self.row(part, y).fill(0)),
            Disposal::Restore(part, pixels) => {
                for (y, row) in pixels.chunks_exact((part.w * 3).max(1)).take(part.h).enumerate() {
                    self.row(part, y).copy_from_slice(row);
                }
            }
        }
    }

    /// Draws the next frame and returns its delay in hundredths of a second; `None` after the last.
    fn draw_next(&mut self) -> Result<Option<u16>, String> {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let Some(info) = self.decoder.next_frame_info().map_err(|e| e.to_string())? else { return Ok(None) };
        let (delay, method, transparent) = (info.delay, info.dispose, info.transparent);
        let (left, top) = (usize::from(info.left).min(width), usize::from(info.top).min(height));
        let stored = (usize::from(info.width), usize::from(info.height));
        let part = Part { x: left, y: top, w: stored.0.min(width - left), h: stored.1.min(height - top) };
        self.budget.spend(stored.0 as u64 * stored.1 as u64, self.read.get())?;
        if stored.0 as u64 * stored.1 as u64 > MAX_CANVAS_PIXELS {
            return Err(format!("a frame is {} x {}", stored.0, stored.1));
        }
        let mut indices = vec![0; stored.0 * stored.1];
        self.decoder.read_into_buffer(&mut indices).map_err(|e| e.to_string())?;
        let palette = self.decoder.palette().map_err(|e| e.to_string())?.to_vec();
        self.canvas.resize(width * height * 3, 0);
        self.dispose();
        self.disposal = match method {
            DisposalMethod::Any | DisposalMethod::Keep => Disposal::Keep,
            DisposalMethod::Background => Disposal::Clear(part),
            DisposalMethod::Previous => {
                let saved = (0..part.h).flat_map(|y| self.row(part, y).to_vec()).collect();
                Disposal::Restore(part, saved)
            }
        };
        let (colours, _) = palette.as_chunks::<3>();
        for (y, row) in indices.chunks_exact(stored.0.max(1)).take(part.h).enumerate() {
            let (targets, _) = self.row(part, y).as_chunks_mut::<3>();
            for (target, index) in targets.iter_mut().zip(row).filter(|(_, index)| Some(**index) != transparent) {
                *target = colours.get(usize::from(*index)).copied().unwrap_or_default();
            }
        }
        Ok(Some(delay))
    }
}

impl AnimationFrames for GifFrames {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn next(&mut self) -> Option<Result<u64, String>> {
        let hundredths = |delay: u16| u64::from(if delay < 2 { 10 } else { delay });
        self.draw_next().map(|delay| delay.map(|delay| hundredths(delay) * u64::from(TICKS) / 100)).transpose()
    }

    fn rgb(&mut self) -> &[u8] {
        &self.canvas
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;

    use image::codecs::gif::GifEncoder;
    use image::{Delay, Frame, Rgba, RgbaImage};

    use super::super::{AnimationFile, AnimationFormat};
    use crate::picture::Pixels;
    use crate::source::recorded::{OpenError, Recording};

    fn open(path: &Path) -> Result<AnimationFile, OpenError> {
        AnimationFile::open("a.gif", path, AnimationFormat::Gif)
    }

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
        let mut gif = open(&path).expect("opens");
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
        let Err(OpenError::Refused(error)) = open(file.path()) else { panic!("not refused") };
        let error = error.to_string();
        assert!(error.contains("16384 x 16384"), "{error}");
    }

    #[test]
    fn a_truncated_gif_gives_its_complete_frames() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.gif");
        write_gif(&path, &[50; 6]);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).expect("written");
        let mut gif = open(&path).expect("opens");
        let count = gif.count().expect("counts");
        assert!((1..6).contains(&count), "{count}");
        assert!(gif.warnings()[0].contains("skipped"));
    }
}
