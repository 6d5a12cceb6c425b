//! How a source's pictures are to be seen: turned upright, and with private parts blacked out.
//!
//! This is the last thing a source does and the first that anyone can see of it, so that what is masked is nowhere: not
//! in a crop, not in a snapshot, not in what decides whether the picture changed.

use super::{Clip, ClipInfo, Frame, Mask, Picture, Pixels, Rotation, Seconds, Stream, Subsampling, Visit};
use crate::{Error, Result};

/// How pictures are to be seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Blacked out, in pixels of the picture as shown.
    pub masks: Vec<Mask>,
    /// A clockwise turn on top of what the source says of itself.
    pub rotate: Rotation,
}

/// Shows pictures as a [`View`] says; keeps its buffer.
#[derive(Default)]
pub(super) struct Viewer {
    view: View,
    /// Size of the first masked picture as stored.
    size: Option<(u32, u32)>,
    buffer: Vec<u8>,
}

impl Viewer {
    pub fn new(view: View) -> Self {
        Self { view, ..Self::default() }
    }

    /// Whether pictures are shown as they are.
    pub fn is_plain(&self) -> bool {
        self.view == View::default()
    }

    /// What is known of a source whose pictures are seen so.
    pub fn info(&self, info: ClipInfo) -> ClipInfo {
        match self.view.rotate {
            Rotation::None | Rotation::Half => info,
            Rotation::Quarter | Rotation::ThreeQuarters => ClipInfo { width: info.height, height: info.width, ..info },
        }
    }

    /// The picture as it may be seen.
    ///
    /// # Errors
    /// A mask outside the picture; a picture of another size than the first, where there are masks.
    pub fn look<'a>(&'a mut self, picture: Picture<'a>) -> Result<Picture<'a>> {
        let picture = Picture { rotation: picture.rotation.then(self.view.rotate), ..picture };
        if self.view.masks.is_empty() {
            return Ok(picture);
        }
        let stored = (picture.width, picture.height);
        let first = *self.size.get_or_insert(stored);
        if first != stored {
            return Err(Error::Usage(format!(
                "the picture was {}x{} and is now {}x{}, which --mask was not meant for; start again with masks for the \
                 new size, or fix the source's size",
                first.0, first.1, stored.0, stored.1
            )));
        }
        self.buffer.clear();
        let masks = self.view.masks.iter().map(|mask| mask.to_stored(picture.rotation, stored));
        let masks: Vec<Mask> = masks.collect::<Result<_>>()?;
        let pixels = self.masked(&picture, &masks)?;
        Ok(Picture { pixels, ..picture })
    }

