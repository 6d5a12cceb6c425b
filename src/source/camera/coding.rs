//! What the driver says of its frames, and what that makes of their bytes.

use super::format::CameraFormat;
use crate::source::live::shot::{Coding, Layout};
use crate::source::{Matrix, Rotation, Subsampling};

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
        coding: coding(told.format),
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

/// How a format writes pixels down.
fn coding(format: CameraFormat) -> Coding {
    match format {
        CameraFormat::Nv12 => Coding::Nv12,
        CameraFormat::Yu12 => Coding::Planar(Subsampling::S420),
        CameraFormat::Yuyv => Coding::Yuyv,
        CameraFormat::Mjpeg => Coding::Mjpeg,
        CameraFormat::Rgb3 => Coding::Rgb,
        CameraFormat::Bgr3 => Coding::Bgr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
