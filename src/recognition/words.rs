//! Word embeddings to spot in frames, and how they are stored.

use std::sync::Arc;

use super::bundle_fault;
use crate::error::Result;
use crate::table::Table;

/// Word embeddings of K categories, and rows that all of them share.
#[derive(Clone, Debug)]
pub struct WordTable {
    /// Rows of length 1, D wide, category after category.
    pub own: Table,
    /// What words a category's rows make.
    pub spread: Spread,
    /// Rows that are the same in every category, `[P, D]`, and their weights, `[P]`.
    pub shared: Option<(Table, Vec<f32>)>,
}

/// What words a category's own rows make.
#[derive(Clone, Debug)]
pub enum Spread {
    /// Rows are words: each stands for some positions of the text.
    ///
    /// F32 `[K, W]`: how many a row stands for; 0 marks an unused row. Category k has rows `k * W..(k + 1) * W` of `own`.
    Weighted(Table),
    /// Words are mixed from rows.
    Mixed(Mixture),
}

/// Words at P positions, mixed from rows: the word at position i is
/// `common[i] + sum over the category's rows j of mix[j, i] * row[j]`, and each counts 1. It is not normalised again.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// `[M, P]`: how much of each row is in the words.
    pub mix: Table,
    /// `[P, D]`: what all categories have in common.
    pub common: Table,
    /// `[K + 1]`: category k has rows `first[k]..first[k + 1]`.
    pub first: Arc<[usize]>,
}

impl Mixture {
    /// Where categories' rows begin, and where the last ones end, from how many each has, `[K]`.
    pub fn starts(rows: &[u32]) -> Arc<[usize]> {
        let mut total = 0usize;
        let ends = rows.iter().map(|rows| {
            total = total.saturating_add(usize::try_from(*rows).unwrap_or(usize::MAX));
            total
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// P.
    pub fn positions(&self) -> usize {
        self.common.rows()
    }
}

impl WordTable {
    /// Rows `[K * W, D]` that are words, with F32 weights `[K, W]`.
    pub fn weighted(own: Table, weight: Table) -> Self {
        Self { own, spread: Spread::Weighted(weight), shared: None }
    }

    /// Rows a category has of its own, in the mean.
    pub fn rows_per_category(&self, categories: usize) -> f64 {
        self.own.rows() as f64 / categories.max(1) as f64
    }

    /// # Errors
    /// Where the tables do not fit `categories` of this width, or each other.
    pub(super) fn check(&self, categories: usize, width: usize) -> Result<()> {
        let own = self.own.rows() == 0 || self.own.width() == width;
        let spread = match &self.spread {
            Spread::Weighted(weight) => {
                categories.checked_mul(weight.width()) == Some(self.own.rows()) && weight.rows() == categories
            }
            Spread::Mixed(Mixture { mix, common, first }) => {
                mix.rows() == self.own.rows()
                    && mix.width() == common.rows()
                    && common.width() == width
                    && first.len() == categories + 1
                    && first.is_sorted()
                    && first.last() == Some(&self.own.rows())
            }
        };
        let shared = self.shared.as_ref().is_none_or(|(table, weights)| {
            table.rows() == weights.len() && (weights.is_empty() || table.width() == width)
        });
        if own && spread && shared {
            Ok(())
        } else {
            Err(bundle_fault("word tables do not fit the categories in shape"))
        }
    }
}