    /// The pixels, copied, with `masks` (as stored) in black.
    fn masked(&mut self, picture: &Picture<'_>, masks: &[Mask]) -> Result<Pixels<'_>> {
        let (width, height) = (picture.width as usize, picture.height as usize);
        match picture.pixels {
            Pixels::Rgb { data, stride } => {
                self.copy(data, stride, width * 3, height)?;
                for mask in masks {
                    blacken(&mut self.buffer, width * 3, [mask.x * 3, mask.w * 3, mask.y, mask.h], 0);
                }
                Ok(Pixels::Rgb { data: &self.buffer, stride: width * 3 })
            }
            Pixels::Yuv { planes, strides, subsampling, full_range, matrix } => {
                let (step_x, step_y) = match subsampling {
                    Subsampling::S420 => (2, 2),
                    Subsampling::S422 => (2, 1),
                    Subsampling::S444 | Subsampling::Gray => (1, 1),
                };
                let (half, rows) = match subsampling {
                    Subsampling::Gray => (0, 0),
                    _ => (width.div_ceil(step_x), height.div_ceil(step_y)),
                };
                self.copy(planes[0], strides[0], width, height)?;
                self.copy(planes[1], strides[1], half, rows)?;
                self.copy(planes[2], strides[2], half, rows)?;
                let (luma, chroma) = self.buffer.split_at_mut(width * height);
                let (u, v) = chroma.split_at_mut(half * rows);
                for mask in masks {
                    blacken(luma, width, [mask.x, mask.w, mask.y, mask.h], if full_range { 0 } else { 16 });
                    // Every chroma sample that a masked pixel has a share in.
                    let part = |start: u32, length: u32, step: usize| {
                        let (first, end) = (start / step as u32, (start + length).div_ceil(step as u32));
                        [first, end - first]
                    };
                    let ([x, w], [y, h]) = (part(mask.x, mask.w, step_x), part(mask.y, mask.h, step_y));
                    if half > 0 {
                        blacken(u, half, [x, w, y, h], 128);
                        blacken(v, half, [x, w, y, h], 128);
                    }
                }
                let planes = [&*luma, &*u, &*v];
                Ok(Pixels::Yuv { planes, strides: [width, half, half], subsampling, full_range, matrix })
            }
        }
    }

    /// Copies a plane behind what is in the buffer, without gaps.
    fn copy(&mut self, data: &[u8], stride: usize, row: usize, rows: usize) -> Result<()> {
        for y in 0..rows {
            let row = data.get(y * stride..).and_then(|rest| rest.get(..row));
            let row = row.ok_or_else(|| Error::Internal("a decoded picture is smaller than it says".into()))?;
            self.buffer.extend_from_slice(row);
        }
        Ok(())
    }
}

/// Fills `[x, w, y, h]` of a plane, in samples, with `level`.
fn blacken(plane: &mut [u8], stride: usize, [x, w, y, h]: [u32; 4], level: u8) {
    for row in plane.chunks_exact_mut(stride).skip(y as usize).take(h as usize) {
        row[x as usize..][..w as usize].fill(level);
    }
}

/// A source whose pictures are seen through a [`View`].
pub(super) struct Viewed<S> {
    source: S,
    info: ClipInfo,
    viewer: Viewer,
}

/// A clip seen through `view`.
pub(super) fn clip(source: Box<dyn Clip>, view: &View) -> Box<dyn Clip> {
    let viewer = Viewer::new(view.clone());
    if viewer.is_plain() {
        return source;
    }
    let info = viewer.info(source.info().clone());
    Box::new(Viewed { source, info, viewer })
}

/// A stream seen through `view`.
pub(super) fn stream(source: Box<dyn Stream>, view: &View) -> Box<dyn Stream> {
    let viewer = Viewer::new(view.clone());
    if viewer.is_plain() {
        return source;
    }
    let info = viewer.info(source.info().clone());
    Box::new(Viewed { source, info, viewer })
}

impl Clip for Viewed<Box<dyn Clip>> {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn frame_count(&mut self) -> Result<u64> {
        let count = self.source.frame_count()?;
        self.info = self.viewer.info(self.source.info().clone());
        Ok(count)
    }

    fn visit(&mut self, wanted: &[u64], visit: &mut dyn FnMut(Frame<'_>) -> Result<()>) -> Result<Visit> {
        let Self { source, viewer, .. } = self;
        source.visit(wanted, &mut |frame| {
            let picture = viewer.look(frame.picture)?;
            visit(Frame { picture, ..frame })
        })
    }

    fn warnings(&self) -> &[String] {
        self.source.warnings()
    }
}

impl Stream for Viewed<Box<dyn Stream>> {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>> {
        match self.source.first_at_or_after(t)? {
            Some(frame) => Ok(Some(Frame { picture: self.viewer.look(frame.picture)?, ..frame })),
            None => Ok(None),
        }
    }

    fn warnings(&self) -> &[String] {
        self.source.warnings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Matrix;

    fn looked(picture: Picture<'_>, masks: &[&str], rotate: Rotation) -> Result<Vec<u8>> {
        let masks = masks.iter().map(|mask| mask.parse()).collect::<Result<_>>()?;
        let mut viewer = Viewer::new(View { masks, rotate });
        let picture = viewer.look(picture)?;
        Ok(match picture.pixels {
            Pixels::Rgb { data, .. } => data.to_vec(),
            Pixels::Yuv { planes, .. } => planes.concat(),
        })
    }

    fn rgb(data: &[u8]) -> Picture<'_> {
        Picture { width: 4, height: 3, rotation: Rotation::None, pixels: Pixels::Rgb { data, stride: 15 } }
    }

