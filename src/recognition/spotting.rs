//! The video branch: concept spotting, and the plain dot product.

use super::category_set::{Mixture, WordLayout, bundle_error};
use super::vocabulary::{CategoryRow, Vocabulary, add_row};
use super::window::Embeddings;
use crate::error::{Error, Result};
use crate::table::{Group, LANES, RowSet, SoftmaxSums, Table, TableId, mean_direction, softmax_sums};

/// Largest memory for similarities, in bytes.
const MAX_BYTES: usize = 1 << 30;

/// Concept spotting over a window of T slots, as `video_header` in the reference's modules/video_clip.py computes it:
///
/// - `s[k, j, t] = <word_kj, frame_t>`, all of length 1
/// - saliency `A[k, t]` = mean over j of softmax over t of `s[k, j, t] / tau`
/// - `S_V[k] = <sum_t A[k, t] frame_t, category_k>`, without normalising the sum again. It is computed as
///   `sum_t A[k, t] <frame_t, category_k>`, so that each frame is compared only once
///
/// A word row may represent several text positions, so the mean is weighted. Rows that all categories share go through
/// the softmax once. Words that are mixed from rows are never computed: the product with a frame is linear, so the
/// rows' similarities are mixed instead, and a category costs as many products as it has rows.
#[derive(Debug)]
pub(super) struct Spotting {
    /// Word rows of categories whose rows are words, shared rows and category rows, in this order.
    rows: RowSet,
    /// Words that are mixed from rows.
    mixed: MixedWords,
    /// Similarities, one column per row or mixed word: `[T, rows + mixed words + LANES]`. The last [`LANES`] columns are
    /// padding, so that a group can be read in whole vectors.
    columns: Embeddings,
    /// Row weights, with each group padded to a multiple of [`LANES`].
    weights: Vec<f32>,
    /// Each category's own word rows, `[K]`.
    own: Vec<Group>,
    /// Shared rows, one group for each of the vocabulary's tables that has them.
    shared: Vec<Group>,
    /// The index in `shared` of each category's group, `[K]`.
    shared_of: Vec<Option<usize>>,
    /// 1 / the sum of a category's weights, `[K]`.
    inverse_total: Vec<f32>,
    /// Index of the first category row in `rows`.
    first_category: usize,
    inverse_tau: f32,
    /// Part of the saliency that comes from shared rows, `[shared, T]`.
    shared_saliency: Embeddings,
}

impl Spotting {
    /// Prepares spotting of a vocabulary's words over `window` slots.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if the tables' shapes do not fit together or a category has no words, and
    /// [`Error::Setting`] if it would take too much memory.
    pub fn new(vocabulary: &Vocabulary, window: usize, tau: f32) -> Result<Self> {
        vocabulary.check_words()?;
        let mut rows = RowSet::default();
        let mut weights = Weights::default();
        let ids: Vec<TableId> = vocabulary.tables.iter().map(|tables| rows.add_table(&tables.words.own)).collect();
        let mut mixed = MixedWords::new(vocabulary);

        let mut own = Vec::with_capacity(vocabulary.len());
        let mut totals = Vec::with_capacity(vocabulary.len());
        let mut row_weights = Vec::new();
        for (k, category) in vocabulary.rows.iter().enumerate() {
            // For mixed words `first` is set below, when their columns are known.
            let mut group = Group { first: rows.rows(), rows: 0, weights: weights.start() };
            match &vocabulary.tables[category.table_set].words.layout {
                WordLayout::Weighted(weight) => {
                    row_weights.resize(weight.width(), 0.0);
                    weight.row_into(category.row, &mut row_weights);
                    for (j, weight) in row_weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                        add_row(&mut rows, ids[category.table_set], category.row * row_weights.len() + j)?;
                        weights.add(*weight);
                        group.rows += 1;
                    }
                    totals.push(row_weights.iter().sum::<f32>());
                }
                WordLayout::Mixed(mixture) => {
                    group.rows = mixture.positions();
                    (0..group.rows).for_each(|_| weights.add(1.0));
                    totals.push(group.rows as f32);
                    mixed.add(k, category, mixture)?;
                }
            }
            own.push(group);
        }

