//! A picture that owns its pixels.

use super::{Matrix, Picture, PixelAspect, Pixels, Rotation, Subsampling};
use crate::Result;

/// A picture that owns its pixels: its planes one after another, with their original strides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnedPicture {
    width: u32,
    height: u32,
    rotation: Rotation,
    aspect: PixelAspect,
    layout: Layout,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Rgb {
        stride: usize,
    },
    Yuv {
        /// Bytes of the luma plane and of each chroma plane.
        lengths: [usize; 3],
        strides: [usize; 3],
        subsampling: Subsampling,
        full_range: bool,
        matrix: Matrix,
    },
}

impl Default for Layout {
    fn default() -> Self {
        Self::Rgb { stride: 0 }
    }
}

impl OwnedPicture {
    /// An upright RGB picture of `bytes`, `[height, width, 3]` without gaps between rows.
    pub fn rgb(width: u32, height: u32, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(bytes.len(), width as usize * height as usize * 3);
        Self {
            width,
            height,
            rotation: Rotation::None,
            aspect: PixelAspect::SQUARE,
            layout: Layout::Rgb { stride: width as usize * 3 },
            bytes,
        }
    }

    /// A copy of `picture`.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if a plane is smaller than the picture's size needs.
    pub fn copy_of(picture: &Picture<'_>) -> Result<Self> {
        let mut copy = Self::default();
        copy.copy_from(picture)?;
        Ok(copy)
    }

    /// Replaces the contents by a copy of `picture`; reuses the buffer. Errors as for [`OwnedPicture::copy_of`].
    pub fn copy_from(&mut self, picture: &Picture<'_>) -> Result<()> {
        picture.check_planes()?;
        let (width, height) = (picture.width as usize, picture.height as usize);
        let needed =
            |stride: usize, row: usize, rows: usize| rows.checked_sub(1).map_or(0, |above| stride * above + row);
        (self.width, self.height) = (picture.width, picture.height);
        (self.rotation, self.aspect) = (picture.rotation, picture.aspect);
        self.bytes.clear();
        self.layout = match picture.pixels {
            Pixels::Rgb { data, stride } => {
                self.bytes.extend_from_slice(&data[..needed(stride, width * 3, height)]);
                Layout::Rgb { stride }
            }
            Pixels::Yuv { planes, strides, subsampling, full_range, matrix } => {
                let (chroma_width, chroma_height) = subsampling.chroma_size(width, height);
                let lengths = [
                    needed(strides[0], width, height),
                    needed(strides[1], chroma_width, chroma_height),
                    needed(strides[2], chroma_width, chroma_height),
                ];
                planes.iter().zip(lengths).for_each(|(plane, length)| self.bytes.extend_from_slice(&plane[..length]));
                Layout::Yuv { lengths, strides, subsampling, full_range, matrix }
            }
        };
        Ok(())
    }

    /// Stored width in pixels, before rotation.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Stored height in pixels, before rotation.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All planes, one after another; rows of R, G, B for a picture made by [`OwnedPicture::rgb`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the buffer, for reuse.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The picture, borrowed.
    pub fn as_picture(&self) -> Picture<'_> {
        let pixels = match self.layout {
            Layout::Rgb { stride } => Pixels::Rgb { data: &self.bytes, stride },
            Layout::Yuv { lengths, strides, subsampling, full_range, matrix } => {
                let (luma, chroma) = self.bytes.split_at(lengths[0]);
                let (u, v) = chroma.split_at(lengths[1]);
                Pixels::Yuv { planes: [luma, u, v], strides, subsampling, full_range, matrix }
            }
        };
        Picture { width: self.width, height: self.height, rotation: self.rotation, aspect: self.aspect, pixels }
    }

    /// The planes, mutable: luma, u and v, or RGB and two empty ones. Gaps between rows are part of them.
    pub(crate) fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let lengths = match self.layout {
            Layout::Rgb { .. } => [self.bytes.len(), 0, 0],
            Layout::Yuv { lengths, .. } => lengths,
        };
        let (first, rest) = self.bytes.split_at_mut(lengths[0]);
        let (second, third) = rest.split_at_mut(lengths[1]);
        [first, second, third]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_pixels_and_strides() {
        // 3 x 3 in 4:2:0: luma with a stride of 5, chroma 2 x 2 with a stride of 4, and bytes behind the last row.
        let planes = [&(0..20).collect::<Vec<u8>>()[..], &[40; 9], &[50; 9]];
        let (subsampling, strides) = (Subsampling::S420, [5, 4, 4]);
        let pixels = Pixels::Yuv { planes, strides, subsampling, full_range: true, matrix: Matrix::Bt709 };
        let picture = Picture { width: 3, height: 3, rotation: Rotation::Half, aspect: PixelAspect::SQUARE, pixels };
        let mut copy = OwnedPicture::copy_of(&picture).expect("a copy");
        let Pixels::Yuv { planes: copied, strides: same, full_range, matrix, .. } = copy.as_picture().pixels else {
            panic!("not YUV")
        };
        assert_eq!((copied[0], copied[1], copied[2]), (&planes[0][..13], &[40; 6][..], &[50; 6][..]));
        assert_eq!((same, full_range, matrix), (strides, true, Matrix::Bt709));
        assert_eq!(copy.as_picture().rotation, Rotation::Half);
        assert_eq!(copy.planes_mut().map(|plane| plane.len()), [13, 6, 6]);
        copy.copy_from(&OwnedPicture::rgb(1, 1, vec![1, 2, 3]).as_picture()).expect("a copy");
        assert_eq!((copy.width(), copy.height(), copy.bytes()), (1, 1, &[1, 2, 3][..]));
    }

    #[test]
    fn a_plane_that_is_too_small_is_an_error() {
        let pixels = Pixels::Rgb { data: &[0; 11], stride: 6 };
        assert!(
            OwnedPicture::copy_of(&Picture {
                width: 2,
                height: 2,
                rotation: Rotation::None,
                aspect: PixelAspect::SQUARE,
                pixels
            })
            .is_err()
        );
    }
}
