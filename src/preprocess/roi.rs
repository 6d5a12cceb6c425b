//! The part of a picture that is looked at.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A region of interest, in pixels of the picture as it is shown (after rotation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roi {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub w: u32,
    /// Height, at least 1.
    pub h: u32,
}

impl Roi {
    /// An error that names the picture's size where the region is not wholly inside a picture of `width x height`.
    pub fn check_inside(&self, width: u32, height: u32) -> Result<()> {
        let inside =
            |start: u32, length: u32, side: u32| length > 0 && start.checked_add(length).is_some_and(|end| end <= side);
        if inside(self.x, self.w, width) && inside(self.y, self.h, height) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "--roi {self} is not inside the picture, which is {width}x{height}; x + w may be at most {width}, y + h at \
             most {height}"
        )))
    }
}

impl FromStr for Roi {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Usage(format!(
                "--roi {text:?} is not a region; give four whole numbers x,y,w,h in pixels, such as 160,0,320,240"
            ))
        };
        let mut numbers = [0u32; 4];
        let mut parts = text.split(',');
        for number in &mut numbers {
            *number = parts.next().and_then(|part| part.trim().parse().ok()).ok_or_else(wrong)?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        let [x, y, w, h] = numbers;
        if w == 0 || h == 0 {
            return Err(Error::Usage(format!("--roi {text:?} is empty; its width and height must be at least 1")));
        }
        Ok(Self { x, y, w, h })
    }
}

impl fmt::Display for Roi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.w, self.h)
    }
}
