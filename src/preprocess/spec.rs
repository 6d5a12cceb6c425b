//! The input of a model, and how pictures of other shapes are fitted to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::picture::{Picture, Rect};
use crate::units::ParseError;
use crate::{Error, Result};

/// How a picture becomes a crop: the values of `[preprocess]` in the bundle's manifest
/// ([`crate::bundle`]), which limits them further.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreprocessSpec {
    /// Length in pixels of the shorter side before cropping.
    pub resize: u32,
    /// Side in pixels of the square that the encoder takes, S.
    pub crop: u32,
    /// Mean of R, G and B, on a scale of 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of R, G and B, on a scale of 0..1.
    pub std: [f32; 3],
}

impl PreprocessSpec {
    /// Largest `resize`: more than any published encoder takes, and a bound on memory.
    pub const MAX_RESIZE: u32 = 2048;

    /// Checks the values.
    ///
    /// # Errors
    /// A sentence that names the manifest's field.
    pub fn check(&self) -> Result<(), String> {
        if self.crop == 0 {
            return Err("preprocess.crop is 0; give the side in pixels that the encoder takes".into());
        }
        if self.resize > Self::MAX_RESIZE {
            return Err(format!("preprocess.resize is {}; the maximum is {}", self.resize, Self::MAX_RESIZE));
        }
        if self.resize < self.crop {
            let (resize, crop) = (self.resize, self.crop);
            return Err(format!(
                "preprocess.resize {resize} is smaller than preprocess.crop {crop}; give at least {crop}"
            ));
        }
        if !self.mean.iter().all(|m| (0.0..=1.0).contains(m)) {
            return Err(format!("preprocess.mean is {:?}; each value must be in 0..1", self.mean));
        }
        if !self.std.iter().all(|s| (1e-3..=1e3).contains(s)) {
            return Err(format!("preprocess.std is {:?}; each value must be in 0.001..1000", self.std));
        }
        Ok(())
    }
}

/// Which part of a picture is analysed, and how it is made square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionSpec {
    /// How the part is made square.
    pub fit: Fit,
    /// The part, in pixels of the upright picture; `None` for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roi: Option<Rect>,
}

impl RegionSpec {
    /// Checks the values. Whether the region is inside the picture is checked with each picture.
    ///
    /// # Errors
    /// [`Error::Setting`] of `roi`.
    pub fn check(&self) -> Result<()> {
        match self.roi {
            Some(roi) if roi.w == 0 || roi.h == 0 => {
                Err(Error::setting("roi", format!("{roi} is empty"), "its width and height must be at least 1"))
            }
            _ => Ok(()),
        }
    }

    /// The part of `picture` that is analysed, in pixels of the upright picture.
    ///
    /// # Errors
    /// [`Error::Setting`] of `roi` if it is not inside the picture; [`Error::Internal`] for an empty picture.
    pub(super) fn part_of(&self, picture: &Picture<'_>) -> Result<Rect> {
        let (width, height) = picture.display_size();
        if width == 0 || height == 0 {
            return Err(Error::Internal(format!("a decoded picture is {width}x{height}")));
        }
        let Some(roi) = self.roi else { return Ok(Rect::whole((width, height))) };
        roi.check_inside("roi", (width, height))?;
        Ok(roi)
    }
}

/// How a picture is made square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Resizes the shorter side to `resize` and crops, as BIKE does. Loses the left and right edges of a wide picture.
    #[default]
    Crop,
    /// Keeps the whole picture and its shape, with borders of the model's mean colour (0 after normalising).
    Pad,
    /// Squeezes the whole picture into the square.
    Stretch,
}

impl FromStr for Fit {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "crop" => Ok(Self::Crop),
            "pad" => Ok(Self::Pad),
            "stretch" => Ok(Self::Stretch),
            _ => Err(ParseError::new(format!("{text:?} is not a way to fit"), "use crop, pad or stretch")),
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crop => "crop",
            Self::Pad => "pad",
            Self::Stretch => "stretch",
        })
    }
}

/// Which crop of a resized picture; anything but [`CropAt::Centre`] needs [`Fit::Crop`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropAt {
    /// The only crop, centred: offset `round((side - S) / 2)`, ties to even.
    #[default]
    Centre,
    /// First of three: x = 0.
    Left,
    /// Second of three: x = 4 * ((width - S) / 4), which need not touch the edge.
    Right,
    /// Third of three: x = 2 * ((width - S) / 4). Not always the same as [`CropAt::Centre`].
    Middle,
}

impl CropAt {
    /// The crops of BIKE's 1-crop protocol.
    pub const ONE: [Self; 1] = [Self::Centre];
    /// The crops of BIKE's 3-crop protocol, in its order.
    pub const THREE: [Self; 3] = [Self::Left, Self::Right, Self::Middle];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_read_from_toml() {
        let region: RegionSpec = toml::from_str("fit = \"pad\"\nroi = \"160,0,320,240\"").expect("a region");
        assert_eq!(region, RegionSpec { fit: Fit::Pad, roi: Some(Rect { x: 160, y: 0, w: 320, h: 240 }) });
        assert_eq!(toml::from_str::<RegionSpec>("").expect("the default"), RegionSpec::default());
        for wrong in ["fit = \"squash\"", "roi = \"1,2,3\"", "region = \"0,0,1,1\""] {
            assert!(toml::from_str::<RegionSpec>(wrong).is_err(), "{wrong}");
        }
        let empty = RegionSpec { roi: Some(Rect { x: 0, y: 0, w: 1, h: 0 }), ..region };
        assert!(region.check().is_ok() && empty.check().is_err());
    }
}
