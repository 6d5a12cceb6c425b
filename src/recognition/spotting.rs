//! Video concept spotting: which frames show a category's words, and how well they fit the category.

use super::mixed::Mixed;
use super::vocabulary::{Source, Vocabulary};
use super::window::Embeddings;
use super::words::Spread;
use super::{bundle_fault, mean_direction};
use crate::error::{Error, Result};
use crate::table::{Group, LANES, RowSet, SoftmaxSums, Table, TableId, softmax_sums};

/// The most memory that similarities may take, in bytes.
const MAX_BYTES: usize = 1 << 30;

/// Concept spotting over a window of T slots, as `video_header` of the reference's modules/video_clip.py does it:
///
/// - `s[k, j, t] = <word_kj, frame_t>`, all of length 1
/// - saliency `A[k, t]` = mean over j of softmax over t of `s[k, j, t] / tau`
/// - `S_V[k] = <sum_t A[k, t] frame_t, category_k>`, without normalising the sum again; summed the other way round,
///   `sum_t A[k, t] <frame_t, category_k>`, so that a frame need only be compared once
///
/// A word row may stand for several text positions: the mean is weighted, and rows that all categories share go
/// through the softmax once. Words that are mixed from rows are never made: as the product with a frame is linear, the
/// rows' similarities are mixed instead, so that a category costs as many products as it has rows.
#[derive(Debug)]
pub(super) struct Spotting {
    /// Word rows of categories that have them whole, shared rows, category rows, in this order.
    rows: RowSet,
    /// Words that are mixed.
    mixed: Mixed,
    /// Similarities, a column a slot: `[T, rows + mixed words + LANES]`.
    columns: Embeddings,
    /// Row weights, padded group by group.
    weights: Vec<f32>,
    /// Each category's own word rows, `[K]`.
    own: Vec<Group>,
    /// Shared rows, one group a source that has them.
    shared: Vec<Group>,
    /// Each category's group in `shared`, `[K]`.
    shared_of: Vec<Option<usize>>,
    /// One over the sum of a category's weights, `[K]`.
    inverse_total: Vec<f32>,
    /// Row of category 0.
    categories: usize,
    inverse_tau: f32,
    /// Saliency by shared rows, `[shared, T]`.
    shared_saliency: Embeddings,
}

impl Spotting {
    /// Spotting of a vocabulary's words over `window` slots.
    ///
    /// # Errors
    /// Where the tables' shapes do not fit together, a category has no words, or memory would be excessive.
    pub fn new(vocabulary: &Vocabulary, window: usize, tau: f32) -> Result<Self> {
        vocabulary.check_words()?;
        let mut rows = RowSet::default();
        let mut weights = Weights::default();
        let ids: Vec<TableId> = vocabulary.sources.iter().map(|source| rows.table(&source.words.own)).collect();
        let mut mixed = Mixed::new(vocabulary);

        let mut own = Vec::with_capacity(vocabulary.len());
        let mut totals = Vec::with_capacity(vocabulary.len());
        let mut of_category = Vec::new();
        for (k, pick) in vocabulary.picks.iter().enumerate() {
            let mut group = Group { first: rows.rows(), rows: 0, weights: weights.start() };
            match &vocabulary.sources[pick.source].words.spread {
                Spread::Weighted(weight) => {
                    of_category.resize(weight.width(), 0.0);
                    weight.row_into(pick.row, &mut of_category);
                    for (j, weight) in of_category.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                        add(&mut rows, ids[pick.source], pick.row * of_category.len() + j)?;
                        weights.add(*weight);
                        group.rows += 1;
                    }
                    totals.push(of_category.iter().sum::<f32>());
                }
                Spread::Mixed(mixture) => {
                    group.rows = mixture.positions();
                    (0..group.rows).for_each(|_| weights.add(1.0));
                    totals.push(group.rows as f32);
                    mixed.add(k, pick, mixture)?;
                }
            }
            own.push(group);
        }

