//! A rectangle of whole pixels, used for regions and masks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Rotation;
use crate::units::{ParseError, serde_as_text};
use crate::{Error, Result};

/// A rectangle in whole pixels. In settings it refers to the upright picture (after rotation). As text `x,y,w,h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub w: u32,
    /// Height, at least 1.
    pub h: u32,
}

impl Rect {
    /// The whole of a picture of `width x height`.
    pub(crate) fn whole((width, height): (u32, u32)) -> Self {
        Self { x: 0, y: 0, w: width, h: height }
    }

    /// Checks that the rectangle is not empty and lies inside a picture of `width x height`.
    ///
    /// # Errors
    /// [`Error::Setting`] of `key` that names the picture's size.
    pub(crate) fn check_inside(&self, key: &str, (width, height): (u32, u32)) -> Result<()> {
        let inside =
            |start: u32, length: u32, side: u32| length > 0 && start.checked_add(length).is_some_and(|end| end <= side);
        if inside(self.x, self.w, width) && inside(self.y, self.h, height) {
            return Ok(());
        }
        Err(Error::setting(
            key,
            format!("{self} is not inside the picture, which is {width}x{height}"),
            format!("x + w may be at most {width}, y + h at most {height}"),
        ))
    }

    /// Converts a rectangle of the upright picture to the same pixels of the picture as stored. `stored` is the stored
    /// width and height; the rectangle must be inside the picture.
    pub(crate) fn to_stored(self, rotation: Rotation, stored: (u32, u32)) -> Self {
        let Self { x, y, w, h } = self;
        match rotation {
            Rotation::None => self,
            Rotation::Quarter => Self { x: y, y: stored.1 - (x + w), w: h, h: w },
            Rotation::Half => Self { x: stored.0 - (x + w), y: stored.1 - (y + h), w, h },
            Rotation::ThreeQuarters => Self { x: stored.0 - (y + h), y: x, w: h, h: w },
        }
    }
}

impl Rect {
    /// Converts a rectangle of a picture as stored to the same pixels of the upright picture, the inverse of
    /// [`Self::to_stored`].
    pub(crate) fn to_upright(self, rotation: Rotation, stored: (u32, u32)) -> Self {
        let Self { x, y, w, h } = self;
        match rotation {
            Rotation::None => self,
            Rotation::Quarter => Self { x: stored.1 - (y + h), y: x, w: h, h: w },
            Rotation::Half => Self { x: stored.0 - (x + w), y: stored.1 - (y + h), w, h },
            Rotation::ThreeQuarters => Self { x: y, y: stored.0 - (x + w), w: h, h: w },
        }
    }
}

impl FromStr for Rect {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x, y, w, h]) if w > 0 && h > 0 => Ok(Self { x, y, w, h }),
            Some(&[_, _, _, _]) => {
                Err(ParseError::new(format!("{text:?} is empty"), "its width and height must be at least 1"))
            }
            _ => Err(ParseError::new(
                format!("{text:?} is not a rectangle"),
                "give four whole numbers x,y,w,h in pixels, such as 160,0,320,240",
            )),
        }
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.w, self.h)
    }
}

serde_as_text!(Rect);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_numbers_are_a_rectangle() {
        let rect = Rect { x: 1, y: 2, w: 3, h: 4 };
        assert_eq!(" 1, 2,3 ,4".parse::<Rect>(), Ok(rect));
        assert_eq!(rect.to_string(), "1,2,3,4");
        for wrong in ["", "1,2,3", "1,2,3,4,5", "a,0,1,1", "-1,0,1,1"] {
            assert!(wrong.parse::<Rect>().expect_err(wrong).to_string().contains("four whole numbers"));
        }
        assert!("0,0,0,1".parse::<Rect>().expect_err("empty").to_string().contains("is empty"));
    }

    #[test]
    fn stored_and_upright_rectangles_are_inverse() {
        let rect = Rect { x: 3, y: 5, w: 7, h: 11 };
        for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
            assert_eq!(rect.to_upright(rotation, (40, 30)).to_stored(rotation, (40, 30)), rect);
        }
    }

    #[test]
    fn a_rectangle_that_reaches_outside_names_the_size() {
        let error = |text: &str| {
            text.parse::<Rect>().expect("a rectangle").check_inside("roi", (4, 3)).expect_err(text).to_string()
        };
        assert_eq!(
            error("0,0,5,1"),
            "roi: 0,0,5,1 is not inside the picture, which is 4x3; x + w may be at most 4, y + h at most 3"
        );
        assert!(error("4294967295,0,4294967295,1").contains("4x3"));
        assert!(Rect::whole((4, 3)).check_inside("roi", (4, 3)).is_ok());
        assert!(Rect { x: 0, y: 0, w: 0, h: 1 }.check_inside("roi", (4, 3)).is_err());
    }
}
