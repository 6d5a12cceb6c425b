//! The kernel's structures for formats, in both variants of its API, and the layout of frames that they describe.
//!
//! In the single-planar API a frame is one block of memory; in the multi-planar API, the only one of the camera
//! interfaces of many boards, it may be several blocks. Frames in one block are supported, in both variants.

use v4l::v4l_sys::*;

use super::super::raw_frame::{Coding, FrameLayout};
use super::CameraFormat;
use crate::picture::{Matrix, PixelAspect, Rotation, Subsampling};

/// Structures of the kernel's video interface.
///
/// # Safety
/// Only for plain C structures for which zeros are a value, and without pointers that the kernel follows.
pub(super) unsafe trait KernelStruct: Sized {
    /// All zeros, as the interface requires for fields that are not set.
    fn zeroed() -> Self {
        // SAFETY: implementing the trait promises that zeros are a value.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! kernel_structs {
    ($($name:ident),*) => { $(
        // SAFETY: a C structure of whole numbers and unions of them.
        unsafe impl KernelStruct for $name {}
    )* };
}
kernel_structs!(
    v4l2_capability,
    v4l2_fmtdesc,
    v4l2_frmsizeenum,
    v4l2_frmivalenum,
    v4l2_format,
    v4l2_streamparm,
    v4l2_requestbuffers
);

/// The variant of the kernel's API that a device is used through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    SinglePlanar,
    MultiPlanar,
}

/// A format as a driver reports it. All numbers are the kernel's.
#[derive(Clone, Copy)]
pub(super) struct DriverFormat {
    pub format: u32,
    pub width: u32,
    pub height: u32,
    pub field: u32,
    pub bytes_per_line: u32,
    pub colorspace: u32,
    pub ycbcr_encoding: u32,
    pub quantization: u32,
    /// Memory blocks per frame.
    pub blocks: u8,
}

impl Api {
    /// The variant that a device captures video through, the simpler one if it has both; `None` if it does not capture.
    pub fn of(capabilities: u32) -> Option<Self> {
        match capabilities {
            c if c & V4L2_CAP_VIDEO_CAPTURE != 0 => Some(Self::SinglePlanar),
            c if c & V4L2_CAP_VIDEO_CAPTURE_MPLANE != 0 => Some(Self::MultiPlanar),
            _ => None,
        }
    }

    /// The type of buffers in calls.
    pub fn buffer_type(self) -> u32 {
        match self {
            Self::SinglePlanar => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Self::MultiPlanar => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }

    /// A request for whole frames of a format and size.
    pub fn request(self, format: u32, (width, height): (u32, u32)) -> v4l2_format {
        let mut request = v4l2_format { type_: self.buffer_type(), ..v4l2_format::zeroed() };
        let field = v4l2_field_V4L2_FIELD_NONE;
        match self {
            Self::SinglePlanar => {
                // SAFETY: whole numbers, for which zeros are a value.
                request.fmt.pix =
                    v4l2_pix_format { width, height, pixelformat: format, field, ..unsafe { std::mem::zeroed() } };
            }
            Self::MultiPlanar => {
                request.fmt.pix_mp = v4l2_pix_format_mplane {
                    width,
                    height,
                    pixelformat: format,
                    field,
                    num_planes: 1,
                    // SAFETY: as above.
                    ..unsafe { std::mem::zeroed() }
                };
            }
        }
        request
    }

    /// The format that the driver set in answer to a request.
    pub fn granted(self, answer: &v4l2_format) -> DriverFormat {
        match self {
            Self::SinglePlanar => {
                // SAFETY: the buffer type determines which part of the union is set, and it consists of whole numbers.
                let pix = unsafe { answer.fmt.pix };
                DriverFormat {
                    format: pix.pixelformat,
                    width: pix.width,
                    height: pix.height,
                    field: pix.field,
                    bytes_per_line: pix.bytesperline,
                    colorspace: pix.colorspace,
                    // SAFETY: both members of the union are whole numbers.
                    ycbcr_encoding: unsafe { pix.__bindgen_anon_1.ycbcr_enc },
                    quantization: pix.quantization,
                    blocks: 1,
                }
            }
            Self::MultiPlanar => {
                // SAFETY: as above.
                let pix = unsafe { answer.fmt.pix_mp };
                DriverFormat {
                    format: pix.pixelformat,
                    width: pix.width,
                    height: pix.height,
                    field: pix.field,
                    bytes_per_line: pix.plane_fmt[0].bytesperline,
                    colorspace: pix.colorspace,
                    // SAFETY: both members of the union are whole numbers.
                    ycbcr_encoding: u32::from(unsafe { pix.__bindgen_anon_1.ycbcr_enc }),
                    quantization: u32::from(pix.quantization),
                    blocks: pix.num_planes,
                }
            }
        }
    }
}

impl CameraFormat {
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

    /// The kernel's number of the format.
    pub(super) fn number(self) -> u32 {
        u32::from_le_bytes(self.code())
    }

