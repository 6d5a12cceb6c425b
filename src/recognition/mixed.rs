//! Similarities of words that are mixed from rows.

use super::bundle_fault;
use super::vocabulary::{Pick, Vocabulary};
use super::words::{Mixture, Spread};
use crate::error::Result;
use crate::table::{Group, RowSet, Table, TableId};

/// Mixed words of some categories: `<word_i, frame> = <common_i, frame> + sum over rows j of mix[j, i] <row_j, frame>`.
#[derive(Debug)]
pub(super) struct Mixed {
    /// Common rows of every source that has them, then the categories' rows.
    rows: RowSet,
    /// Tables of the sources whose words are mixed.
    sources: Vec<Option<Tables>>,
    categories: Vec<Category>,
    /// Similarities of `rows`, `[T, rows]`.
    seen: Vec<f32>,
    /// D.
    dim: usize,
}

#[derive(Debug)]
struct Tables {
    own: TableId,
    mix: Table,
    /// First common row in `Mixed::rows`.
    common: usize,
}

#[derive(Clone, Copy, Debug)]
struct Category {
    /// Its number among all.
    number: usize,
    source: usize,
    /// First row in the source's tables, and how many.
    first: usize,
    count: usize,
    /// First row in `Mixed::rows`.
    row: usize,
    /// Where its words' similarities go in a column.
    column: usize,
}

impl Mixed {
    /// No categories yet.
    pub fn new(vocabulary: &Vocabulary) -> Self {
        let mut rows = RowSet::default();
        let sources = vocabulary.sources.iter().map(|source| match &source.words.spread {
            Spread::Weighted(_) => None,
            Spread::Mixed(mixture) => {
                let (own, common) = (rows.table(&source.words.own), rows.table(&mixture.common));
                let common = rows.add(common, 0, mixture.positions())?;
                Some(Tables { own, mix: mixture.mix.clone(), common })
            }
        });
        let sources = sources.collect();
        Self { rows, sources, categories: Vec::new(), seen: Vec::new(), dim: vocabulary.dim() }
    }

    /// Adds a category, the `number`th of all.
    ///
    /// # Errors
    /// Where its rows are not in the tables.
    pub fn add(&mut self, number: usize, pick: &Pick, mixture: &Mixture) -> Result<()> {
        let (first, end) = (mixture.first[pick.row], mixture.first[pick.row + 1]);
        let tables = self.sources[pick.source].as_ref();
        let row = tables.and_then(|tables| self.rows.add(tables.own, first, end - first));
        let row = row.ok_or_else(|| bundle_fault(format!("a table has no rows {first} to {end}")))?;
        self.categories.push(Category { number, source: pick.source, first, count: end - first, row, column: 0 });
        Ok(())
    }

    /// Gives each category's words their place in a column, from `first` on, and tells it to its group; returns how many
    /// words there are.
    pub fn place(&mut self, groups: &mut [Group], first: usize) -> usize {
        let mut at = first;
        for category in &mut self.categories {
            category.column = at;
            groups[category.number].first = at;
            at += groups[category.number].rows;
        }
        at - first
    }

    /// Number of rows that frames are compared with.
    pub fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// With room for as many frames at a time.
    pub fn with_room(mut self, window: usize) -> Self {
        self.seen = vec![0.0; self.rows() * window];
        self
    }

    /// Compares frames `[n, D]` with all words, into their places of the columns, `[n, stride]`.
    pub fn see(&mut self, frames: &[f32], columns: &mut [f32], stride: usize) {
        if self.categories.is_empty() {
            return;
        }
        let rows = self.rows.rows();
        self.rows.dot(frames, &mut self.seen, rows);
        let count = frames.len() / self.dim;
        for (seen, column) in self.seen.chunks_exact_mut(rows).zip(columns.chunks_mut(stride)).take(count) {
            for category in &self.categories {
                let Some(tables) = &self.sources[category.source] else { continue };
                let words = tables.mix.width();
                // Common rows were added first.
                let (common, own) = seen.split_at_mut(category.row);
                let range = category.first..category.first + category.count;
                tables.mix.mix_range(
                    range,
                    &mut own[..category.count],
                    &common[tables.common..][..words],
                    &mut column[category.column..][..words],
                );
            }
        }
    }
}