    /// Indices of the black pixels of a masked 4 x 3 picture.
    fn black(rotation: Rotation, rotate: Rotation, mask: &str) -> Vec<usize> {
        let data = [200; 45];
        let seen = looked(Picture { rotation, ..rgb(&data) }, &[mask], rotate).expect("a picture");
        assert_eq!(seen.len(), 36);
        (0..12).filter(|i| seen[i * 3..][..3] == [0; 3]).collect()
    }

    #[test]
    fn masks_lie_where_the_picture_as_shown_says() {
        use Rotation::*;
        assert_eq!(black(None, None, "1,0,2,1"), [1, 2]);
        // Turned clockwise the picture is 3 x 4, its top left the bottom left as stored.
        assert_eq!(black(None, Quarter, "0,0,1,1"), [8]);
        assert_eq!(black(Quarter, None, "2,0,1,2"), [0, 1]);
        assert_eq!(black(None, Half, "0,0,2,1"), [10, 11]);
        assert_eq!(black(None, ThreeQuarters, "0,0,1,1"), [3]);
        assert_eq!(black(Quarter, Quarter, "0,0,2,1"), [10, 11], "the file's own turn and the wished one add up");
        assert_eq!(black(Quarter, ThreeQuarters, "0,0,2,1"), [0, 1]);
    }

    #[test]
    fn chroma_under_a_mask_goes_with_it() {
        let planes = [&[200; 16][..], &[90; 4], &[90; 4]];
        for (full_range, level) in [(true, 0), (false, 16)] {
            let subsampling = Subsampling::S420;
            let pixels = Pixels::Yuv { planes, strides: [4, 2, 2], subsampling, full_range, matrix: Matrix::Bt601 };
            let picture = Picture { width: 4, height: 4, rotation: Rotation::None, pixels };
            let seen = looked(picture, &["1,0,1,1"], Rotation::None).expect("a picture");
            let mut expected = [[200; 16].to_vec(), vec![128, 90, 90, 90, 128, 90, 90, 90]].concat();
            expected[1] = level;
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_mask_that_does_not_fit_shows_nothing() {
        let data = [200; 45];
        let error = looked(rgb(&data), &["0,0,5,1"], Rotation::None).expect_err("refused").to_string();
        assert!(error.contains("--mask 0,0,5,1") && error.contains("4x3"), "{error}");
        assert!(looked(rgb(&data), &["0,0,3,4"], Rotation::Quarter).is_ok());
        for wrong in ["", "1,2,3", "1,2,3,4,5", "a,0,1,1", "0,0,0,1", "-1,0,1,1", "4294967295,0,4294967295,1"] {
            assert!(looked(rgb(&data), &[wrong], Rotation::None).is_err(), "{wrong}");
        }
        let view = View { masks: vec!["0,0,1,1".parse().expect("a mask")], rotate: Rotation::None };
        let mut viewer = Viewer::new(view);
        viewer.look(rgb(&data)).expect("a picture");
        let error = viewer.look(Picture { height: 2, ..rgb(&data) }).expect_err("refused").to_string();
        assert!(error.contains("was 4x3 and is now 4x2"), "{error}");
    }

    #[test]
    fn without_masks_nothing_is_copied() {
        let data = [200; 45];
        let mut viewer = Viewer::new(View { masks: Vec::new(), rotate: Rotation::Half });
        let picture = viewer.look(rgb(&data)).expect("a picture");
        let Pixels::Rgb { data: seen, .. } = picture.pixels else { panic!("not RGB") };
        assert!(std::ptr::eq(seen, &data[..]) && picture.rotation == Rotation::Half);
    }
}
