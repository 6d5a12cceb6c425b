//! Reads the frames of an animated PNG through the `image` crate.

use std::cell::Cell;
use std::io::{BufReader, Cursor, Read};
use std::rc::Rc;

use image::codecs::png::PngDecoder;
use image::{AnimationDecoder, Frames, ImageDecoder, RgbaImage};

use super::super::budget::WorkBudget;
use super::frames::{AnimationFrames, CountedFile, MAX_CANVAS_PIXELS, Problem, TICKS};
use crate::picture::check_size;

/// Maximum size of a file in bytes, which is read whole.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Frames per second if a delay is 0, as in ffmpeg.
const DEFAULT_RATE: u64 = 15;

/// The frames of an animated PNG.
pub(super) struct ApngFrames {
    frames: Frames<'static>,
    read: Rc<Cell<u64>>,
    budget: WorkBudget,
    size: (u32, u32),
    current: RgbaImage,
    rgb: Vec<u8>,
}

impl ApngFrames {
    pub(super) fn open(file: CountedFile) -> Result<Self, Problem> {
        let damaged = |e: &dyn std::fmt::Display| Problem::Damaged(e.to_string());
        let read = file.read.clone();
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
        let mut decoder = PngDecoder::new(BufReader::new(Cursor::new(bytes))).map_err(|e| damaged(&e))?;
        let size = decoder.dimensions();
        check_size(size.0, size.1, MAX_CANVAS_PIXELS).map_err(Problem::TooLarge)?;
        let mut limits = image::Limits::no_limits();
        // The canvas, one frame as stored and one as displayed, in 16 bits.
        limits.max_alloc = Some(MAX_CANVAS_PIXELS * 8 * 3);
        decoder.set_limits(limits).map_err(|e| damaged(&e))?;
        let frames = decoder.apng().map_err(|e| damaged(&e))?.into_frames();
        let (budget, current, rgb) = (WorkBudget::default(), RgbaImage::default(), Vec::new());
        Ok(Self { frames, read, budget, size, current, rgb })
    }
}

impl AnimationFrames for ApngFrames {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn next(&mut self) -> Option<Result<u64, String>> {
        // The whole canvas is drawn for each frame, in four channels.
        let work = u64::from(self.size.0) * u64::from(self.size.1) * 4;
        if let Err(problem) = self.budget.spend(work, self.read.get()) {
            return Some(Err(problem));
        }
        let frame = match self.frames.next()? {
            Ok(frame) => frame,
            Err(e) => return Some(Err(e.to_string())),
        };
        let (millis, parts) = frame.delay().numer_denom_ms();
        let ticks = u64::from(millis) * u64::from(TICKS) / (1000 * u64::from(parts.max(1)));
        self.current = frame.into_buffer();
        Some(Ok(if ticks == 0 { u64::from(TICKS) / DEFAULT_RATE } else { ticks }))
    }

    fn rgb(&mut self) -> &[u8] {
        self.rgb.clear();
        let (pixels, _) = self.current.as_raw().as_chunks::<4>();
        // As for stills, colours are taken as they are stored, whatever their transparency.
        self.rgb.extend(pixels.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]));
        &self.rgb
    }
}
