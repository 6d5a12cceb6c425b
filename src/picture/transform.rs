//! Masks and rotation of pictures.
//!
//! This is the last step of every source, so that masked parts are never visible: not in crops, not in snapshots,
//! and not to the gate.

use serde::{Deserialize, Serialize};

use super::{OwnedPicture, Picture, Pixels, Rect, Rotation};
use crate::{Error, Result};

/// Masks and rotation of the pictures of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PictureTransform {
    /// Rectangles that are painted black, in pixels of the upright picture.
    pub masks: Vec<Rect>,
    /// Clockwise rotation, in addition to the rotation that the source itself specifies.
    pub rotate: Rotation,
}

impl PictureTransform {
    /// Checks the values. That masks are inside the picture can be checked only with each picture, whose size is not
    /// known before.
    ///
    /// # Errors
    /// [`Error::Setting`] of `masks`.
    pub fn check(&self) -> Result<()> {
        match self.masks.iter().find(|mask| mask.w == 0 || mask.h == 0) {
            Some(mask) => {
                Err(Error::setting("masks", format!("{mask} is empty"), "its width and height must be at least 1"))
            }
            None => Ok(()),
        }
    }
}

/// Applies a [`PictureTransform`] to pictures; reuses its buffer.
#[derive(Default)]
pub(crate) struct PictureTransformer {
    spec: PictureTransform,
    /// Stored size of the first masked picture.
    size: Option<(u32, u32)>,
    masked: OwnedPicture,
}

impl PictureTransformer {
    pub(crate) fn new(spec: PictureTransform) -> Self {
        Self { spec, ..Self::default() }
    }

    pub(crate) fn spec(&self) -> &PictureTransform {
        &self.spec
    }

    /// Records the rotation of `picture` and paints its masks. Pixels are rotated later, when a crop is taken. Without masks
    /// nothing is copied.
    ///
    /// # Errors
    /// [`Error::Setting`] of `masks` if a mask is not inside the picture, or if the picture changed its size: a mask
    /// for another size would not cover the intended part.
    pub(crate) fn apply<'a>(&'a mut self, picture: Picture<'a>) -> Result<Picture<'a>> {
        let picture = Picture { rotation: picture.rotation.then(self.spec.rotate), ..picture };
        if self.spec.masks.is_empty() {
            return Ok(picture);
        }
        let stored = (picture.width, picture.height);
        let first = *self.size.get_or_insert(stored);
        if first != stored {
            return Err(Error::setting(
                "masks",
                format!(
                    "the picture was {}x{} and is now {}x{}, and the masks were made for the first size",
                    first.0, first.1, stored.0, stored.1
                ),
                "restart with masks for the new size, or set the source to one size",
            ));
        }
        self.spec.masks.iter().try_for_each(|mask| mask.check_inside("masks", picture.display_size()))?;
        self.masked.copy_from(&picture)?;
        for mask in &self.spec.masks {
            blacken(&mut self.masked, &picture.pixels, mask.to_stored(picture.rotation, stored));
        }
        Ok(self.masked.as_picture())
    }
}

/// Paints `mask`, in stored pixels, black in `copy`, a copy of a picture with `pixels`.
fn blacken(copy: &mut OwnedPicture, pixels: &Pixels<'_>, mask: Rect) {
    let [first, u, v] = copy.planes_mut();
    match *pixels {
        Pixels::Rgb { stride, .. } => fill(first, stride, Rect { x: mask.x * 3, w: mask.w * 3, ..mask }, 0),
        Pixels::Yuv { strides, subsampling, full_range, .. } => {
            fill(first, strides[0], mask, if full_range { 0 } else { 16 });
            if u.is_empty() {
                return;
            }
            // Every chroma sample that a masked pixel contributes to.
            let part = |start: u32, length: u32, step: u32| {
                let (first, end) = (start / step, (start + length).div_ceil(step));
                (first, end - first)
            };
            let step = subsampling.step();
            let ((x, w), (y, h)) = (part(mask.x, mask.w, step.0), part(mask.y, mask.h, step.1));
            fill(u, strides[1], Rect { x, y, w, h }, 128);
            fill(v, strides[2], Rect { x, y, w, h }, 128);
        }
    }
}