        let mut shared = Vec::new();
        // The group of each of the vocabulary's tables, and the sum of its weights.
        let mut shared_groups = Vec::with_capacity(vocabulary.tables.len());
        for tables in &vocabulary.tables {
            let Some((table, row_weights)) = &tables.words.shared else {
                shared_groups.push(None);
                continue;
            };
            let id = rows.add_table(table);
            shared_groups.push(Some((shared.len(), row_weights.iter().sum::<f32>())));
            shared.push(Group { first: rows.rows(), rows: row_weights.len(), weights: weights.start() });
            for (row, weight) in row_weights.iter().enumerate() {
                add_row(&mut rows, id, row)?;
                weights.add(*weight);
            }
        }
        for (k, category) in vocabulary.rows.iter().enumerate() {
            totals[k] += shared_groups[category.table_set].map_or(0.0, |(_, weight)| weight);
            if !(totals[k] > 0.0 && totals[k].is_finite()) {
                let name = &vocabulary.names()[k];
                return Err(bundle_error(format!(
                    "category \"{name}\" has no words to spot; the sum of its weights must be positive and finite"
                )));
            }
        }

        let first_category = rows.rows();
        vocabulary.add_rows(&mut rows, |tables| &tables.category)?;
        let words = mixed.assign_columns(&mut own, rows.rows());
        // The distance from one column to the next, in floats.
        let stride = rows.rows() + words + LANES;
        let bytes = (stride + mixed.rows()).saturating_mul(window).saturating_mul(size_of::<f32>());
        if bytes > MAX_BYTES {
            let problem = format!("concept spotting over {window} frames and {stride} words takes more than 1 GiB");
            return Err(Error::setting("categories", problem, "choose fewer categories or a shorter window"));
        }
        Ok(Self {
            columns: Embeddings::new(window, stride),
            weights: weights.padded(),
            own,
            shared_saliency: Embeddings::new(shared.len(), window),
            shared,
            shared_of: vocabulary.rows.iter().map(|row| shared_groups[row.table_set].map(|(group, _)| group)).collect(),
            inverse_total: totals.iter().map(|total| 1.0 / total).collect(),
            first_category,
            inverse_tau: 1.0 / tau,
            mixed: mixed.with_capacity(window),
            rows,
        })
    }

    /// Compares frames of length 1, `[n, D]`, with all rows, and stores their columns in the slots from `first` on.
    pub fn compare(&mut self, first: usize, frames: &[f32]) {
        let stride = self.columns.width();
        let columns = &mut self.columns.all_mut()[first * stride..];
        self.rows.dot(frames, columns, stride);
        self.mixed.compare(frames, columns, stride);
    }

    /// Computes the scores `s_v`, `[K]`, and the saliency, `[K, T]`, over the slots `0..count`. The other columns of
    /// `saliency` are not changed.
    pub fn score(&mut self, count: usize, s_v: &mut [f32], saliency: &mut [f32]) {
        let (stride, window) = (self.columns.width(), self.shared_saliency.width());
        let columns = self.columns.all();
        let matrix = SoftmaxSums { columns, stride, count, weights: &self.weights, inverse_tau: self.inverse_tau };
        softmax_sums(matrix, &self.shared, self.shared_saliency.all_mut(), window);
        softmax_sums(matrix, &self.own, saliency, window);
        for (k, saliency) in saliency.chunks_mut(window).enumerate() {
            let saliency = &mut saliency[..count];
            if let Some(group) = self.shared_of[k] {
                saliency.iter_mut().zip(self.shared_saliency.row(group)).for_each(|(own, shared)| *own += shared);
            }
            let mut score = 0.0;
            for (t, share) in saliency.iter_mut().enumerate() {
                *share *= self.inverse_total[k];
                score += *share * columns[t * stride + self.first_category + k];
            }
            s_v[k] = score;
        }
    }
}

/// The plain dot product: frames are averaged without normalising them, and the mean is compared with the categories.
#[derive(Debug)]
pub(super) struct DotProduct {
    categories: RowSet,
    mean: Vec<f32>,
}

impl DotProduct {
    /// Prepares the comparison with a vocabulary's categories.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if a table does not have a category's row.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let mut categories = RowSet::default();
        vocabulary.add_rows(&mut categories, |tables| &tables.category)?;
        Ok(Self { categories, mean: vec![0.0; vocabulary.dim()] })
    }

    /// Computes the scores `s_v`, `[K]`, of frames `[n, D]`. Returns `None` if the frames cancel out.
    pub fn score(&mut self, frames: &[f32], s_v: &mut [f32]) -> Option<()> {
        mean_direction(frames, &mut self.mean)?;
        let count = self.categories.rows();
        self.categories.dot(&self.mean, s_v, count);
        Some(())
    }
}

/// The similarities of words that are mixed from rows ([`Mixture`]):
/// `<word_i, frame> = <common_i, frame> + sum over rows j of mix[j, i] <row_j, frame>`.
#[derive(Debug)]
struct MixedWords {
    /// The common rows of all tables that have them, then the categories' rows.
    rows: RowSet,
    /// For each of the vocabulary's tables, its mixture if it has one.
    mixtures: Vec<Option<MixtureRows>>,
    categories: Vec<MixedCategory>,
    /// Similarities of `rows`, `[T, rows]`.
    similarities: Vec<f32>,
    /// D.
    dim: usize,
}

