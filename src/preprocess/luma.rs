//! The brightness of a picture on coarse grids, by which the gate detects changes and moving regions are found.

use super::spec::RegionSpec;
use crate::error::Result;
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
        let cells = &mut self.cells;
        measure(picture, part, (CELLS, CELLS), ROWS_PER_CELL, &mut |at, units| cells[at] = units);
    }
}

/// Mean brightness of cells of about the same width and height, in levels of 0..=255, of the part of a picture that is
/// analysed; rows as stored. By it moving regions are found.
#[derive(Debug, Default)]
pub struct ChangeGrid {
    columns: usize,
    rows: usize,
    values: Vec<f32>,
}

/// The number of cells of a [`ChangeGrid`] is about this, as in a grid of 64 by 36.
const CHANGE_CELLS: f64 = 64.0 * 36.0;

/// Rows that are read per cell of a [`ChangeGrid`]. More rows average more of the noise.
const CHANGE_ROWS_PER_CELL: usize = 8;

/// Largest number of cells in a row.
const MAX_COLUMNS: usize = 128;

impl Clone for ChangeGrid {
    fn clone(&self) -> Self {
        Self { values: self.values.clone(), ..*self }
    }

    /// Copies the values without allocating, if the size is the same.
    fn clone_from(&mut self, other: &Self) {
        (self.columns, self.rows) = (other.columns, other.rows);
        self.values.clone_from(&other.values);
    }
}

impl ChangeGrid {
    /// Creates a grid of `columns x rows` cells with these values, row by row; the rest is 0.
    pub fn from_values(columns: usize, rows: usize, mut values: Vec<f32>) -> Self {
        values.resize(columns * rows, 0.0);
        Self { columns, rows, values }
    }

    /// The number of cells in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Measures the part of a picture that is analysed, all of it and not only its centre crop. Returns that part, in pixels
    /// of the picture as stored.
    ///
    /// # Errors
    /// A region that is not inside the picture; planes smaller than the picture's size needs.
    pub fn measure(&mut self, picture: &Picture<'_>, region: RegionSpec) -> Result<Rect> {
        let part = region.part_of(picture)?.to_stored(picture.rotation, (picture.width, picture.height));
        picture.check_planes()?;
        let aspect = f64::from(part.w) / f64::from(part.h);
        let columns = (CHANGE_CELLS * aspect).sqrt().round().clamp(8.0, MAX_COLUMNS as f64).min(f64::from(part.w));
        let rows = (CHANGE_CELLS / columns).round().clamp(8.0, MAX_COLUMNS as f64).min(f64::from(part.h));
        (self.columns, self.rows) = (columns as usize, rows as usize);
        self.values.resize(self.columns * self.rows, 0.0);
        let values = &mut self.values;
        let put = &mut |at: usize, units: u16| values[at] = f32::from(units) / f32::from(CELL_UNITS_PER_LEVEL);
        measure(picture, part, (self.columns, self.rows), CHANGE_ROWS_PER_CELL, put);
        Ok(part)
    }
}

/// Measures the cells of `part` of a picture as stored, at most [`MAX_COLUMNS`] in a row, and gives each index and mean
/// brightness to `put`.
fn measure(
    picture: &Picture<'_>,
    part: Rect,
    (columns, rows): (usize, usize),
    rows_per_cell: usize,
    put: &mut dyn FnMut(usize, u16),
) {
    let edge = |start: u32, length: u32, i: usize, cells: usize| (start as usize) + (length as usize * i) / cells;
    let edges: [usize; MAX_COLUMNS + 1] = std::array::from_fn(|i| edge(part.x, part.w, i, columns));
    let edges = &edges[..=columns];
    let (last_x, last_y) = ((part.x + part.w) as usize - 1, (part.y + part.h) as usize - 1);
    for i in 0..rows {
        let (top, bottom) = (edge(part.y, part.h, i, rows).min(last_y), edge(part.y, part.h, i + 1, rows));
        let height = bottom.saturating_sub(top).max(1);
        let read = height.min(rows_per_cell);
        let mut sums = [0u32; MAX_COLUMNS];
        for row in 0..read {
            let y = top + (2 * row + 1) * height / (2 * read);
            add_row(picture, y, edges, last_x, &mut sums[..columns]);
        }
        for (x, (edges, sum)) in edges.windows(2).zip(sums).enumerate() {
            let width = edges[1].saturating_sub(edges[0]).max(1);
            put(i * columns + x, level(picture, u64::from(sum), (width * read) as u64));
        }
    }
}

/// Adds the pixels of row `y` to the sums of their cells.
fn add_row(picture: &Picture<'_>, y: usize, edges: &[usize], last_x: usize, sums: &mut [u32]) {
    for (edges, sum) in edges.windows(2).zip(sums) {
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
