//! Pillow's antialiased bicubic, by SIMD.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::geometry::{Rect, Region};
use crate::{Error, Result};

/// RGB pixels in rows without gaps.
pub(super) struct Rgb<'a> {
    pub data: &'a [u8],
    pub width: u32,
    pub height: u32,
}

/// Resamples on one thread, keeping its buffers.
pub(super) struct Resampler {
    resizer: Resizer,
    tile: Vec<u8>,
}

impl Resampler {
    pub fn new() -> Self {
        Self { resizer: Resizer::new(), tile: Vec::new() }
    }

    /// `region` of `image`, both in the image's pixels, resampled to `tile` pixels. Reads nothing outside `readable`.
    pub fn run(&mut self, image: Rgb<'_>, readable: Rect, region: Region, (w, h): (u32, u32)) -> Result<&[u8]> {
        self.tile.resize(w as usize * h as usize * 3, 0);
        let source = TypedImageRef::<U8x3>::from_buffer(image.width, image.height, image.data).map_err(fault)?;
        let Rect { x, y, w: width, h: height } = readable;
        let source = TypedCroppedImage::from_ref(&source, x, y, width, height).map_err(fault)?;
        let mut target = TypedImage::<U8x3>::from_buffer(w, h, &mut self.tile).map_err(fault)?;
        let (left, region_width) = fit_axis(region.x - f64::from(x), region.w, width);
        let (top, region_height) = fit_axis(region.y - f64::from(y), region.h, height);
        // Catmull-Rom is the cubic with a = -0.5, as Pillow's; `Convolution` widens it where the picture shrinks. The
        // crop box may be fractional, and pixels around it are read where the kernel reaches over its edges.
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
            .crop(left, top, region_width, region_height)
            .use_alpha(false);
        self.resizer.resize_typed(&source, &mut target, &options).map_err(fault)?;
        Ok(&self.tile)
    }
}

/// Keeps a region within an axis of `side` pixels where floating point put it a hair outside.
fn fit_axis(start: f64, length: f64, side: u32) -> (f64, f64) {
    let start = start.max(0.0);
    (start, length.min(f64::from(side) - start))
}

fn fault(problem: impl std::fmt::Display) -> Error {
    Error::Internal(format!("resampling a picture: {problem}"))
}