#[derive(Debug)]
struct MixtureRows {
    own: TableId,
    mix: Table,
    /// Index of the first common row in `MixedWords::rows`.
    first_common: usize,
}

#[derive(Clone, Copy, Debug)]
struct MixedCategory {
    /// Index among all categories.
    index: usize,
    /// Index in `mixtures`.
    mixture: usize,
    /// First row in the mixture's tables.
    first: usize,
    /// Number of rows.
    count: usize,
    /// Index of the first row in `MixedWords::rows`.
    row: usize,
    /// Index of its first word's similarity in a column.
    column: usize,
}

impl MixedWords {
    /// Creates a collection without categories.
    fn new(vocabulary: &Vocabulary) -> Self {
        let mut rows = RowSet::default();
        let mixtures = vocabulary.tables.iter().map(|tables| match &tables.words.layout {
            WordLayout::Weighted(_) => None,
            WordLayout::Mixed(mixture) => {
                let own = rows.add_table(&tables.words.own);
                let common = rows.add_table(&mixture.common);
                // `None` if the table lacks rows; [`Self::add`] then refuses the mixture's categories.
                let first_common = rows.add(common, 0, mixture.positions())?;
                Some(MixtureRows { own, mix: mixture.mix.clone(), first_common })
            }
        });
        let mixtures = mixtures.collect();
        Self { rows, mixtures, categories: Vec::new(), similarities: Vec::new(), dim: vocabulary.dim() }
    }

    /// Adds the category with this index among all.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if the tables do not have its rows.
    fn add(&mut self, index: usize, category: &CategoryRow, mixture: &Mixture) -> Result<()> {
        let (first, end) = (mixture.first[category.row], mixture.first[category.row + 1]);
        let rows = self.mixtures[category.table_set].as_ref();
        let row = rows.and_then(|rows| self.rows.add(rows.own, first, end - first));
        let row = row.ok_or_else(|| bundle_error(format!("a table has no rows {first} to {end}")))?;
        let count = end - first;
        self.categories.push(MixedCategory { index, mixture: category.table_set, first, count, row, column: 0 });
        Ok(())
    }

    /// Assigns places in a column, from `first` on, to the words of each category, and stores them in its group.
    /// Returns the number of words.
    fn assign_columns(&mut self, groups: &mut [Group], first: usize) -> usize {
        let mut at = first;
        for category in &mut self.categories {
            category.column = at;
            groups[category.index].first = at;
            at += groups[category.index].rows;
        }
        at - first
    }

    /// Returns the number of rows that frames are compared with.
    fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// Allocates memory to compare up to `window` frames at a time.
    fn with_capacity(mut self, window: usize) -> Self {
        self.similarities = vec![0.0; self.rows() * window];
        self
    }

    /// Compares frames `[n, D]` with all words and stores the similarities in the words' places of `columns`,
    /// `[n, stride]`.
    fn compare(&mut self, frames: &[f32], columns: &mut [f32], stride: usize) {
        if self.categories.is_empty() {
            return;
        }
        let rows = self.rows.rows();
        self.rows.dot(frames, &mut self.similarities, rows);
        let count = frames.len() / self.dim;
        let similarities = self.similarities.chunks_exact_mut(rows);
        for (similarities, column) in similarities.zip(columns.chunks_mut(stride)).take(count) {
            for category in &self.categories {
                let Some(mixture) = &self.mixtures[category.mixture] else { continue };
                let words = mixture.mix.width();
                // Common rows were added first.
                let (common_similarities, own) = similarities.split_at_mut(category.row);
                let range = category.first..category.first + category.count;
                mixture.mix.mix_range(
                    range,
                    &mut own[..category.count],
                    &common_similarities[mixture.first_common..][..words],
                    &mut column[category.column..][..words],
                );
            }
        }
    }
}

/// Weights in groups, each padded with zeros to a multiple of [`LANES`].
#[derive(Default)]
struct Weights(Vec<f32>);

impl Weights {
    /// Starts a group and returns the index of its first weight.
    fn start(&mut self) -> usize {
        self.0.resize(self.0.len().next_multiple_of(LANES), 0.0);
        self.0.len()
    }

    fn add(&mut self, weight: f32) {
        self.0.push(weight);
    }

    fn padded(mut self) -> Vec<f32> {
        self.start();
        self.0
    }
}
