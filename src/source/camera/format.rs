//! The pixel formats that cameras speak.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::{Error, Result};

/// A pixel format, best first where a camera has several: what costs least to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraFormat {
    /// 4:2:0, chroma interleaved.
    Nv12,
    /// 4:2:0, three planes (I420).
    Yu12,
    /// 4:2:2, packed.
    Yuyv,
    /// A JPEG a frame.
    Mjpeg,
    /// R, G, B.
    Rgb3,
    /// B, G, R.
    Bgr3,
}

impl CameraFormat {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Nv12, Self::Yu12, Self::Yuyv, Self::Mjpeg, Self::Rgb3, Self::Bgr3];

    fn code(self) -> [u8; 4] {
        *match self {
            Self::Nv12 => b"NV12",
            Self::Yu12 => b"YU12",
            Self::Yuyv => b"YUYV",
            Self::Mjpeg => b"MJPG",
            Self::Rgb3 => b"RGB3",
            Self::Bgr3 => b"BGR3",
        }
    }

    /// The kernel's number for it.
    pub(super) fn number(self) -> u32 {
        u32::from_le_bytes(self.code())
    }

    /// The format with the kernel's number; `JPEG` is what some drivers call motion JPEG.
    pub(super) fn of_number(number: u32) -> Option<Self> {
        let code = if number.to_le_bytes() == *b"JPEG" { *b"MJPG" } else { number.to_le_bytes() };
        Self::ALL.into_iter().find(|format| format.code() == code)
    }
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
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.to_ascii_lowercase();
        let same = |format: &Self| {
            let other = match format {
                Self::Mjpeg => "mjpg",
                Self::Yu12 => "i420",
                Self::Yuyv => "yuy2",
                _ => "",
            };
            text == format.to_string() || text == other
        };
        Self::ALL.into_iter().find(same).ok_or_else(|| {
            Error::Usage(format!("--camera-format {text:?} is not known; use mjpeg, yuyv, nv12, yu12, rgb3 or bgr3"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_names_and_numbers() {
        for format in CameraFormat::ALL {
            assert_eq!(CameraFormat::of_number(format.number()), Some(format));
            assert_eq!(format.to_string().parse::<CameraFormat>().expect("parses"), format);
        }
        assert_eq!(CameraFormat::of_number(u32::from_le_bytes(*b"JPEG")), Some(CameraFormat::Mjpeg));
        assert_eq!(CameraFormat::of_number(u32::from_le_bytes(*b"H264")), None);
        assert_eq!("I420".parse::<CameraFormat>().expect("parses"), CameraFormat::Yu12);
        assert!("h264".parse::<CameraFormat>().expect_err("refused").to_string().contains("--camera-format"));
    }
}
