//! What a model wants to be shown, and how a picture of another shape is made to fit.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Largest `resize`: more than any published encoder takes, and a bound on memory.
const RESIZE_LIMIT: u32 = 4096;

/// The `[preprocess]` part of a manifest.
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
    /// What is wrong with these values, as a sentence that names the manifest's field.
    pub fn check(&self) -> Result<(), String> {
        if self.crop == 0 {
            return Err("preprocess.crop is 0; give the side in pixels that the encoder takes".into());
        }
        if self.resize > RESIZE_LIMIT {
            return Err(format!("preprocess.resize is {}; the most is {RESIZE_LIMIT}", self.resize));
        }
        if self.resize < self.crop {
            let (resize, crop) = (self.resize, self.crop);
            return Err(format!("preprocess.resize {resize} is smaller than preprocess.crop {crop}; it must not be"));
        }
        if !self.mean.iter().all(|m| (0.0..=1.0).contains(m)) {
            return Err(format!("preprocess.mean is {:?}; each must lie in 0..1", self.mean));
        }
        if !self.std.iter().all(|s| (1e-3..=1e3).contains(s)) {
            return Err(format!("preprocess.std is {:?}; each must lie in 0.001..1000", self.std));
        }
        Ok(())
    }
}

/// How a picture that is not square becomes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Shorter side to `resize`, then a crop: what BIKE does. Loses the far ends of a wide picture.
    #[default]
    Crop,
    /// The whole picture, its shape kept, with borders of the model's mean colour (0 after normalising).
    Pad,
    /// The whole picture, squeezed into the square.
    Stretch,
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
    /// Third of three: x = 2 * ((width - S) / 4). Not always where [`CropAt::Centre`] is.
    Middle,
}

impl CropAt {
    /// The crops of BIKE's 1-crop protocol.
    pub const ONE: [Self; 1] = [Self::Centre];
    /// The crops of BIKE's 3-crop protocol, in its order.
    pub const THREE: [Self; 3] = [Self::Left, Self::Right, Self::Middle];
}

impl FromStr for Fit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "crop" => Ok(Self::Crop),
            "pad" => Ok(Self::Pad),
            "stretch" => Ok(Self::Stretch),
            _ => Err(Error::Usage(format!("--fit {text:?} is not known; use crop, pad or stretch"))),
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