    /// The format with the kernel's number; some drivers call motion JPEG `JPEG`.
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

impl DriverFormat {
    /// The layout of frames of `format`, with the kernel's defaults for what the driver leaves open; `matrix` overrides
    /// the driver's. The error is a sentence without the camera's name.
    pub fn layout(&self, format: CameraFormat, matrix: Option<Matrix>) -> Result<FrameLayout, String> {
        use v4l::v4l_sys as v4l2;
        // The kernel's own rules: V4L2_MAP_YCBCR_ENC_DEFAULT and V4L2_MAP_QUANTIZATION_DEFAULT in videodev2.h.
        let tagged = match (self.ycbcr_encoding, self.colorspace) {
            (v4l2::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709, _)
            | (0, v4l2::v4l2_colorspace_V4L2_COLORSPACE_REC709 | v4l2::v4l2_colorspace_V4L2_COLORSPACE_DCI_P3) => {
                Matrix::Bt709
            }
            (v4l2::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_BT2020, _)
            | (0, v4l2::v4l2_colorspace_V4L2_COLORSPACE_BT2020) => Matrix::Bt2020,
            _ => Matrix::Bt601,
        };
        let full_range = match self.quantization {
            v4l2::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE => true,
            v4l2::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE => false,
            _ => self.colorspace == v4l2::v4l2_colorspace_V4L2_COLORSPACE_JPEG,
        };
        let mut layout = FrameLayout {
            width: self.width,
            height: self.height,
            coding: format.coding(),
            stride: 0,
            full_range,
            matrix: matrix.unwrap_or(tagged),
            rotation: Rotation::None,
            aspect: PixelAspect::SQUARE,
        };
        // Some drivers do not set the bytes per line, which means no gap.
        layout.stride = layout.row_bytes().max(self.bytes_per_line as usize);
        if format == CameraFormat::Mjpeg {
            layout.stride = 0;
        } else if layout.stride > layout.row_bytes().saturating_mul(4).max(1 << 14) {
            return Err(format!("its driver reports rows of {} bytes, which is impossible", self.bytes_per_line));
        }
        Ok(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_single_planar_api_is_preferred() {
        let (single, multi) = (V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE);
        assert_eq!(Api::of(single | multi), Some(Api::SinglePlanar));
        assert_eq!(Api::of(multi), Some(Api::MultiPlanar));
        assert_eq!(Api::of(V4L2_CAP_VIDEO_OUTPUT), None);
    }

    #[test]
    fn a_request_is_read_back_in_both_apis() {
        let yuyv = u32::from_le_bytes(*b"YUYV");
        for api in [Api::SinglePlanar, Api::MultiPlanar] {
            let granted = api.granted(&api.request(yuyv, (640, 360)));
            assert_eq!((granted.format, granted.width, granted.height, granted.blocks), (yuyv, 640, 360, 1), "{api:?}");
            assert_eq!(granted.field, v4l2_field_V4L2_FIELD_NONE, "{api:?}");
        }
    }

    #[test]
    fn range_and_matrix_follow_the_kernels_rules() {
        let format = |colorspace, ycbcr_encoding, quantization| DriverFormat {
            format: CameraFormat::Yuyv.number(),
            width: 640,
            height: 480,
            field: 0,
            bytes_per_line: 0,
            colorspace,
            ycbcr_encoding,
            quantization,
            blocks: 1,
        };
        let yuyv = |format: DriverFormat, matrix| format.layout(CameraFormat::Yuyv, matrix);
        let tags = |format| {
            yuyv(format, None).map(|layout| (layout.matrix, layout.full_range, layout.stride)).expect("a layout")
        };
        assert_eq!(tags(format(v4l2_colorspace_V4L2_COLORSPACE_SRGB, 0, 0)), (Matrix::Bt601, false, 1280));
        assert_eq!(tags(format(v4l2_colorspace_V4L2_COLORSPACE_JPEG, 0, 0)), (Matrix::Bt601, true, 1280));
        assert_eq!(tags(format(v4l2_colorspace_V4L2_COLORSPACE_REC709, 0, 0)), (Matrix::Bt709, false, 1280));
        assert_eq!(tags(format(v4l2_colorspace_V4L2_COLORSPACE_SRGB, 2, 1)), (Matrix::Bt709, true, 1280));
        let wrong = DriverFormat { bytes_per_line: u32::MAX, ..format(0, 0, 0) };
        assert!(yuyv(wrong, None).expect_err("refused").contains("impossible"));
        let overridden = yuyv(format(0, 0, 0), Some(Matrix::Bt2020)).expect("a layout");
        assert_eq!(overridden.matrix, Matrix::Bt2020);
    }

    #[test]
    fn formats_are_found_by_their_numbers() {
        for format in CameraFormat::ALL {
            assert_eq!(CameraFormat::of_number(format.number()), Some(format));
        }
        assert_eq!(CameraFormat::of_number(u32::from_le_bytes(*b"JPEG")), Some(CameraFormat::Mjpeg));
        assert_eq!(CameraFormat::of_number(u32::from_le_bytes(*b"H264")), None);
    }
}
