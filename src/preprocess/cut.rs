//! Cuts a plan's region out of a picture and resamples it.

use super::colour::{Planes, check_plane};
use super::geometry::{Plan, Rect, Region};
use super::resample::{First, Resampler, Rgb};
use super::tile::Tile;
use crate::Result;
use crate::source::{Picture, Pixels, Rotation};

/// Keeps its buffers from picture to picture.
pub(super) struct Cutter {
    resampler: Resampler,
    /// The rectangle the region needs, as RGB, where the picture is not RGB without gaps already.
    rgb: Vec<u8>,
}

impl Cutter {
    pub fn new() -> Self {
        Self { resampler: Resampler::new(), rgb: Vec::new() }
    }

    /// The plan's tile, in stored orientation.
    pub fn cut(&mut self, picture: &Picture<'_>, plan: &Plan) -> Result<Tile<'_>> {
        let (rotation, stored) = (picture.rotation, (picture.width, picture.height));
        let (tile, first) = match rotation {
            Rotation::None | Rotation::Half => (plan.tile, First::Rows),
            Rotation::Quarter | Rotation::ThreeQuarters => ((plan.tile.1, plan.tile.0), First::Columns),
        };
        let region = plan.region.to_stored(rotation, stored);
        let needed = region.reach(tile, plan.part.to_stored(rotation, stored));
        let (image, corner) = rgb_around(picture, needed, &mut self.rgb)?;
        let readable = Rect { x: needed.x - corner.0, y: needed.y - corner.1, ..needed };
        let region = Region { x: region.x - f64::from(corner.0), y: region.y - f64::from(corner.1), ..region };
        let rgb = self.resampler.run(image, readable, region, tile, first)?;
        Ok(Tile { rgb, width: tile.0 as usize, height: tile.1 as usize, rotation })
    }
}

/// RGB pixels that hold at least the rectangle `needed` of `picture` as stored, and where in the picture their first
/// pixel lies. Borrowed from the picture where that is possible, else made in `buffer`.
pub(super) fn rgb_around<'a>(
    picture: &Picture<'a>,
    needed: Rect,
    buffer: &'a mut Vec<u8>,
) -> Result<(Rgb<'a>, (u32, u32))> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let made = match picture.pixels {
        Pixels::Rgb { data, stride } => {
            check_plane("RGB", data, stride, width * 3, height)?;
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
            planes.check(picture.width, picture.height)?;
            let made = planes.align(needed);
            buffer.resize(made.w as usize * made.h as usize * 3, 0);
            planes.to_rgb(made, picture.display_size().1, buffer);
            made
        }
    };
    Ok((Rgb { data: buffer, width: made.w, height: made.h }, (made.x, made.y)))
}

/// An error where a plane of `picture` is smaller than its size needs.
pub(super) fn check_planes(picture: &Picture<'_>) -> Result<()> {
    match picture.pixels {
        Pixels::Rgb { data, stride } => {
            check_plane("RGB", data, stride, picture.width as usize * 3, picture.height as usize)
        }
        Pixels::Yuv { planes, strides, subsampling, full_range, matrix } => {
            Planes { planes, strides, subsampling, full_range, matrix }.check(picture.width, picture.height)
        }
    }
}
