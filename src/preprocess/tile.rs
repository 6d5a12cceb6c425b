//! The resampled pixels: turned upright while they are written out.

use std::ops::Range;

use super::spec::PreprocessSpec;
use crate::source::Rotation;

/// Resampled RGB pixels in stored orientation, and the turn that makes them upright.
pub(super) struct Tile<'a> {
    /// Rows of R, G, B without gaps.
    pub rgb: &'a [u8],
    /// Stored width.
    pub width: usize,
    /// Stored height.
    pub height: usize,
    /// Clockwise turn still to be made.
    pub rotation: Rotation,
}

/// A square of `side` pixels and the part of it that a tile fills.
#[derive(Clone, Copy)]
pub(super) struct Canvas {
    pub side: usize,
    pub left: usize,
    pub top: usize,
}

/// Values 0..255 of each channel as the encoder sees them: `(value / 255 - mean) / std`, rounded as the reference's
/// separate operations round.
pub(super) struct Normaliser {
    tables: [[f32; 256]; 3],
}

impl Normaliser {
    pub fn new(spec: &PreprocessSpec) -> Self {
        let table = |c: usize| std::array::from_fn(|value| (value as f32 / 255.0 - spec.mean[c]) / spec.std[c]);
        Self { tables: std::array::from_fn(table) }
    }
}

impl Tile<'_> {
    /// Width and height after the turn.
    fn upright_size(&self) -> (usize, usize) {
        match self.rotation {
            Rotation::None | Rotation::Half => (self.width, self.height),
            Rotation::Quarter | Rotation::ThreeQuarters => (self.height, self.width),
        }
    }

    /// The stored pixels of upright row `y`, left to right.
    fn upright_row(&self, y: usize) -> impl Iterator<Item = [u8; 3]> {
        let (w, h) = (self.width, self.height);
        let (start, step) = match self.rotation {
            Rotation::None => (y * w, 1),
            Rotation::Quarter => ((h - 1) * w + y, -(w as isize)),
            Rotation::Half => ((h - y) * w - 1, -1),
            Rotation::ThreeQuarters => (w - 1 - y, w as isize),
        };
        let (pixels, _) = self.rgb.as_chunks::<3>();
        (0..self.upright_size().0 as isize).map(move |x| pixels[start.wrapping_add_signed(x * step)])
    }

    /// Writes normalised values as `[3, side, side]`; what the tile leaves free is not touched.
    pub fn write_normalised(&self, normaliser: &Normaliser, canvas: Canvas, out: &mut [f32]) {
        let plane = canvas.side * canvas.side;
        let (red, rest) = out.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let [red_table, green_table, blue_table] = &normaliser.tables;
        for y in 0..self.upright_size().1 {
            let row = canvas.row(y, self.upright_size().0);
            let targets = red[row.clone()].iter_mut().zip(&mut green[row.clone()]).zip(&mut blue[row]);
            for (((red, green), blue), [r, g, b]) in targets.zip(self.upright_row(y)) {
                *red = red_table[usize::from(r)];
                *green = green_table[usize::from(g)];
                *blue = blue_table[usize::from(b)];
            }
        }
    }

    /// Writes the pixels as `[side, side, 3]`; what the tile leaves free is not touched.
    pub fn write_rgb8(&self, canvas: Canvas, out: &mut [u8]) {
        let (out, _) = out.as_chunks_mut::<3>();
        for y in 0..self.upright_size().1 {
            let row = canvas.row(y, self.upright_size().0);
            out[row].iter_mut().zip(self.upright_row(y)).for_each(|(target, pixel)| *target = pixel);
        }
    }
}

impl Canvas {
    /// Indices in the square of the tile's upright row `y`.
    fn row(&self, y: usize, width: usize) -> Range<usize> {
        let start = (self.top + y) * self.side + self.left;
        start..start + width
    }
}
