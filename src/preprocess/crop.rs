//! Cuts a crop region out of a picture, resamples it, and rotates it upright while it is written out.
//!
//! A [`Plan`] describes the crop of the upright picture. Pixels are read and resampled as the picture stores them, which
//! is faster than to rotate the whole picture; only the resampled tile is rotated.

use std::ops::Range;

use super::colour::Planes;
use super::geometry::{Plan, Region};
use super::resample::{First, Resampler, Rgb};
use super::spec::{PreprocessSpec, RegionSpec};
use crate::Result;
use crate::picture::{OwnedPicture, Picture, Pixels, Rect, Rotation};

/// Crops pictures; reuses its buffers.
pub(super) struct Cropper {
    resampler: Resampler,
    /// The pixels that the region needs as RGB, unless the picture is RGB without gaps already.
    rgb: Vec<u8>,
}

impl Cropper {
    pub fn new() -> Self {
        Self { resampler: Resampler::new(), rgb: Vec::new() }
    }

    /// Resamples the plan's crop region and returns the tile, not rotated yet.
    pub fn crop(&mut self, picture: &Picture<'_>, plan: &Plan) -> Result<Tile<'_>> {
        let (rotation, stored) = (picture.rotation, (picture.width, picture.height));
        let (tile, first) = match rotation {
            Rotation::None | Rotation::Half => (plan.tile, First::Rows),
            Rotation::Quarter | Rotation::ThreeQuarters => ((plan.tile.1, plan.tile.0), First::Columns),
        };
        let region = plan.region.to_stored(rotation, stored);
        let needed = region.pixels_read(tile, plan.part.to_stored(rotation, stored));
        let (image, corner) = rgb_around(picture, needed, &mut self.rgb)?;
        let readable = Rect { x: needed.x - corner.0, y: needed.y - corner.1, ..needed };
        let region = Region { x: region.x - f64::from(corner.0), y: region.y - f64::from(corner.1), ..region };
        let rgb = self.resampler.run(image, readable, region, tile, first)?;
        Ok(Tile { rgb, width: tile.0 as usize, height: tile.1 as usize, rotation })
    }
}

/// Returns RGB pixels that contain the rectangle `needed` of `picture` as stored, and the position of their first pixel
/// in the picture. They are borrowed from the picture if possible, else made in `buffer`.
fn rgb_around<'a>(picture: &Picture<'a>, needed: Rect, buffer: &'a mut Vec<u8>) -> Result<(Rgb<'a>, (u32, u32))> {
    picture.check_planes()?;
    let (width, height) = (picture.width as usize, picture.height as usize);
    let made = match picture.pixels {
        Pixels::Rgb { data, stride } => {
            if stride == width * 3 {
                let image = Rgb { data: &data[..stride * height], width: picture.width, height: picture.height };
                return Ok((image, (0, 0)));
            }
            let row_bytes = needed.w as usize * 3;
            buffer.resize(row_bytes * needed.h as usize, 0);
            let rows = data.chunks(stride).skip(needed.y as usize);
            for (target, row) in buffer.chunks_exact_mut(row_bytes).zip(rows) {
                target.copy_from_slice(&row[needed.x as usize * 3..][..row_bytes]);
            }
            needed
        }
        Pixels::Yuv { planes, strides, subsampling, full_range, matrix } => {
            let planes = Planes { planes, strides, subsampling, full_range, matrix };
            let made = planes.align(needed);
            buffer.resize(made.w as usize * made.h as usize * 3, 0);
            planes.to_rgb(made, picture.display_size().1, buffer);
            made
        }
    };
    Ok((Rgb { data: buffer, width: made.w, height: made.h }, (made.x, made.y)))
}

/// A resampled crop region as RGB, not rotated yet, and the rotation that makes it upright.
pub(super) struct Tile<'a> {
    /// Rows of R, G, B without gaps.
    rgb: &'a [u8],
    /// Width before rotation.
    width: usize,
    /// Height before rotation.
    height: usize,
    rotation: Rotation,
}

/// A square of `side` pixels and the part of it that a tile fills.
#[derive(Clone, Copy)]
pub(super) struct Canvas {
    pub side: usize,
    pub left: usize,
    pub top: usize,
}

/// Maps values 0..255 of each channel to `(value / 255 - mean) / std`, rounded as the separate operations of the
/// reference are.
pub(super) struct Normaliser {
    tables: [[f32; 256]; 3],
}

impl Normaliser {
    pub fn new(spec: &PreprocessSpec) -> Self {
        let table = |c: usize| std::array::from_fn(|value| (value as f32 / 255.0 - spec.mean[c]) / spec.std[c]);
        Self { tables: std::array::from_fn(table) }
    }
}

