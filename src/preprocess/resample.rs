//! Resamples pixels by Pillow's antialiased bicubic, with SIMD.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ImageView, ResizeAlg, ResizeOptions, Resizer};

use super::geometry::Region;
use crate::picture::Rect;
use crate::{Error, Result};

/// RGB pixels in rows without gaps.
pub(super) struct Rgb<'a> {
    pub data: &'a [u8],
    pub width: u32,
    pub height: u32,
}

/// Which axis is resampled first. Pillow begins along the rows of the upright picture, and rounds to 8 bits between the
/// two. In this order crops of photographs differ from Pillow's by 0.003 levels on average and at most 2, in the other
/// order by 0.2 and at least 3 at hard edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Along rows: left to right.
    Rows,
    /// Along columns, for a picture that is stored on its side.
    Columns,
}

/// Resamples on one thread; reuses its buffers.
pub(super) struct Resampler {
    resizer: Resizer,
    /// Pixels after the first axis.
    between: Vec<u8>,
    /// Pixels after both axes.
    tile: Vec<u8>,
}

impl Resampler {
    pub fn new() -> Self {
        Self { resizer: Resizer::new(), between: Vec::new(), tile: Vec::new() }
    }

    /// Resamples `region` of `image` (in the image's pixels) to `tile` pixels. Reads nothing outside `readable`.
    pub fn run(
        &mut self,
        image: Rgb<'_>,
        readable: Rect,
        region: Region,
        (tile_w, tile_h): (u32, u32),
        first: First,
    ) -> Result<&[u8]> {
        let source = TypedImageRef::<U8x3>::from_buffer(image.width, image.height, image.data).map_err(internal)?;
        let Rect { x, y, w, h } = readable;
        let source = TypedCroppedImage::from_ref(&source, x, y, w, h).map_err(internal)?;
        let (left, width) = fit_axis(region.x - f64::from(x), region.w, w);
        let (top, height) = fit_axis(region.y - f64::from(y), region.h, h);
        let (all_w, all_h) = (f64::from(w), f64::from(h));
        let (between_w, between_h, across, down) = match first {
            First::Rows => (tile_w, h, [left, 0.0, width, all_h], [0.0, top, f64::from(tile_w), height]),
            First::Columns => (w, tile_h, [0.0, top, all_w, height], [left, 0.0, width, f64::from(tile_h)]),
        };
        resize(&mut self.resizer, &source, &mut self.between, (between_w, between_h), across)?;
        let between = TypedImageRef::<U8x3>::from_buffer(between_w, between_h, &self.between).map_err(internal)?;
        resize(&mut self.resizer, &between, &mut self.tile, (tile_w, tile_h), down)?;
        Ok(&self.tile)
    }
}

/// Resamples one axis; the other one keeps its length and whole-numbered edges and is copied.
fn resize(
    resizer: &mut Resizer,
    source: &impl ImageView<Pixel = U8x3>,
    buffer: &mut Vec<u8>,
    (width, height): (u32, u32),
    [left, top, from_width, from_height]: [f64; 4],
) -> Result<()> {
    buffer.resize(width as usize * height as usize * 3, 0);
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, buffer).map_err(internal)?;
    // Catmull-Rom is the cubic with a = -0.5, as is Pillow's; `Convolution` widens it if the picture is scaled down.
    // The crop box may be fractional, and pixels around it are read if the kernel reaches over its edges.
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .crop(left, top, from_width, from_height)
        .use_alpha(false);
    resizer.resize_typed(source, &mut target, &options).map_err(internal)
}

/// Keeps a region within an axis of `side` pixels if rounding has put it slightly outside.
fn fit_axis(start: f64, length: f64, side: u32) -> (f64, f64) {
    let start = start.max(0.0);
    (start, length.min(f64::from(side) - start))
}

fn internal(problem: impl std::fmt::Display) -> Error {
    Error::Internal(format!("resampling a picture: {problem}"))
}
