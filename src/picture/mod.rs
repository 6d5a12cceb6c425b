//! Pictures in memory: pixel layouts, colour matrices, rotation, rectangles, and masks.

mod owned;
mod rect;
mod transform;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::ParseError;
use crate::{Error, Result};

pub use owned::OwnedPicture;
pub use rect::Rect;
pub use transform::PictureTransform;
pub(crate) use transform::PictureTransformer;

/// Maximum number of pixels of a video frame: a little over 8K UHD (7680 x 4320).
pub(crate) const MAX_VIDEO_PIXELS: u64 = 36_000_000;

/// A decoded picture as its decoder stored it, and how to rotate it upright.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Stored width in pixels, before rotation.
    pub width: u32,
    /// Stored height in pixels, before rotation.
    pub height: u32,
    /// Clockwise rotation that makes the picture upright.
    pub rotation: Rotation,
    /// The shape of a stored pixel.
    pub aspect: PixelAspect,
    /// The pixels.
    pub pixels: Pixels<'a>,
}

impl Picture<'_> {
    /// Width and height after rotation.
    pub fn display_size(&self) -> (u32, u32) {
        self.rotation.display_size((self.width, self.height))
    }

    /// Checks that every plane is large enough for the picture's size.
    ///
    /// # Errors
    /// [`Error::Internal`] naming the plane.
    pub(crate) fn check_planes(&self) -> Result<()> {
        let (width, height) = (self.width as usize, self.height as usize);
        match self.pixels {
            Pixels::Rgb { data, stride } => check_plane("RGB", data, stride, width * 3, height),
            Pixels::Yuv { planes, strides, subsampling, .. } => {
                check_plane("luma", planes[0], strides[0], width, height)?;
                if subsampling == Subsampling::Gray {
                    return Ok(());
                }
                let (width, height) = subsampling.chroma_size(width, height);
                check_plane("u", planes[1], strides[1], width, height)?;
                check_plane("v", planes[2], strides[2], width, height)
            }
        }
    }
}

/// The shape of a stored pixel, as width to height. Pixels of anamorphic video are wider or narrower than high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelAspect {
    width: u32,
    height: u32,
}

impl Default for PixelAspect {
    fn default() -> Self {
        Self::SQUARE
    }
}

impl PixelAspect {
    /// As wide as high.
    pub const SQUARE: Self = Self { width: 1, height: 1 };
    /// The largest ratio that is believed.
    const MAX_RATIO: u64 = 8;

    /// Pixels of `width` to `height`; square ones if either is 0 or the ratio is not believable.
    pub fn new(width: u32, height: u32) -> Self {
        let (w, h) = (u64::from(width), u64::from(height));
        if w == 0 || h == 0 || w > h * Self::MAX_RATIO || h > w * Self::MAX_RATIO {
            return Self::SQUARE;
        }
        Self { width, height }
    }

    /// The shape after a rotation of the picture.
    pub(crate) fn rotated(self, rotation: Rotation) -> Self {
        if rotation.swaps_sides() { Self { width: self.height, height: self.width } } else { self }
    }

    /// The size in square pixels, at the same height, of a part with the size `stored`.
    pub(crate) fn square_size(self, stored: (u32, u32)) -> (u32, u32) {
        let (width, w, h) = (u64::from(stored.0), u64::from(self.width), u64::from(self.height));
        (u32::try_from((width * w + h / 2) / h).unwrap_or(u32::MAX).max(1), stored.1)
    }
}

/// Checks that `data` holds `height` rows of `row` bytes, `stride` bytes apart.
fn check_plane(name: &str, data: &[u8], stride: usize, row: usize, height: usize) -> Result<()> {
    let needed = height.checked_sub(1).and_then(|rows| rows.checked_mul(stride)).and_then(|all| all.checked_add(row));
    match needed {
        Some(needed) if stride >= row && data.len() >= needed => Ok(()),
        _ => Err(Error::Internal(format!(
            "the {name} plane of a decoded picture has {} bytes, too few for {height} rows of {row} bytes with a stride \
             of {stride}",
            data.len()
        ))),
    }
}

/// Checks the size of a picture against a limit on its pixels. The error is a sentence without the input's name.
pub(crate) fn check_size(width: u32, height: u32, max_pixels: u64) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("its pictures are {width} x {height}, which is empty"));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(format!(
            "its pictures are {width} x {height}, more than the limit of {} million pixels; scale it down first",
            max_pixels / 1_000_000
        ));
    }
    Ok(())
}

/// Pixel storage. Slices hold at least `stride * (rows - 1) + row bytes` bytes.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// Interleaved RGB, 8 bits.
    Rgb {
        /// Rows of R, G, B.
        data: &'a [u8],
        /// Bytes from one row to the next.
        stride: usize,
    },
    /// Planar YUV, 8 bits.
    Yuv {
        /// Luma, u and v planes; u and v are empty for [`Subsampling::Gray`].
        planes: [&'a [u8]; 3],
        /// Bytes from one row to the next, per plane.
        strides: [usize; 3],
        /// How the chroma planes are subsampled.
        subsampling: Subsampling,
        /// Whether luma spans 0..255 instead of 16..235.
        full_range: bool,
        /// The matrix to RGB.
        matrix: Matrix,
    },
}

