//! The pixel formats that cameras speak, and what the driver says of their colours.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::source::live::shot::{Coding, Layout};
use crate::source::{Matrix, Rotation, Subsampling};
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

    fn coding(self) -> Coding {
        match self {
            Self::Nv12 => Coding::Nv12,
            Self::Yu12 => Coding::Planar(Subsampling::S420),
            Self::Yuyv => Coding::Yuyv,
            Self::Mjpeg => Coding::Mjpeg,
            Self::Rgb3 => Coding::Rgb,
            Self::Bgr3 => Coding::Bgr,
        }
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

/// What the driver says of its frames; numbers are the kernel's.
pub(super) struct Told {
    pub format: CameraFormat,
    pub width: u32,
    pub height: u32,
    pub bytes_per_line: u32,
    pub colorspace: u32,
    pub ycbcr_encoding: u32,
    pub quantization: u32,
}

/// The layout of frames, with the kernel's defaults for what is not said. The error is a sentence without a name.
pub(super) fn layout(told: &Told, matrix: Option<Matrix>) -> Result<Layout, String> {
    use v4l::v4l_sys as v4l2;
    // The kernel's own rules: V4L2_MAP_YCBCR_ENC_DEFAULT and V4L2_MAP_QUANTIZATION_DEFAULT in videodev2.h.
    let tagged = match (told.ycbcr_encoding, told.colorspace) {
        (v4l2::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709, _)
        | (0, v4l2::v4l2_colorspace_V4L2_COLORSPACE_REC709 | v4l2::v4l2_colorspace_V4L2_COLORSPACE_DCI_P3) => {
            Matrix::Bt709
        }
        (v4l2::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020, _) | (0, v4l2::v4l2_colorspace_V4L2_COLORSPACE_BT2020) => {
            Matrix::Bt2020
        }
        _ => Matrix::Bt601,
    };
    let full_range = match told.quantization {
        v4l2::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE => true,
        v4l2::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE => false,
        _ => told.colorspace == v4l2::v4l2_colorspace_V4L2_COLORSPACE_JPEG,
    };
    let mut layout = Layout {
        width: told.width,
        height: told.height,
        coding: told.format.coding(),
        stride: 0,
        full_range,
        matrix: matrix.unwrap_or(tagged),
        rotation: Rotation::None,
    };
    // Some drivers leave the bytes of a line open, which means no gap.
    layout.stride = layout.row().max(told.bytes_per_line as usize);
    if told.format == CameraFormat::Mjpeg {
        layout.stride = 0;
    } else if layout.stride > layout.row().saturating_mul(4).max(1 << 14) {
        return Err(format!("its driver says that a row has {} bytes, which cannot be", told.bytes_per_line));
    }
    Ok(layout)
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

    #[test]
    fn colours_follow_the_kernels_rules() {
        use v4l::v4l_sys as v4l2;
        let told = |colorspace, ycbcr_encoding, quantization| Told {
            format: CameraFormat::Yuyv,
            width: 640,
            height: 480,
            bytes_per_line: 0,
            colorspace,
            ycbcr_encoding,
            quantization,
        };
        let seen = |told| layout(&told, None).map(|l| (l.matrix, l.full_range, l.stride)).expect("a layout");
        assert_eq!(seen(told(v4l2::v4l2_colorspace_V4L2_COLORSPACE_SRGB, 0, 0)), (Matrix::Bt601, false, 1280));
        assert_eq!(seen(told(v4l2::v4l2_colorspace_V4L2_COLORSPACE_JPEG, 0, 0)), (Matrix::Bt601, true, 1280));
        assert_eq!(seen(told(v4l2::v4l2_colorspace_V4L2_COLORSPACE_REC709, 0, 0)), (Matrix::Bt709, false, 1280));
        assert_eq!(seen(told(v4l2::v4l2_colorspace_V4L2_COLORSPACE_SRGB, 2, 1)), (Matrix::Bt709, true, 1280));
        let wrong = Told { bytes_per_line: u32::MAX, ..told(0, 0, 0) };
        assert!(layout(&wrong, None).expect_err("refused").contains("cannot be"));
        assert_eq!(layout(&told(0, 0, 0), Some(Matrix::Bt2020)).expect("a layout").matrix, Matrix::Bt2020);
    }
}
