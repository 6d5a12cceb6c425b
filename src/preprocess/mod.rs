//! A picture becomes a normalised crop `[3, S, S]`.
//!
//! The order is the reference's: RGB, upright, region of interest, shorter side to `resize` by Pillow's antialiased
//! bicubic, crop, 0..1, mean and standard deviation. Only what the crop needs is computed: YUV is converted and
//! pixels are resampled inside the crop's own source rectangle, and the small result is turned upright, not the
//! whole picture.

mod colour;
mod cut;
mod geometry;
mod luma;
mod preprocessor;
mod resample;
mod roi;
mod spec;
mod tile;
mod whole;
mod yuv;

pub use luma::{CELLS, LumaGrid, UNITS};
pub use preprocessor::Preprocessor;
pub use roi::Roi;
pub use spec::{CropAt, Fit, PreprocessSpec};
pub use whole::{Upright, upright};
