//! The brightness of a picture on a coarse grid, by which the gate detects changes.

use crate::picture::{Picture, Pixels, Rect};

/// Cells per side of the grid.
pub const CELLS: usize = 32;

/// Rows that are read per cell, whatever its height; all of their pixels count.
const ROWS_PER_CELL: usize = 4;

/// Brightness of a cell of a [`LumaGrid`] is an integer: this many units are a level of 0..255, so that means keep six
/// bits of their fractions.
pub const CELL_UNITS_PER_LEVEL: u16 = 64;

/// Mean brightness of the cells of what the encoder sees, in [`CELL_UNITS_PER_LEVEL`] per level of 0..255; rows as stored.
#[derive(Debug, PartialEq, Eq)]
pub struct LumaGrid {
    cells: Box<[u16; CELLS * CELLS]>,
}

impl Clone for LumaGrid {
    fn clone(&self) -> Self {
        Self { cells: self.cells.clone() }
    }

    /// Copies the cells without allocating.
    fn clone_from(&mut self, other: &Self) {
        self.cells.copy_from_slice(&other.cells[..]);
    }
}

impl Default for LumaGrid {
    fn default() -> Self {
        Self { cells: Box::new([0; CELLS * CELLS]) }
    }
}

impl LumaGrid {
    /// The cells, row by row.
    pub fn cells(&self) -> &[u16; CELLS * CELLS] {
        &self.cells
    }

    /// Measures `part` of a picture as stored, whose planes have been checked.
    pub(super) fn measure(&mut self, picture: &Picture<'_>, part: Rect) {
        let edge = |start: u32, length: u32, i: usize| (start as usize) + (length as usize * i) / CELLS;
        let columns: [usize; CELLS + 1] = std::array::from_fn(|i| edge(part.x, part.w, i));
        let (last_x, last_y) = ((part.x + part.w) as usize - 1, (part.y + part.h) as usize - 1);
        for (i, cells) in self.cells.chunks_exact_mut(CELLS).enumerate() {
            let (top, bottom) = (edge(part.y, part.h, i).min(last_y), edge(part.y, part.h, i + 1));
            let height = bottom.saturating_sub(top).max(1);
            let rows = height.min(ROWS_PER_CELL);
            let mut sums = [0u32; CELLS];
            for row in 0..rows {
                let y = top + (2 * row + 1) * height / (2 * rows);
                add_row(picture, y, &columns, last_x, &mut sums);
            }
            for (x, (cell, sum)) in cells.iter_mut().zip(sums).enumerate() {
                let width = columns[x + 1].saturating_sub(columns[x]).max(1);
                *cell = level(picture, u64::from(sum), (width * rows) as u64);
            }
        }
    }
}

/// Adds the pixels of row `y` to the sums of their cells.
fn add_row(picture: &Picture<'_>, y: usize, columns: &[usize; CELLS + 1], last_x: usize, sums: &mut [u32; CELLS]) {
    for (edges, sum) in columns.windows(2).zip(sums) {
        // If the picture is narrower than the grid, cells share pixels.
        let (left, right) = (edges[0].min(last_x), edges[1].max(edges[0].min(last_x) + 1));
        *sum += match picture.pixels {
            Pixels::Yuv { planes, strides, .. } => {
                planes[0][y * strides[0] + left..y * strides[0] + right].iter().map(|y| u32::from(*y)).sum::<u32>()
            }
            Pixels::Rgb { data, stride } => {
                let (pixels, _) = data[y * stride + 3 * left..y * stride + 3 * right].as_chunks::<3>();
                pixels
                    .iter()
                    .map(|[r, g, b]| (77 * u32::from(*r) + 150 * u32::from(*g) + 29 * u32::from(*b)) >> 8)
                    .sum()
            }
        };
    }
}

/// The mean of `count` pixels in units, on the scale of full range.
fn level(picture: &Picture<'_>, sum: u64, count: u64) -> u16 {
    let mean = sum * u64::from(CELL_UNITS_PER_LEVEL) / count;
    let max = 255 * u64::from(CELL_UNITS_PER_LEVEL);
    let full = match picture.pixels {
        Pixels::Yuv { full_range: false, .. } => mean.saturating_sub(16 * u64::from(CELL_UNITS_PER_LEVEL)) * 255 / 219,
        _ => mean,
    };
    full.min(max) as u16
}
