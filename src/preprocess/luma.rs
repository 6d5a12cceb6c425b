//! A picture's brightness on a coarse grid: enough to tell whether anything has changed.

use super::geometry::Rect;
use crate::source::{Picture, Pixels};

/// Cells along each side.
pub const CELLS: usize = 32;

/// Rows that are read of a cell, however high it is; all of their pixels count.
const ROWS_A_CELL: usize = 4;

/// Units of a level of 0..255, so that means keep their fractions.
pub const UNITS: u16 = 64;

/// Mean brightness of the cells of what the encoder sees, in 1/64 of a level of 0..255, rows as stored.
#[derive(Debug, PartialEq, Eq)]
pub struct LumaGrid {
    cells: Box<[u16; CELLS * CELLS]>,
}

impl Clone for LumaGrid {
    fn clone(&self) -> Self {
        Self { cells: self.cells.clone() }
    }

    /// Without allocating.
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

    /// Reads the part `seen` of a picture as stored, whose planes are as large as it says.
    pub(super) fn read(&mut self, picture: &Picture<'_>, seen: Rect) {
        let edge = |start: u32, length: u32, i: usize| (start as usize) + (length as usize * i) / CELLS;
        let columns: [usize; CELLS + 1] = std::array::from_fn(|i| edge(seen.x, seen.w, i));
        let (last_x, last_y) = ((seen.x + seen.w) as usize - 1, (seen.y + seen.h) as usize - 1);
        for (i, cells) in self.cells.chunks_exact_mut(CELLS).enumerate() {
            let (top, bottom) = (edge(seen.y, seen.h, i).min(last_y), edge(seen.y, seen.h, i + 1));
            let height = bottom.saturating_sub(top).max(1);
            let rows = height.min(ROWS_A_CELL);
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
        // A picture narrower than the grid has cells without a pixel of their own.
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

/// The mean of `count` pixels in units, at full range.
fn level(picture: &Picture<'_>, sum: u64, count: u64) -> u16 {
    let mean = sum * u64::from(UNITS) / count;
    let most = 255 * u64::from(UNITS);
    let full = match picture.pixels {
        Pixels::Yuv { full_range: false, .. } => mean.saturating_sub(16 * u64::from(UNITS)) * 255 / 219,
        _ => mean,
    };
    full.min(most) as u16
}
