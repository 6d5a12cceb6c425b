//! The tables of categories and lexicon phrases.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::table::Table;

/// The categories of a bundle, with their tables.
#[derive(Clone, Debug)]
pub struct CategorySet {
    /// K names.
    pub names: Vec<String>,
    /// Category embeddings c_k, `[K, D]`, rows of length 1.
    pub category: Table,
    /// Word embeddings for concept spotting.
    pub words: WordTable,
    /// Category embeddings in the space of a trained attribute branch, `[K, Dq]`; without it `category` is used.
    pub attribute: Option<Table>,
}

/// The lexicon: phrases that can be attributes. Each can also be used as a category.
#[derive(Clone, Debug)]
pub struct Lexicon {
    /// N phrases.
    pub phrases: Vec<String>,
    /// Phrase embeddings in the space of the attribute encoder, `[N, Da]`, rows of length 1.
    pub retrieval: Table,
    /// Phrase embeddings in the space of the categories, `[N, D]`; without it `retrieval` is used. Each is the embedding
    /// of one phrase; the attribute sentence of several phrases is made of them.
    pub sentence: Option<Table>,
    /// Word embeddings for concept spotting when a phrase is used as a category; K is N.
    pub words: WordTable,
    /// Phrase embeddings in the space of a trained attribute branch, `[N, Dq]`, as [`CategorySet::attribute`].
    pub sentence_attribute: Option<Table>,
    /// Mean of the rows of `sentence`, `[D]`.
    pub sentence_mean: Option<Vec<f32>>,
}

impl Lexicon {
    /// Returns the phrase embeddings in the space of the categories, `[N, D]`.
    pub fn sentences(&self) -> &Table {
        self.sentence.as_ref().unwrap_or(&self.retrieval)
    }
}

/// The word embeddings of K categories.
#[derive(Clone, Debug)]
pub struct WordTable {
    /// The categories' own rows, `[rows, D]`, of length 1, ordered by category.
    pub own: Table,
    /// How the words of a category are computed from its rows.
    pub layout: WordLayout,
    /// Words that all categories share, `[R, D]`, and their weights, `[R]`.
    pub shared: Option<(Table, Vec<f32>)>,
}

/// How the words of a category are computed from its rows.
#[derive(Clone, Debug)]
pub enum WordLayout {
    /// Each row is a word and represents one or more positions of the text.
    ///
    /// The table, f32 `[K, W]`, holds how many positions each row represents; 0 marks an unused row. Category k has
    /// rows `k * W..(k + 1) * W` of [`WordTable::own`].
    Weighted(Table),
    /// Each word is a linear combination of rows.
    Mixed(Mixture),
}

/// Words at P positions as linear combinations (mixtures) of rows. CLIP has 77 positions, but the embeddings that it
/// gives them for one text are nearly linearly dependent, so that a few rows a category store them all in a fraction of
/// the memory and of the products with a frame.
///
/// The word at position i is
/// `common[i] + sum over the category's rows j of mix[j, i] * row[j]`. It is not normalised, and its weight is 1.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// `[M, P]`: the factor of each row in each word.
    pub mix: Table,
    /// `[P, D]`: the part of the words that all categories share.
    pub common: Table,
    /// `[K + 1]`: category k has rows `first[k]..first[k + 1]`.
    pub first: Arc<[usize]>,
}

impl Mixture {
    /// Returns [`Self::first`] from the number of rows of each category, `[K]`.
    pub fn row_starts(rows: &[u32]) -> Arc<[usize]> {
        let mut total = 0usize;
        let ends = rows.iter().map(|rows| {
            total = total.saturating_add(usize::try_from(*rows).unwrap_or(usize::MAX));
            total
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// Returns P, the number of words per category.
    pub fn positions(&self) -> usize {
        self.common.rows()
    }
}

impl WordTable {
    /// Creates a table of rows `[K * W, D]` that are words, with f32 weights `[K, W]`.
    pub fn weighted(own: Table, weight: Table) -> Self {
        Self { own, layout: WordLayout::Weighted(weight), shared: None }
    }

    /// Returns the mean number of own rows per category.
    pub fn rows_per_category(&self, categories: usize) -> f64 {
        self.own.rows() as f64 / categories.max(1) as f64
    }

    /// Checks that the tables fit `categories` of this width, and each other.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if a shape does not fit.
    pub(super) fn check(&self, categories: usize, width: usize) -> Result<()> {
        let own = self.own.rows() == 0 || self.own.width() == width;
        let layout = match &self.layout {
            WordLayout::Weighted(weight) => {
                categories.checked_mul(weight.width()) == Some(self.own.rows()) && weight.rows() == categories
            }
            WordLayout::Mixed(Mixture { mix, common, first }) => {
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
        if own && layout && shared {
            Ok(())
        } else {
            Err(bundle_error("the shapes of the word tables do not fit the categories"))
        }
    }
}

/// Returns an error about the loaded bundle. Only the caller that opened it has its name.
pub(super) fn bundle_error(problem: impl Into<String>) -> Error {
    Error::bundle("that was loaded", problem)
}
