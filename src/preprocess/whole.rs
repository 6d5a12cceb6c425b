//! A whole picture as people look at it.

use super::cut::rgb_around;
use super::geometry::Rect;
use super::roi::Roi;
use crate::source::{Picture, Rotation};
use crate::{Error, Result};

/// An upright picture, `[height, width, 3]` without gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Upright {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Rows of R, G, B.
    pub rgb: Vec<u8>,
}

/// All of a picture, or its region of interest, upright and in RGB.
///
/// # Errors
/// A region that is not inside the picture; planes smaller than the picture says.
pub fn upright(picture: &Picture<'_>, roi: Option<Roi>) -> Result<Upright> {
    let (width, height) = picture.display_size();
    let part = match roi {
        Some(roi) => {
            roi.check_inside(width, height)?;
            Rect { x: roi.x, y: roi.y, w: roi.w, h: roi.h }
        }
        None => Rect { x: 0, y: 0, w: width, h: height },
    };
    if part.w == 0 || part.h == 0 {
        return Err(Error::Internal(format!("a decoded picture is {width}x{height}")));
    }
    let stored = part.to_stored(picture.rotation, (picture.width, picture.height));
    let mut buffer = Vec::new();
    let (image, corner) = rgb_around(picture, stored, &mut buffer)?;
    let (left, top) = ((stored.x - corner.0) as usize, (stored.y - corner.1) as usize);
    let pixels = image.data.as_chunks::<3>().0;
    let at = |x: usize, y: usize| pixels[(top + y) * image.width as usize + left + x];
    let (w, h) = (stored.w as usize, stored.h as usize);
    let mut rgb = Vec::with_capacity(w * h * 3);
    for y in 0..part.h as usize {
        for x in 0..part.w as usize {
            rgb.extend_from_slice(&match picture.rotation {
                Rotation::None => at(x, y),
                Rotation::Quarter => at(y, h - 1 - x),
                Rotation::Half => at(w - 1 - x, h - 1 - y),
                Rotation::ThreeQuarters => at(w - 1 - y, x),
            });
        }
    }
    Ok(Upright { width: part.w, height: part.h, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pixels;

    #[test]
    fn pictures_are_turned_and_cut() {
        // Two rows of three pixels, each of one level.
        let data: Vec<u8> = (0..6u8).flat_map(|level| [level; 3]).collect();
        let shown = |rotation, roi: Option<&str>| {
            let pixels = Pixels::Rgb { data: &data, stride: 9 };
            let picture = Picture { width: 3, height: 2, rotation, pixels };
            let roi = roi.map(|roi| roi.parse().expect("a region"));
            let upright = upright(&picture, roi).expect("a picture");
            let levels: Vec<u8> = upright.rgb.chunks(3).map(|pixel| pixel[0]).collect();
            ((upright.width, upright.height), levels)
        };
        assert_eq!(shown(Rotation::None, None), ((3, 2), vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(shown(Rotation::Quarter, None), ((2, 3), vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(shown(Rotation::Half, None), ((3, 2), vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(shown(Rotation::ThreeQuarters, None), ((2, 3), vec![2, 5, 1, 4, 0, 3]));
        assert_eq!(shown(Rotation::None, Some("1,0,2,1")), ((2, 1), vec![1, 2]));
        assert_eq!(shown(Rotation::Quarter, Some("0,1,1,2")), ((1, 2), vec![4, 5]));
        assert_eq!(shown(Rotation::Half, Some("1,1,2,1")), ((2, 1), vec![1, 0]));
        assert_eq!(shown(Rotation::ThreeQuarters, Some("1,0,1,2")), ((1, 2), vec![5, 4]));
    }
}
