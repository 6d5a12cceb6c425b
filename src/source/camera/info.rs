//! What is told of cameras, to people and programs.

use std::path::PathBuf;

use serde::Serialize;

use super::format::CameraFormat;

/// A camera, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub struct CameraInfo {
    /// Its device file, which may be another one tomorrow.
    pub device: PathBuf,
    /// What its driver calls it.
    pub name: String,
    /// Names that stay: what can follow `camera:`, best first.
    pub ids: Vec<String>,
    /// Its driver.
    pub driver: String,
    /// Modes that are read here.
    pub modes: Vec<ModeInfo>,
    /// Codes of formats that it offers and that are not read here.
    pub other_formats: Vec<String>,
    /// Why it cannot be used, where it cannot.
    pub problem: Option<String>,
}

/// A format and the sizes it comes in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModeInfo {
    /// The pixel format.
    pub format: CameraFormat,
    /// Sizes.
    pub sizes: Vec<SizeInfo>,
}

/// A size, or a range of sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeInfo {
    /// Smallest width and height.
    pub min: (u32, u32),
    /// Largest width and height; the same as `min` for a single size.
    pub max: (u32, u32),
    /// Pixels from one width, and height, to the next; at least 1.
    pub step: (u32, u32),
    /// Frames a second; empty where the driver does not say.
    pub rates: Vec<f64>,
}

impl SizeInfo {
    /// The size nearest to `wanted` that is offered.
    pub fn nearest(&self, wanted: (u32, u32)) -> (u32, u32) {
        let along = |wanted: u32, min: u32, max: u32, step: u32| {
            let steps = (wanted.clamp(min, max) - min + step / 2) / step;
            min + (steps * step).min((max - min) / step * step)
        };
        let (width, height) = wanted;
        (along(width, self.min.0, self.max.0, self.step.0), along(height, self.min.1, self.max.1, self.step.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_offers_its_nearest_size() {
        let range = SizeInfo { min: (16, 16), max: (1923, 1085), step: (8, 2), rates: Vec::new() };
        assert_eq!(range.nearest((640, 480)), (640, 480));
        assert_eq!(range.nearest((643, 481)), (640, 482));
        assert_eq!(range.nearest((5000, 5000)), (1920, 1084));
        assert_eq!(range.nearest((1, 1)), (16, 16));
    }
}