/// Chroma subsampling; odd sizes round up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsampling {
    /// Half width, half height.
    S420,
    /// Half width.
    S422,
    /// Full size.
    S444,
    /// No chroma.
    Gray,
}

impl Subsampling {
    /// Luma columns and rows per chroma sample.
    pub(crate) fn step(self) -> (u32, u32) {
        match self {
            Self::S420 => (2, 2),
            Self::S422 => (2, 1),
            Self::S444 | Self::Gray => (1, 1),
        }
    }

    /// Width and height of each chroma plane of a picture of `width x height`; 0 x 0 without chroma.
    pub(crate) fn chroma_size(self, width: usize, height: usize) -> (usize, usize) {
        let (step_x, step_y) = self.step();
        match self {
            Self::Gray => (0, 0),
            _ => (width.div_ceil(step_x as usize), height.div_ceil(step_y as usize)),
        }
    }
}

/// Matrix between YUV and RGB. Untagged video of any size is read as BT.601, as ffmpeg does. As text `bt601`, `bt709`
/// or `bt2020`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matrix {
    /// ITU-R BT.601.
    #[default]
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

impl FromStr for Matrix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "bt601" => Ok(Self::Bt601),
            "bt709" => Ok(Self::Bt709),
            "bt2020" => Ok(Self::Bt2020),
            _ => Err(ParseError::new(format!("{text:?} is not a matrix"), "use bt601, bt709 or bt2020")),
        }
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bt601 => "bt601",
            Self::Bt709 => "bt709",
            Self::Bt2020 => "bt2020",
        })
    }
}

/// Clockwise rotation that makes a stored picture upright. As a number 0, 90, 180 or 270.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum Rotation {
    /// No rotation.
    #[default]
    None,
    /// 90 degrees clockwise.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees clockwise.
    ThreeQuarters,
}

impl Rotation {
    const ALL: [Self; 4] = [Self::None, Self::Quarter, Self::Half, Self::ThreeQuarters];

    /// Returns this rotation followed by another.
    pub(crate) fn then(self, other: Self) -> Self {
        Self::ALL[(self as usize + other as usize) % 4]
    }

    /// Degrees clockwise.
    pub fn degrees(self) -> u32 {
        90 * self as u32
    }

    /// Returns whether width and height are swapped.
    pub(crate) fn swaps_sides(self) -> bool {
        matches!(self, Self::Quarter | Self::ThreeQuarters)
    }

    /// Width and height after rotation of a picture with the size `stored`.
    pub(crate) fn display_size(self, stored: (u32, u32)) -> (u32, u32) {
        if self.swaps_sides() { (stored.1, stored.0) } else { stored }
    }
}

impl TryFrom<i64> for Rotation {
    type Error = ParseError;

    fn try_from(degrees: i64) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|rotation| i64::from(rotation.degrees()) == degrees).ok_or_else(|| {
            ParseError::new(format!("{degrees} is not a rotation"), "give 0, 90, 180 or 270 degrees clockwise")
        })
    }
}

impl From<Rotation> for i64 {
    fn from(rotation: Rotation) -> Self {
        rotation.degrees().into()
    }
}

impl FromStr for Rotation {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong =
            || ParseError::new(format!("{text:?} is not a rotation"), "give 0, 90, 180 or 270 degrees clockwise");
        text.parse::<i64>().map_err(|_| wrong())?.try_into().map_err(|_| wrong())
    }
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.degrees())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_add_up_and_are_written_in_degrees() {
        use Rotation::*;
        assert_eq!((Quarter.then(Half), Half.then(Half), ThreeQuarters.then(Half)), (ThreeQuarters, None, Quarter));
        for rotation in Rotation::ALL {
            assert_eq!(rotation.to_string().parse::<Rotation>().expect("parses"), rotation);
            assert_eq!(Rotation::try_from(i64::from(rotation)).expect("converts"), rotation);
        }
        assert!(
            Rotation::try_from(45).is_err() && Rotation::try_from(-90).is_err() && "45".parse::<Rotation>().is_err()
        );
    }

    #[test]
    fn matrices_are_read_and_written_as_text() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            assert_eq!(matrix.to_string().parse::<Matrix>().expect("parses"), matrix);
            assert_eq!(serde_json::to_string(&matrix).expect("JSON"), format!("\"{matrix}\""));
        }
        assert!("bt470".parse::<Matrix>().is_err());
    }

    #[test]
    fn planes_that_are_too_small_are_an_internal_error() {
        let data = [0; 11];
        let pixels = Pixels::Rgb { data: &data, stride: 6 };
        let picture = Picture { width: 2, height: 2, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels };
        assert!(matches!(picture.check_planes(), Err(Error::Internal(problem)) if problem.contains("RGB plane")));
    }
}
