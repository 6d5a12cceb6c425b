//! The modes that cameras offer and that can be requested.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::picture::{MAX_VIDEO_PIXELS, check_size};
use crate::units::{ParseError, serde_as_text};
use crate::{Error, Result};

/// A pixel format, in order of preference: formats that cost less to decode come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum CameraFormat {
    /// 4:2:0, chroma interleaved.
    Nv12,
    /// 4:2:0, three planes (I420).
    Yu12,
    /// 4:2:2, packed.
    Yuyv,
    /// One JPEG per frame.
    Mjpeg,
    /// R, G, B.
    Rgb3,
    /// B, G, R.
    Bgr3,
}

impl CameraFormat {
    /// All formats.
    pub const ALL: [Self; 6] = [Self::Nv12, Self::Yu12, Self::Yuyv, Self::Mjpeg, Self::Rgb3, Self::Bgr3];
}

impl fmt::Display for CameraFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nv12 => "nv12",
            Self::Yu12 => "yu12",
            Self::Yuyv => "yuyv",
            Self::Mjpeg => "mjpeg",
            Self::Rgb3 => "rgb3",
            Self::Bgr3 => "bgr3",
        })
    }
}

impl FromStr for CameraFormat {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let lower = text.to_ascii_lowercase();
        let same = |format: &Self| {
            let alias = match format {
                Self::Mjpeg => "mjpg",
                Self::Yu12 => "i420",
                Self::Yuyv => "yuy2",
                _ => "",
            };
            lower == format.to_string() || lower == alias
        };
        Self::ALL.into_iter().find(same).ok_or_else(|| {
            ParseError::new(format!("{text:?} is not a supported format"), "use mjpeg, yuyv, nv12, yu12, rgb3 or bgr3")
        })
    }
}

impl TryFrom<String> for CameraFormat {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

/// Width and height in pixels. As text `640x480`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameSize {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// The remedy for a text that is not a size.
const SIZE_REMEDY: &str = "give width x height, such as 640x480";

impl FromStr for FrameSize {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height) = sides.ok_or_else(|| ParseError::new(format!("{text:?} is not a size"), SIZE_REMEDY))?;
        Ok(Self { width, height })
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

serde_as_text!(FrameSize);

/// The requested mode of a camera. Unset values are chosen automatically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureRequest {
    /// Pixel format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<CameraFormat>,
    /// Width and height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<FrameSize>,
    /// Frames per second, 0.1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

impl CaptureRequest {
    /// Checks the values. Whether the camera offers them is checked when it is opened.
    ///
    /// # Errors
    /// [`Error::Setting`] of `size` or `rate`.
    pub fn check(&self) -> Result<()> {
        if let Some(size) = self.size
            && check_size(size.width, size.height, MAX_VIDEO_PIXELS).is_err()
        {
            return Err(Error::setting("size", format!("{size} is not a size of pictures"), SIZE_REMEDY));
        }
        if let Some(rate) = self.rate.filter(|rate| !(0.1..=1000.0).contains(rate)) {
            let remedy = "give frames per second from 0.1 to 1000";
            return Err(Error::setting("rate", format!("{rate} is out of range"), remedy));
        }
        Ok(())
    }
}

/// A camera that was found.
#[derive(Clone, Debug, Serialize)]
pub struct CameraInfo {
    /// Its device file, which may change when it is plugged in again.
    pub device: PathBuf,
    /// The name that its driver reports.
    pub name: String,
    /// Names that stay the same: what can follow `camera:`, best first.
    pub ids: Vec<String>,
    /// Its driver.
    pub driver: String,
    /// Supported modes.
    pub modes: Vec<ModeInfo>,
    /// Codes of formats that it offers and that are not supported here.
    pub other_formats: Vec<String>,
    /// Why it cannot be used, if so.
    pub problem: Option<String>,
}

/// A format and the sizes that it is offered in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModeInfo {
    /// The pixel format.
    pub format: CameraFormat,
    /// The sizes.
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
    /// Frames per second; empty if the driver does not list them.
    pub rates: Vec<f64>,
}

impl SizeInfo {
    /// The offered size that is nearest to `wanted`.
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
    fn formats_have_names_and_aliases() {
        for format in CameraFormat::ALL {
            assert_eq!(format.to_string().parse::<CameraFormat>().expect("parses"), format);
        }
        assert_eq!("I420".parse::<CameraFormat>().expect("parses"), CameraFormat::Yu12);
        assert!("h264".parse::<CameraFormat>().expect_err("refused").to_string().contains("mjpeg, yuyv"));
    }

    #[test]
    fn a_range_offers_its_nearest_size() {
        let range = SizeInfo { min: (16, 16), max: (1923, 1085), step: (8, 2), rates: Vec::new() };
        assert_eq!(range.nearest((640, 480)), (640, 480));
        assert_eq!(range.nearest((643, 481)), (640, 482));
        assert_eq!(range.nearest((5000, 5000)), (1920, 1084));
        assert_eq!(range.nearest((1, 1)), (16, 16));
    }

    #[test]
    fn a_request_is_read_from_toml() {
        let text = "format = \"MJPG\"\nsize = \"640x480\"\nrate = 15.0";
        let size = FrameSize { width: 640, height: 480 };
        let request: CaptureRequest = toml::from_str(text).expect("a request");
        assert_eq!(request, CaptureRequest { format: Some(CameraFormat::Mjpeg), size: Some(size), rate: Some(15.0) });
        assert_eq!(toml::from_str::<CaptureRequest>("").expect("the default"), CaptureRequest::default());
        for wrong in ["format = \"h264\"", "size = \"640\"", "fps = 15.0"] {
            assert!(toml::from_str::<CaptureRequest>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_rates_out_of_range_are_refused() {
        for text in ["640", "640x", "-1x5", "0x480", "99999x99999"] {
            let refused = match text.parse() {
                Err(e) => ParseError::setting(e, "size"),
                Ok(size) => CaptureRequest { size: Some(size), ..Default::default() }.check().expect_err("refused"),
            };
            assert!(refused.to_string().starts_with("size: "), "{refused}");
        }
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let request = CaptureRequest { rate: Some(rate), ..Default::default() };
            assert!(request.check().expect_err("refused").to_string().starts_with("rate: "));
        }
        assert!(CaptureRequest { rate: Some(29.97), ..Default::default() }.check().is_ok());
    }
}
