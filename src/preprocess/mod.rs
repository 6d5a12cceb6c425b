//! Converts a picture to a normalised crop `[3, S, S]`.
//!
//! The steps follow the reference: RGB, upright, region, shorter side to `resize` by Pillow's antialiased bicubic,
//! crop, 0..1, mean and standard deviation. Only what the crop needs is computed: pixels are converted from YUV and
//! resampled inside the source rectangle of the crop, and the small result is rotated upright instead of the whole
//! picture.

mod colour;
mod crop;
mod geometry;
mod luma;
mod resample;
mod spec;

pub use crop::upright;
pub use luma::{CELL_UNITS_PER_LEVEL, CELLS, ChangeGrid, LumaGrid};
pub use spec::{CropAt, Fit, PreprocessSpec, RegionSpec};

use crate::picture::{Picture, Rect};
use crate::{Error, Result};
use crop::{Canvas, Cropper, Normaliser};
use geometry::Plan;

/// Turns pictures of any size into crops of one size. Reuses its buffers: after the first picture of a size it
/// allocates nothing (the resize library still allocates short coefficient lists).
pub struct Preprocessor {
    spec: PreprocessSpec,
    region: RegionSpec,
    normaliser: Normaliser,
    cropper: Cropper,
}

impl Preprocessor {
    /// `spec` must pass [`PreprocessSpec::check`]. The region is checked with each picture, as the picture's size is
    /// not known before.
    ///
    /// # Errors
    /// [`Error::Internal`] for a `spec` that was not checked.
    pub fn new(spec: PreprocessSpec, region: RegionSpec) -> Result<Self> {
        spec.check().map_err(Error::Internal)?;
        Ok(Self { spec, region, normaliser: Normaliser::new(&spec), cropper: Cropper::new() })
    }

    /// Changes the region of the following pictures.
    pub fn set_region(&mut self, region: RegionSpec) {
        self.region = region;
    }

    /// Side of a crop in pixels, S.
    pub fn side(&self) -> usize {
        self.spec.crop as usize
    }

    /// Writes one crop of `picture` into `out` as `[3, S, S]`: planes R, G, B, normalised.
    ///
    /// # Errors
    /// A region that is not inside the picture; a crop other than [`CropAt::Centre`] without [`Fit::Crop`]; planes
    /// smaller than the picture's size needs; `out` of another length.
    pub fn run(&mut self, picture: &Picture<'_>, at: CropAt, out: &mut [f32]) -> Result<()> {
        let (plan, canvas) = self.plan(picture, at, out.len())?;
        let tile = self.cropper.crop(picture, &plan)?;
        if self.region.fit == Fit::Pad {
            // The borders have the mean colour, which is 0 once normalised.
            out.fill(0.0);
        }
        tile.write_normalised(&self.normaliser, canvas, out);
        Ok(())
    }

    /// Writes one crop of `picture` into `out` as `[S, S, 3]`, before normalising. Errors as for [`Preprocessor::run`].
    pub fn run_rgb8(&mut self, picture: &Picture<'_>, at: CropAt, out: &mut [u8]) -> Result<()> {
        let (plan, canvas) = self.plan(picture, at, out.len())?;
        let tile = self.cropper.crop(picture, &plan)?;
        if self.region.fit == Fit::Pad {
            out.as_chunks_mut().0.fill(self.spec.mean.map(|mean| (mean * 255.0).round() as u8));
        }
        tile.write_rgb8(canvas, out);
        Ok(())
    }

    /// Measures the brightness of the part of `picture` that its centre crop shows. Errors as for
    /// [`Preprocessor::run`].
    pub fn luma(&self, picture: &Picture<'_>, out: &mut LumaGrid) -> Result<()> {
        let (plan, _) = self.plan(picture, CropAt::Centre, 3 * self.side() * self.side())?;
        picture.check_planes()?;
        let stored = (picture.width, picture.height);
        out.measure(picture, plan.region.to_stored(picture.rotation, stored).pixels_inside(Rect::whole(stored)));
        Ok(())
    }

    /// Plans what to crop from `picture`, and where to put it in an output of `out_len` values.
    fn plan(&self, picture: &Picture<'_>, at: CropAt, out_len: usize) -> Result<(Plan, Canvas)> {
        let side = self.side();
        if out_len != 3 * side * side {
            return Err(Error::Internal(format!("a crop of {side}x{side} pixels does not fit into {out_len} values")));
        }
        let RegionSpec { fit, .. } = self.region;
        if at != CropAt::Centre && fit != Fit::Crop {
            return Err(Error::setting("fit", format!("{fit} allows only one crop"), "use crop for three crops"));
        }
        let part = self.region.part_of(picture)?;
        let plan = Plan::new(part, picture.aspect.rotated(picture.rotation), fit, at, self.spec.resize, self.spec.crop);
        let canvas = Canvas { side, left: plan.at.0 as usize, top: plan.at.1 as usize };
        Ok((plan, canvas))
    }
}
