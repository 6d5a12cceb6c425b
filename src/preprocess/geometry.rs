//! Computes the source rectangle of a crop.

use super::spec::{CropAt, Fit};
use crate::picture::{PixelAspect, Rect, Rotation};

/// Half the width of the bicubic kernel, in output pixels if the picture is scaled down, else in source pixels.
const SUPPORT: f64 = 2.0;

/// Part of a picture; its edges may lie within pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Region {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

/// How a square is made: `region` is resampled to `tile` pixels, which are placed at `at`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// The part of the upright picture that may be read: the region of interest, or all of it.
    pub part: Rect,
    /// The part of the upright picture that is resampled.
    pub region: Region,
    /// Upright width and height after resampling.
    pub tile: (u32, u32),
    /// Left and top of the tile in the square.
    pub at: (u32, u32),
}

impl Plan {
    /// Plans one crop of `part`, whose pixels have this shape; `resize` and `side` are the model's `resize` and `crop`.
    pub fn new(part: Rect, aspect: PixelAspect, fit: Fit, crop: CropAt, resize: u32, side: u32) -> Self {
        let whole = Region { x: part.x.into(), y: part.y.into(), w: part.w.into(), h: part.h.into() };
        // The part as it is displayed, in square pixels.
        let (width, height) = aspect.square_size((part.w, part.h));
        match fit {
            Fit::Stretch => Self { part, region: whole, tile: (side, side), at: (0, 0) },
            Fit::Pad => {
                let (w, h) = inside_square(width, height, side);
                Self { part, region: whole, tile: (w, h), at: ((side - w) / 2, (side - h) / 2) }
            }
            Fit::Crop => {
                let (w, h) = shorter_side_to(width, height, resize);
                let (x, y) = crop_offset(w, h, side, crop);
                // Multiplying before dividing is exact for every size, so that an unscaled side keeps whole-numbered
                // edges.
                let scaled = |value: u64, source: u32, target: u64| value as f64 * f64::from(source) / target as f64;
                let side_long = u64::from(side);
                let region = Region {
                    x: whole.x + scaled(x, part.w, w),
                    y: whole.y + scaled(y, part.h, h),
                    w: scaled(side_long, part.w, w),
                    h: scaled(side_long, part.h, h),
                };
                Self { part, region, tile: (side, side), at: (0, 0) }
            }
        }
    }
}

/// Width and height after torchvision's `Resize`: the shorter side becomes `size`, the longer `int(size * long /
/// short)`.
fn shorter_side_to(width: u32, height: u32, size: u32) -> (u64, u64) {
    let scale = |long: u32, short: u32| u64::from(size) * u64::from(long) / u64::from(short);
    let size_long = u64::from(size);
    if width <= height { (size_long, scale(height, width)) } else { (scale(width, height), size_long) }
}

/// Left and top of a crop of `side` in a picture of `width x height` (reference: GroupCenterCrop, GroupFullResSample).
fn crop_offset(width: u64, height: u64, side: u32, crop: CropAt) -> (u64, u64) {
    let (spare_x, spare_y) = (width - u64::from(side), height - u64::from(side));
    let step = spare_x / 4;
    let crop_y = 2 * (spare_y / 4);
    match crop {
        CropAt::Centre => (half_to_even(spare_x), half_to_even(spare_y)),
        CropAt::Left => (0, crop_y),
        CropAt::Right => (4 * step, crop_y),
        CropAt::Middle => (2 * step, crop_y),
    }
}

/// Python's `round(n / 2)`: ties to even.
fn half_to_even(n: u64) -> u64 {
    let floor = n / 2;
    floor + (n & 1) * (floor & 1)
}

/// Width and height of a picture scaled into a square: the longer side becomes `side`, the shorter one keeps the shape,
/// rounded, at least 1.
fn inside_square(width: u32, height: u32, side: u32) -> (u32, u32) {
    let long = u64::from(width.max(height));
    let scale = |length: u32| ((u64::from(length) * u64::from(side) + long / 2) / long).max(1) as u32;
    (scale(width), scale(height))
}

impl Region {
    /// Converts a region of the upright picture to the same region of the picture as stored. `stored` is the stored
    /// width and height.
    pub fn to_stored(self, rotation: Rotation, stored: (u32, u32)) -> Self {
        let (width, height) = (f64::from(stored.0), f64::from(stored.1));
        let Self { x, y, w, h } = self;
        match rotation {
            Rotation::None => self,
            Rotation::Quarter => Self { x: y, y: height - (x + w), w: h, h: w },
            Rotation::Half => Self { x: width - (x + w), y: height - (y + h), w, h },
            Rotation::ThreeQuarters => Self { x: width - (y + h), y: x, w: h, h: w },
        }
    }

