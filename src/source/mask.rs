//! Parts of a picture that nobody may see.

use std::fmt;
use std::str::FromStr;

use super::Rotation;
use crate::{Error, Result};

/// A part that is blacked out before anything else sees the picture, in pixels of the picture as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub w: u32,
    /// Height, at least 1.
    pub h: u32,
}

impl Mask {
    /// The same pixels in a picture as stored, `stored` being that picture's width and height.
    ///
    /// # Errors
    /// A mask that is not wholly inside: one meant for another size would leave uncovered what it is there to cover.
    pub(super) fn to_stored(self, rotation: Rotation, stored: (u32, u32)) -> Result<Self> {
        let (width, height) = match rotation {
            Rotation::None | Rotation::Half => stored,
            Rotation::Quarter | Rotation::ThreeQuarters => (stored.1, stored.0),
        };
        let inside = |start: u32, length: u32, side: u32| start.checked_add(length).is_some_and(|end| end <= side);
        if !(inside(self.x, self.w, width) && inside(self.y, self.h, height)) {
            return Err(Error::Usage(format!(
                "--mask {self} is not inside the picture, which is {width}x{height}; x + w may be at most {width}, y + h \
                 at most {height}"
            )));
        }
        let Self { x, y, w, h } = self;
        Ok(match rotation {
            Rotation::None => self,
            Rotation::Quarter => Self { x: y, y: stored.1 - (x + w), w: h, h: w },
            Rotation::Half => Self { x: stored.0 - (x + w), y: stored.1 - (y + h), w, h },
            Rotation::ThreeQuarters => Self { x: stored.0 - (y + h), y: x, w: h, h: w },
        })
    }
}

impl FromStr for Mask {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x, y, w, h]) if w > 0 && h > 0 => Ok(Self { x, y, w, h }),
            Some(&[_, _, _, _]) => {
                Err(Error::Usage(format!("--mask {text:?} is empty; its width and height must be at least 1")))
            }
            _ => Err(Error::Usage(format!(
                "--mask {text:?} is not a part of a picture; give four whole numbers x,y,w,h in pixels, such as 0,0,120,80"
            ))),
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.w, self.h)
    }
}