        let mut shared = Vec::new();
        let mut shared_at = Vec::with_capacity(vocabulary.sources.len());
        for source in &vocabulary.sources {
            let Some((table, of_rows)) = &source.words.shared else {
                shared_at.push(None);
                continue;
            };
            let id = rows.table(table);
            shared_at.push(Some((shared.len(), of_rows.iter().sum::<f32>())));
            shared.push(Group { first: rows.rows(), rows: of_rows.len(), weights: weights.start() });
            for (row, weight) in of_rows.iter().enumerate() {
                add(&mut rows, id, row)?;
                weights.add(*weight);
            }
        }
        for (k, pick) in vocabulary.picks.iter().enumerate() {
            totals[k] += shared_at[pick.source].map_or(0.0, |(_, weight)| weight);
            if !(totals[k] > 0.0 && totals[k].is_finite()) {
                let name = &vocabulary.names()[k];
                return Err(bundle_fault(format!("category \"{name}\" has no words to spot, by their weights")));
            }
        }

        let categories = rows.rows();
        add_categories(&mut rows, vocabulary, |source| &source.category)?;
        let words = mixed.place(&mut own, rows.rows());
        let stride = rows.rows() + words + LANES;
        let taken = (stride + mixed.rows()).saturating_mul(window).saturating_mul(size_of::<f32>());
        if taken > MAX_BYTES {
            let problem = format!("concept spotting over {window} frames and {stride} words takes over a GiB");
            return Err(Error::Usage(format!("{problem}; choose fewer --categories or a shorter --window")));
        }
        Ok(Self {
            columns: Embeddings::new(window, stride),
            weights: weights.padded(),
            own,
            shared_saliency: Embeddings::new(shared.len(), window),
            shared,
            shared_of: vocabulary.picks.iter().map(|pick| shared_at[pick.source].map(|(group, _)| group)).collect(),
            inverse_total: totals.iter().map(|total| 1.0 / total).collect(),
            categories,
            inverse_tau: 1.0 / tau,
            mixed: mixed.with_room(window),
            rows,
        })
    }

    /// Compares frames of length 1, `[n, D]`, with all rows; their columns go to the slots from `first` on.
    pub fn see(&mut self, first: usize, frames: &[f32]) {
        let stride = self.columns.width();
        let columns = &mut self.columns.all_mut()[first * stride..];
        self.rows.dot(frames, columns, stride);
        self.mixed.see(frames, columns, stride);
    }

    /// Scores `s_v`, `[K]`, and saliency, `[K, T]`, over the slots `0..count`; saliency's other columns are not touched.
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
                score += *share * columns[t * stride + self.categories + k];
            }
            s_v[k] = score;
        }
    }
}

/// The plain dot product: frames are averaged as they are, and the average is compared with the categories.
#[derive(Debug)]
pub(super) struct DotProduct {
    categories: RowSet,
    mean: Vec<f32>,
}

impl DotProduct {
    /// Comparison with a vocabulary's categories.
    ///
    /// # Errors
    /// Where the tables' shapes do not fit together.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let mut categories = RowSet::default();
        add_categories(&mut categories, vocabulary, |source| &source.category)?;
        Ok(Self { categories, mean: vec![0.0; vocabulary.dim()] })
    }

    /// Scores `s_v`, `[K]`, of frames `[n, D]`; `None` where they cancel out.
    pub fn score(&mut self, frames: &[f32], s_v: &mut [f32]) -> Option<()> {
        mean_direction(frames, &mut self.mean)?;
        let count = self.categories.rows();
        self.categories.dot(&self.mean, s_v, count);
        Some(())
    }
}

/// Adds one row a category, in the vocabulary's order.
pub(super) fn add_categories(
    rows: &mut RowSet,
    vocabulary: &Vocabulary,
    table: impl Fn(&Source) -> &Table,
) -> Result<()> {
    let ids: Vec<TableId> = vocabulary.sources.iter().map(|source| rows.table(table(source))).collect();
    vocabulary.picks.iter().try_for_each(|pick| add(rows, ids[pick.source], pick.row))
}

/// Adds one row of a table.
pub(super) fn add(rows: &mut RowSet, table: TableId, row: usize) -> Result<()> {
    rows.add(table, row, 1).map(drop).ok_or_else(|| bundle_fault(format!("a table has no row {row}")))
}

/// Weights in groups, each padded with zeros to a multiple of [`LANES`].
#[derive(Default)]
struct Weights(Vec<f32>);

impl Weights {
    /// Starts a group and returns its place.
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