impl Tile<'_> {
    /// Width and height after rotation.
    fn upright_size(&self) -> (usize, usize) {
        if self.rotation.swaps_sides() { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// The pixels of upright row `y`, left to right.
    fn upright_row(&self, y: usize) -> impl Iterator<Item = [u8; 3]> {
        let (w, h) = (self.width, self.height);
        let (start, step) = match self.rotation {
            Rotation::None => (y * w, 1),
            Rotation::Quarter => ((h - 1) * w + y, -(w as isize)),
            Rotation::Half => ((h - y) * w - 1, -1),
            Rotation::ThreeQuarters => (w - 1 - y, w as isize),
        };
        let (pixels, _) = self.rgb.as_chunks::<3>();
        (0..self.upright_size().0 as isize).map(move |x| pixels[start.wrapping_add_signed(x * step)])
    }

    /// Writes normalised values as `[3, side, side]`; pixels outside the tile are not changed.
    pub fn write_normalised(&self, normaliser: &Normaliser, canvas: Canvas, out: &mut [f32]) {
        let plane = canvas.side * canvas.side;
        let (red, rest) = out.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let [red_table, green_table, blue_table] = &normaliser.tables;
        for y in 0..self.upright_size().1 {
            let row = canvas.row(y, self.upright_size().0);
            let targets = red[row.clone()].iter_mut().zip(&mut green[row.clone()]).zip(&mut blue[row]);
            for (((red, green), blue), [r, g, b]) in targets.zip(self.upright_row(y)) {
                *red = red_table[usize::from(r)];
                *green = green_table[usize::from(g)];
                *blue = blue_table[usize::from(b)];
            }
        }
    }

    /// Writes the pixels as `[side, side, 3]`; pixels outside the tile are not changed.
    pub fn write_rgb8(&self, canvas: Canvas, out: &mut [u8]) {
        let (out, _) = out.as_chunks_mut::<3>();
        for y in 0..self.upright_size().1 {
            let row = canvas.row(y, self.upright_size().0);
            out[row].iter_mut().zip(self.upright_row(y)).for_each(|(target, pixel)| *target = pixel);
        }
    }
}

impl Canvas {
    /// Indices in the square of the tile's upright row `y`.
    fn row(&self, y: usize, width: usize) -> Range<usize> {
        let start = (self.top + y) * self.side + self.left;
        start..start + width
    }
}

/// Converts a picture, or its region `roi`, to an upright RGB picture without gaps between rows.
///
/// # Errors
/// [`crate::Error::Setting`] of `roi` if it is not inside the picture; planes smaller than the picture's size needs.
pub fn upright(picture: &Picture<'_>, roi: Option<Rect>) -> Result<OwnedPicture> {
    let part = RegionSpec { roi, ..RegionSpec::default() }.part_of(picture)?;
    let stored = part.to_stored(picture.rotation, (picture.width, picture.height));
    let mut buffer = Vec::new();
    let (image, corner) = rgb_around(picture, stored, &mut buffer)?;
    let (left, top) = ((stored.x - corner.0) as usize, (stored.y - corner.1) as usize);
    let pixels = image.data.as_chunks::<3>().0;
    let at = |x: usize, y: usize| pixels[(top + y) * image.width as usize + left + x];
    let (w, h) = (stored.w as usize, stored.h as usize);
    let mut rgb = Vec::with_capacity(w * h * 3);
    for y in 0..part.h as usize {
        for x in 0..part.w as usize {
            rgb.extend_from_slice(&match picture.rotation {
                Rotation::None => at(x, y),
                Rotation::Quarter => at(y, h - 1 - x),
                Rotation::Half => at(w - 1 - x, h - 1 - y),
                Rotation::ThreeQuarters => at(w - 1 - y, x),
            });
        }
    }
    Ok(OwnedPicture::rgb(part.w, part.h, rgb))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::PixelAspect;

    #[test]
    fn pictures_are_rotated_and_cropped() {
        // Two rows of three pixels, each of one level.
        let data: Vec<u8> = (0..6u8).flat_map(|level| [level; 3]).collect();
        let shown = |rotation, roi: Option<&str>| {
            let pixels = Pixels::Rgb { data: &data, stride: 9 };
            let picture = Picture { width: 3, height: 2, rotation, aspect: PixelAspect::SQUARE, pixels };
            let roi = roi.map(|roi| roi.parse().expect("a region"));
            let upright = upright(&picture, roi).expect("a picture");
            let levels: Vec<u8> = upright.bytes().chunks(3).map(|pixel| pixel[0]).collect();
            ((upright.width(), upright.height()), levels)
        };
        assert_eq!(shown(Rotation::None, None), ((3, 2), vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(shown(Rotation::Quarter, None), ((2, 3), vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(shown(Rotation::Half, None), ((3, 2), vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(shown(Rotation::ThreeQuarters, None), ((2, 3), vec![2, 5, 1, 4, 0, 3]));
        assert_eq!(shown(Rotation::None, Some("1,0,2,1")), ((2, 1), vec![1, 2]));
        assert_eq!(shown(Rotation::Quarter, Some("0,1,1,2")), ((1, 2), vec![4, 5]));
        assert_eq!(shown(Rotation::Half, Some("1,1,2,1")), ((2, 1), vec![1, 0]));
        assert_eq!(shown(Rotation::ThreeQuarters, Some("1,0,1,2")), ((1, 2), vec![5, 4]));
    }
}
