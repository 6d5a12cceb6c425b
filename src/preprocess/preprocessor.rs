//! Picture to crop.

use super::cut::{Cutter, check_planes};
use super::geometry::{Plan, Rect};
use super::luma::LumaGrid;
use super::roi::Roi;
use super::spec::{CropAt, Fit, PreprocessSpec};
use super::tile::{Canvas, Normaliser};
use crate::source::Picture;
use crate::{Error, Result};

/// Turns pictures of any size into crops of one size. Keeps its buffers: after the first picture of a size nothing is
/// allocated here (the resize library still makes its short coefficient lists).
pub struct Preprocessor {
    spec: PreprocessSpec,
    fit: Fit,
    roi: Option<Roi>,
    normaliser: Normaliser,
    cutter: Cutter,
}

impl Preprocessor {
    /// `spec` must pass [`PreprocessSpec::check`]. `roi` is checked against each picture, whose size is not known
    /// before.
    pub fn new(spec: PreprocessSpec, fit: Fit, roi: Option<Roi>) -> Result<Self> {
        spec.check().map_err(Error::Internal)?;
        Ok(Self { spec, fit, roi, normaliser: Normaliser::new(&spec), cutter: Cutter::new() })
    }

    /// Side of a crop in pixels, S.
    pub fn side(&self) -> usize {
        self.spec.crop as usize
    }

    /// Writes one crop of `picture` into `out` as `[3, S, S]`: planes R, G, B, normalised.
    ///
    /// # Errors
    ///
    /// A region of interest that is not inside the picture; a crop other than [`CropAt::Centre`] without
    /// [`Fit::Crop`]; planes smaller than the picture says; `out` of another length.
    pub fn run(&mut self, picture: &Picture<'_>, at: CropAt, out: &mut [f32]) -> Result<()> {
        let (plan, canvas) = self.plan(picture, at, out.len())?;
        let tile = self.cutter.cut(picture, &plan)?;
        if self.fit == Fit::Pad {
            // The borders show the mean colour, which is 0 once normalised.
            out.fill(0.0);
        }
        tile.write_normalised(&self.normaliser, canvas, out);
        Ok(())
    }

    /// Writes one crop of `picture` into `out` as `[S, S, 3]`, before normalising. Errors as [`Preprocessor::run`].
    pub fn run_rgb8(&mut self, picture: &Picture<'_>, at: CropAt, out: &mut [u8]) -> Result<()> {
        let (plan, canvas) = self.plan(picture, at, out.len())?;
        let tile = self.cutter.cut(picture, &plan)?;
        if self.fit == Fit::Pad {
            out.as_chunks_mut().0.fill(self.spec.mean.map(|mean| (mean * 255.0).round() as u8));
        }
        tile.write_rgb8(canvas, out);
        Ok(())
    }

    /// How bright the parts are that the centre crop of `picture` shows. Errors as [`Preprocessor::run`].
    pub fn luma(&self, picture: &Picture<'_>, out: &mut LumaGrid) -> Result<()> {
        let (plan, _) = self.plan(picture, CropAt::Centre, 3 * self.side() * self.side())?;
        check_planes(picture)?;
        let stored = (picture.width, picture.height);
        let bounds = Rect { x: 0, y: 0, w: picture.width, h: picture.height };
        out.read(picture, plan.region.to_stored(picture.rotation, stored).inside(bounds));
        Ok(())
    }

    /// What to cut out of `picture`, and where to put it in an output of `out_len` values.
    fn plan(&self, picture: &Picture<'_>, at: CropAt, out_len: usize) -> Result<(Plan, Canvas)> {
        let side = self.side();
        if out_len != 3 * side * side {
            return Err(Error::Internal(format!("a crop of {side}x{side} pixels does not go into {out_len} values")));
        }
        if at != CropAt::Centre && self.fit != Fit::Crop {
            return Err(Error::Usage(format!("three crops need --fit crop, not --fit {}", self.fit)));
        }
        let (width, height) = picture.display_size();
        if width == 0 || height == 0 {
            return Err(Error::Internal(format!("a decoded picture is {width}x{height}")));
        }
        let part = match self.roi {
            Some(roi) => {
                roi.check_inside(width, height)?;
                Rect { x: roi.x, y: roi.y, w: roi.w, h: roi.h }
            }
            None => Rect { x: 0, y: 0, w: width, h: height },
        };
        let plan = Plan::new(part, self.fit, at, self.spec.resize, self.spec.crop);
        let canvas = Canvas { side, left: plan.at.0 as usize, top: plan.at.1 as usize };
        Ok((plan, canvas))
    }
}
