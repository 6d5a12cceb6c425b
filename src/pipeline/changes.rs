//! Separates what changed in a picture from what changes all of it: the light, and a shaking camera.

use crate::preprocess::ChangeGrid;

/// Numbers that describe a change of the whole picture: brighter by a constant, brighter by a factor, shifted along x, and
/// along y.
const PARAMETERS: usize = 4;

/// How often the whole picture's change is estimated, each time without the cells that it explained badly before.
const ROUNDS: usize = 4;

/// A cell is explained badly if its remaining change is above this many standard deviations of the noise.
const OUTLIER: f32 = 3.0;

/// The change of each cell from one sampled frame to the next, without what changed all of the picture.
#[derive(Debug, Default)]
pub(super) struct Changes {
    values: Vec<f32>,
    /// For each cell, by how much it changes per unit of each parameter.
    responses: Vec<[f32; PARAMETERS]>,
    sorted: Vec<f32>,
}

impl Changes {
    /// Measures the changes between two grids of the same size. Returns the standard deviation of the noise of a cell.
    ///
    /// To first order, a cell at which the brightness `b` has the slope `(s, t)` changes by
    /// `offset + factor * b + dx * s + dy * t` if nothing moves in it. The four numbers are those with the least squares
    /// over the cells that they explain.
    pub fn measure(&mut self, last: &ChangeGrid, grid: &ChangeGrid) -> f32 {
        let (columns, rows) = (grid.columns(), grid.rows());
        let mean = |x: usize, y: usize| f32::midpoint(grid.values()[y * columns + x], last.values()[y * columns + x]);
        self.responses.clear();
        for y in 0..rows {
            for x in 0..columns {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(columns - 1));
                let (above, below) = (y.saturating_sub(1), (y + 1).min(rows - 1));
                let along_x = (mean(right, y) - mean(left, y)) / (right - left).max(1) as f32;
                let along_y = (mean(x, below) - mean(x, above)) / (below - above).max(1) as f32;
                self.responses.push([1.0, mean(x, y) / 255.0, along_x, along_y]);
            }
        }
        let change = |at: usize| grid.values()[at] - last.values()[at];
        let mut whole = [0.0; PARAMETERS];
        let mut limit = f32::INFINITY;
        let mut noise = 0.0;
        for _ in 0..ROUNDS {
            whole = self.fit(&change, &whole, limit);
            let left = self.responses.iter().enumerate().map(|(at, response)| change(at) - product(response, &whole));
            self.values.clear();
            self.values.extend(left);
            noise = self.noise();
            limit = OUTLIER * noise.max(0.1);
        }
        noise
    }

    /// The changes, row by row, in levels.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the parameters with the least squares over the cells that `whole` explains up to `limit`.
    fn fit(&self, change: &dyn Fn(usize) -> f32, whole: &[f32; PARAMETERS], limit: f32) -> [f32; PARAMETERS] {
        let mut matrix = [[0.0_f64; PARAMETERS + 1]; PARAMETERS];
        for (at, response) in self.responses.iter().enumerate() {
            if (change(at) - product(response, whole)).abs() > limit {
                continue;
            }
            for (row, own) in matrix.iter_mut().zip(response) {
                let own = f64::from(*own);
                row.iter_mut().zip(response).for_each(|(sum, other)| *sum += own * f64::from(*other));
                row[PARAMETERS] += own * f64::from(change(at));
            }
        }
        // A little damping, so that a picture of one colour has a solution.
        matrix.iter_mut().enumerate().for_each(|(i, row)| row[i] += 1e-3);
        solve(matrix)
    }

    /// Returns the standard deviation of the noise: the median of absolute values of normal numbers is 0.6745 of it.
    fn noise(&mut self) -> f32 {
        self.sorted.clear();
        self.sorted.extend(self.values.iter().map(|change| change.abs()));
        let middle = self.sorted.len() / 2;
        match self.sorted.is_empty() {
            true => 0.0,
            false => *self.sorted.select_nth_unstable_by(middle, f32::total_cmp).1 / 0.6745,
        }
    }
}

fn product(response: &[f32; PARAMETERS], whole: &[f32; PARAMETERS]) -> f32 {
    response.iter().zip(whole).map(|(a, b)| a * b).sum()
}

/// Solves linear equations with a symmetric positive matrix, whose last column is the right side.
fn solve(mut matrix: [[f64; PARAMETERS + 1]; PARAMETERS]) -> [f32; PARAMETERS] {
    for i in 0..PARAMETERS {
        let pivot = matrix[i];
        for (_, row) in matrix.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
        }
    }
    std::array::from_fn(|i| (matrix[i][PARAMETERS] / matrix[i][i]) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A textured picture whose values are taken at `(x + dx, y + dy)`.
    fn textured(dx: f32, dy: f32) -> Vec<f32> {
        let value = |at: usize| {
            let (x, y) = ((at % 64) as f32 + dx, (at / 64) as f32 + dy);
            120.0 + 60.0 * (x * 0.35).sin() + 40.0 * (y * 0.5 + x * 0.1).cos()
        };
        (0..64 * 36).map(value).collect()
    }

    #[test]
    fn shake_and_light_are_explained_and_what_moves_is_left() {
        let last = ChangeGrid::from_values(64, 36, textured(0.0, 0.0));
        let mut shaken: Vec<f32> = textured(0.2, -0.15).iter().map(|x| 1.1 * x + 3.0).collect();
        for y in 10..16 {
            for x in 20..28 {
                shaken[y * 64 + x] += 25.0;
            }
        }
        let mut changes = Changes::default();
        changes.measure(&last, &ChangeGrid::from_values(64, 36, shaken));
        for (at, change) in changes.values().iter().enumerate() {
            let (x, y) = (at % 64, at / 64);
            let moved = (20..28).contains(&x) && (10..16).contains(&y);
            let at_edge = (18..30).contains(&x) && (8..18).contains(&y);
            assert!(if moved { *change > 15.0 } else { at_edge || change.abs() < 4.0 }, "{x},{y}: {change}");
        }
    }

    #[test]
    fn a_picture_of_one_colour_has_no_changes() {
        let mut changes = Changes::default();
        let grid = |level| ChangeGrid::from_values(16, 9, vec![level; 144]);
        let noise = changes.measure(&grid(50.0), &grid(80.0));
        assert!(changes.values().iter().all(|change| change.abs() < 0.1) && noise < 0.1);
    }
}
