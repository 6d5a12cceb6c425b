//! Rows chosen from tables, and their dot products with vectors.

use super::Table;

/// Rows of equal width chosen from one or more tables, without copying them.
#[derive(Clone, Debug, Default)]
pub struct RowSet {
    tables: Vec<Table>,
    runs: Vec<Run>,
    rows: usize,
}

/// Neighbouring rows of one table.
#[derive(Clone, Debug)]
struct Run {
    table: usize,
    first: usize,
    rows: usize,
}

/// One of a [`RowSet`]'s tables.
#[derive(Clone, Copy, Debug)]
pub struct TableId(usize);

impl RowSet {
    /// Makes a table's rows available to [`Self::add`].
    pub fn table(&mut self, table: &Table) -> TableId {
        self.tables.push(table.clone());
        TableId(self.tables.len() - 1)
    }

    /// Adds neighbouring rows; returns the place of the first in the set, or `None` where the table has no such rows.
    pub fn add(&mut self, TableId(table): TableId, first: usize, rows: usize) -> Option<usize> {
        let at = self.rows;
        if first.checked_add(rows)? > self.tables.get(table)?.rows() {
            return None;
        }
        self.rows += rows;
        match self.runs.last_mut() {
            Some(last) if last.table == table && last.first + last.rows == first => last.rows += rows,
            _ => self.runs.push(Run { table, first, rows }),
        }
        Some(at)
    }

    /// Number of rows chosen.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Dot products of all rows with each of the vectors `x`, `[V, width]`: `out[v * stride + row]`.
    pub fn dot(&self, x: &[f32], out: &mut [f32], stride: usize) {
        let mut at = 0;
        for run in &self.runs {
            self.tables[run.table].dot_range(run.first..run.first + run.rows, x, &mut out[at..], stride);
            at += run.rows;
        }
    }
}
