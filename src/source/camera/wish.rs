//! What is wished for of a camera's mode.

use std::str::FromStr;

use super::format::CameraFormat;
use crate::source::limits::{MAX_VIDEO_PIXELS, check_size};
use crate::{Error, Result};

/// What is wished for; what is left open is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CameraWish {
    /// The pixel format.
    pub format: Option<CameraFormat>,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// Frames a second.
    pub fps: Option<f64>,
}

impl CameraWish {
    /// From what was typed.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flag.
    pub fn parse(format: Option<&str>, size: Option<&str>, fps: Option<f64>) -> Result<Self> {
        let size = size.map(|text| {
            let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            sides.filter(|&(w, h)| check_size(w, h, MAX_VIDEO_PIXELS).is_ok()).ok_or_else(|| {
                Error::Usage(format!("--camera-size {text:?} is not a size; give width x height, such as 640x480"))
            })
        });
        if let Some(fps) = fps.filter(|fps| !(0.1..=1000.0).contains(fps)) {
            return Err(Error::Usage(format!("--camera-fps {fps}: give frames a second, from 0.1 to 1000")));
        }
        Ok(Self { format: format.map(CameraFormat::from_str).transpose()?, size: size.transpose()?, fps })
    }
}