/// Fills a rectangle of a plane, in samples, with `level`.
fn fill(plane: &mut [u8], stride: usize, part: Rect, level: u8) {
    for row in plane.chunks_mut(stride).skip(part.y as usize).take(part.h as usize) {
        row[part.x as usize..][..part.w as usize].fill(level);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Matrix, PixelAspect, Subsampling};
    use super::*;

    fn transformer(masks: &[&str], rotate: Rotation) -> PictureTransformer {
        let masks = masks.iter().map(|mask| mask.parse().expect("a mask")).collect();
        PictureTransformer::new(PictureTransform { masks, rotate })
    }

    /// All bytes of a picture's planes after masking.
    fn masked(picture: Picture<'_>, masks: &[&str], rotate: Rotation) -> Result<Vec<u8>> {
        let mut transformer = transformer(masks, rotate);
        let picture = transformer.apply(picture)?;
        Ok(match picture.pixels {
            Pixels::Rgb { data, .. } => data.to_vec(),
            Pixels::Yuv { planes, .. } => planes.concat(),
        })
    }

    /// 4 x 3 pixels with gaps of 3 bytes between rows.
    fn rgb(data: &[u8]) -> Picture<'_> {
        Picture {
            width: 4,
            height: 3,
            rotation: Rotation::None,
            aspect: PixelAspect::SQUARE,
            pixels: Pixels::Rgb { data, stride: 15 },
        }
    }

    /// Indices of the black pixels of a masked 4 x 3 picture.
    fn black(rotation: Rotation, rotate: Rotation, mask: &str) -> Vec<usize> {
        let data = [200; 45];
        let bytes = masked(Picture { rotation, ..rgb(&data) }, &[mask], rotate).expect("a picture");
        assert_eq!(bytes.len(), 42);
        let pixel = |i: usize| &bytes[i / 4 * 15 + i % 4 * 3..][..3];
        let others = bytes.iter().filter(|byte| **byte == 200).count();
        let black: Vec<usize> = (0..12).filter(|i| pixel(*i) == [0; 3]).collect();
        assert_eq!(others, 42 - 3 * black.len(), "nothing else has changed");
        black
    }

    #[test]
    fn masks_are_in_pixels_of_the_upright_picture() {
        use Rotation::*;
        assert_eq!(black(None, None, "1,0,2,1"), [1, 2]);
        // Rotated clockwise the picture is 3 x 4; its top left corner is the stored bottom left corner.
        assert_eq!(black(None, Quarter, "0,0,1,1"), [8]);
        assert_eq!(black(Quarter, None, "2,0,1,2"), [0, 1]);
        assert_eq!(black(None, Half, "0,0,2,1"), [10, 11]);
        assert_eq!(black(None, ThreeQuarters, "0,0,1,1"), [3]);
        assert_eq!(black(Quarter, Quarter, "0,0,2,1"), [10, 11], "the source's and the requested rotation add up");
        assert_eq!(black(Quarter, ThreeQuarters, "0,0,2,1"), [0, 1]);
    }

    #[test]
    fn a_mask_covers_chroma_too() {
        let planes = [&[200; 16][..], &[90; 4], &[90; 4]];
        for (full_range, level) in [(true, 0), (false, 16)] {
            let subsampling = Subsampling::S420;
            let pixels = Pixels::Yuv { planes, strides: [4, 2, 2], subsampling, full_range, matrix: Matrix::Bt601 };
            let picture =
                Picture { width: 4, height: 4, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels };
            let bytes = masked(picture, &["1,0,1,1"], Rotation::None).expect("a picture");
            let mut expected = [[200; 16].to_vec(), vec![128, 90, 90, 90, 128, 90, 90, 90]].concat();
            expected[1] = level;
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn a_gray_picture_is_masked() {
        let planes = [&[200; 6][..], &[], &[]];
        let subsampling = Subsampling::Gray;
        let pixels = Pixels::Yuv { planes, strides: [3, 0, 0], subsampling, full_range: true, matrix: Matrix::Bt601 };
        let picture = Picture { width: 3, height: 2, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels };
        assert_eq!(masked(picture, &["1,0,1,2"], Rotation::None).expect("a picture"), [200, 0, 200, 200, 0, 200]);
    }

    #[test]
    fn a_mask_outside_the_picture_is_refused() {
        let data = [200; 45];
        let error = masked(rgb(&data), &["0,0,5,1"], Rotation::None).expect_err("refused").to_string();
        assert!(error.starts_with("masks: 0,0,5,1") && error.contains("4x3"), "{error}");
        assert!(masked(rgb(&data), &["0,0,3,4"], Rotation::Quarter).is_ok());
        assert!(masked(rgb(&data), &["4294967295,0,4294967295,1"], Rotation::None).is_err());
        let mut transformer = transformer(&["0,0,1,1"], Rotation::None);
        transformer.apply(rgb(&data)).expect("a picture");
        let error = transformer.apply(Picture { height: 2, ..rgb(&data) }).expect_err("refused").to_string();
        assert!(error.contains("was 4x3 and is now 4x2"), "{error}");
        let empty = PictureTransform { masks: vec![Rect { x: 0, y: 0, w: 0, h: 1 }], ..PictureTransform::default() };
        assert!(empty.check().is_err() && PictureTransform::default().check().is_ok());
    }

    #[test]
    fn without_masks_nothing_is_copied() {
        let data = [200; 45];
        let mut transformer = transformer(&[], Rotation::Half);
        let picture = transformer.apply(rgb(&data)).expect("a picture");
        let Pixels::Rgb { data: shown, .. } = picture.pixels else { panic!("not RGB") };
        assert!(std::ptr::eq(shown, &data[..]) && picture.rotation == Rotation::Half);
    }

    #[test]
    fn a_transform_is_read_from_toml() {
        let transform: PictureTransform = toml::from_str("masks = [\"0,0,120,80\"]\nrotate = 90").expect("a transform");
        let masks = vec![Rect { x: 0, y: 0, w: 120, h: 80 }];
        assert_eq!(transform, PictureTransform { masks, rotate: Rotation::Quarter });
        assert_eq!(toml::from_str::<PictureTransform>("").expect("the default"), PictureTransform::default());
        for wrong in ["rotate = 45", "masks = [\"1,2,3\"]", "mask = []"] {
            assert!(toml::from_str::<PictureTransform>(wrong).is_err(), "{wrong}");
        }
    }
}
