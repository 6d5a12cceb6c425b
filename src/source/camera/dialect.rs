//! The two dialects of the kernel's video interface: a frame is one piece of memory, or may be several ("multi-planar"),
//! which the camera interfaces of many boards speak alone. Read are frames in one piece, in either.

use v4l::v4l_sys::*;

use super::node::Plain;

/// A dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    SinglePlanar,
    MultiPlanar,
}

/// A format as the driver says it; numbers are the kernel's.
pub(super) struct Pix {
    pub format: u32,
    pub width: u32,
    pub height: u32,
    pub field: u32,
    pub bytes_per_line: u32,
    pub colorspace: u32,
    pub ycbcr_encoding: u32,
    pub quantization: u32,
    /// Pieces of memory that a frame has.
    pub pieces: u8,
}

impl Dialect {
    /// The one in which a device captures video, the simpler one where it speaks both; `None` where it does not capture.
    pub fn of(capabilities: u32) -> Option<Self> {
        match capabilities {
            c if c & V4L2_CAP_VIDEO_CAPTURE != 0 => Some(Self::SinglePlanar),
            c if c & V4L2_CAP_VIDEO_CAPTURE_MPLANE != 0 => Some(Self::MultiPlanar),
            _ => None,
        }
    }

    /// The kind of buffer that calls are about.
    pub fn kind(self) -> u32 {
        match self {
            Self::SinglePlanar => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Self::MultiPlanar => v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }

    /// A wish for whole frames of a format and size.
    pub fn wish(self, format: u32, (width, height): (u32, u32)) -> v4l2_format {
        let mut wish = v4l2_format { type_: self.kind(), ..v4l2_format::zeroed() };
        let field = v4l2_field_V4L2_FIELD_NONE;
        match self {
            Self::SinglePlanar => {
                // SAFETY: whole numbers, for which zeros are a value.
                wish.fmt.pix =
                    v4l2_pix_format { width, height, pixelformat: format, field, ..unsafe { std::mem::zeroed() } };
            }
            Self::MultiPlanar => {
                wish.fmt.pix_mp = v4l2_pix_format_mplane {
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
        wish
    }

    /// What the driver made of a wish.
    pub fn given(self, told: &v4l2_format) -> Pix {
        match self {
            Self::SinglePlanar => {
                // SAFETY: the kind of buffer says which part of the union is set, and it is made of whole numbers.
                let pix = unsafe { told.fmt.pix };
                Pix {
                    format: pix.pixelformat,
                    width: pix.width,
                    height: pix.height,
                    field: pix.field,
                    bytes_per_line: pix.bytesperline,
                    colorspace: pix.colorspace,
                    // SAFETY: either name of the union is a whole number.
                    ycbcr_encoding: unsafe { pix.__bindgen_anon_1.ycbcr_enc },
                    quantization: pix.quantization,
                    pieces: 1,
                }
            }
            Self::MultiPlanar => {
                // SAFETY: as above.
                let pix = unsafe { told.fmt.pix_mp };
                Pix {
                    format: pix.pixelformat,
                    width: pix.width,
                    height: pix.height,
                    field: pix.field,
                    bytes_per_line: pix.plane_fmt[0].bytesperline,
                    colorspace: pix.colorspace,
                    // SAFETY: either name of the union is a whole number.
                    ycbcr_encoding: u32::from(unsafe { pix.__bindgen_anon_1.ycbcr_enc }),
                    quantization: u32::from(pix.quantization),
                    pieces: pix.num_planes,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simpler_dialect_is_spoken_where_there_is_a_choice() {
        let (single, multi) = (V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE);
        assert_eq!(Dialect::of(single | multi), Some(Dialect::SinglePlanar));
        assert_eq!(Dialect::of(multi), Some(Dialect::MultiPlanar));
        assert_eq!(Dialect::of(V4L2_CAP_VIDEO_OUTPUT), None);
    }

    #[test]
    fn a_wish_is_read_back_in_either_dialect() {
        let yuyv = u32::from_le_bytes(*b"YUYV");
        for dialect in [Dialect::SinglePlanar, Dialect::MultiPlanar] {
            let given = dialect.given(&dialect.wish(yuyv, (640, 360)));
            assert_eq!((given.format, given.width, given.height, given.pieces), (yuyv, 640, 360, 1), "{dialect:?}");
            assert_eq!(given.field, v4l2_field_V4L2_FIELD_NONE, "{dialect:?}");
        }
    }
}