    /// The pixels inside `bounds` of which at least half lies in the region; at least one pixel.
    pub fn pixels_inside(&self, bounds: Rect) -> Rect {
        let axis = |start: f64, length: f64, first: u32, count: u32| {
            let end = f64::from(first + count);
            let from = start.round().clamp(f64::from(first), end - 1.0);
            let to = (start + length).round().clamp(from + 1.0, end);
            (from as u32, (to - from) as u32)
        };
        let (x, w) = axis(self.x, self.w, bounds.x, bounds.w);
        let (y, h) = axis(self.y, self.h, bounds.y, bounds.h);
        Rect { x, y, w, h }
    }

    /// The pixels inside `bounds` that resampling to `tile` reads: the region and the kernel's reach around it.
    pub fn pixels_read(&self, tile: (u32, u32), bounds: Rect) -> Rect {
        let (x, w) = axis_read(self.x, self.w, tile.0, bounds.x, bounds.w);
        let (y, h) = axis_read(self.y, self.h, tile.1, bounds.y, bounds.h);
        Rect { x, y, w, h }
    }
}

/// One axis of [`Region::pixels_read`]: start and length.
fn axis_read(start: f64, length: f64, target: u32, bounds_start: u32, bounds_length: u32) -> (u32, u32) {
    let radius = SUPPORT * (length / f64::from(target)).max(1.0);
    let end = bounds_start + bounds_length;
    // One pixel more on each side than the kernel can reach, so that rounding never excludes a pixel.
    let first = ((start - radius).floor() - 1.0).clamp(f64::from(bounds_start), f64::from(end - 1)) as u32;
    let last = ((start + length + radius).ceil() + 1.0).clamp(f64::from(first + 1), f64::from(end)) as u32;
    (first, last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_equal_torchvisions() {
        for ((w, h), sides) in [
            ((1920, 1080), (455, 256)),
            ((1080, 1920), (256, 455)),
            ((340, 256), (340, 256)),
            ((320, 240), (341, 256)),
            ((3, 3), (256, 256)),
            ((1, 5000), (256, 1_280_000)),
        ] {
            assert_eq!(shorter_side_to(w, h, 256), sides);
        }
    }

    #[test]
    fn pixels_that_are_not_square_are_cropped_in_the_shape_in_which_they_are_shown() {
        // PAL for 16:9: shown as 1024 x 576.
        let (stored, aspect) = ((720, 576), PixelAspect::new(64, 45));
        assert_eq!(aspect.square_size(stored), (1024, 576));
        let plan = Plan::new(Rect::whole(stored), aspect, Fit::Crop, CropAt::Centre, 256, 224);
        let shown = Plan::new(Rect::whole((1024, 576)), PixelAspect::SQUARE, Fit::Crop, CropAt::Centre, 256, 224);
        let scale = 720.0 / 1024.0;
        assert!((plan.region.x - shown.region.x * scale).abs() < 1e-9 && plan.region.y == shown.region.y);
        assert!((plan.region.w - shown.region.w * scale).abs() < 1e-9 && plan.region.h == shown.region.h);
        let padded = Plan::new(Rect::whole(stored), aspect, Fit::Pad, CropAt::Centre, 256, 224);
        assert_eq!((padded.tile, padded.at), ((224, 126), (0, 49)));
        assert_eq!(aspect.rotated(Rotation::Quarter), PixelAspect::new(45, 64));
        for unbelievable in [(0, 1), (1, 0), (1000, 1)] {
            assert_eq!(PixelAspect::new(unbelievable.0, unbelievable.1), PixelAspect::SQUARE);
        }
    }

    #[test]
    fn crop_offsets_equal_the_references() {
        assert_eq!((0..8).map(half_to_even).collect::<Vec<_>>(), [0, 0, 1, 2, 2, 2, 3, 4]);
        // 455x256: a quarter step is 57 across and 8 down.
        assert_eq!(crop_offset(455, 256, 224, CropAt::Centre), (116, 16));
        assert_eq!(CropAt::THREE.map(|at| crop_offset(455, 256, 224, at)), [(0, 16), (228, 16), (114, 16)]);
        assert_eq!(crop_offset(224, 224, 224, CropAt::Right), (0, 0));
    }
}
