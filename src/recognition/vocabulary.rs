//! What a model can answer with, as tables of text embeddings made ahead of time.

use crate::table::Table;

/// The words of each category, for concept spotting.
#[derive(Clone, Debug)]
pub struct WordTable {
    /// Word rows, unit length, `[K * W, D]`; those of category k start at row `k * W`.
    pub own: Table,
    /// How many text positions each row stands for, F32 `[K, W]`; 0 marks an unused row.
    pub weight: Table,
    /// Rows that are the same in every category, `[P, D]`, and their weights, `[P]`.
    pub shared: Option<(Table, Vec<f32>)>,
    /// W.
    pub rows_per_category: usize,
}

/// The categories a model answers with.
#[derive(Clone, Debug)]
pub struct CategorySet {
    /// Names, `[K]`, unique.
    pub names: Vec<String>,
    /// Category embeddings, unit length, `[K, D]`.
    pub category: Table,
    /// Their words.
    pub words: WordTable,
    /// Categories as the trained attribute branch sees them, `[K, D]`; `category` where there is none.
    pub attribute: Option<Table>,
}

/// Attribute phrases; each can also be used as a category.
#[derive(Clone, Debug)]
pub struct Lexicon {
    /// Phrases, `[N]`, unique.
    pub phrases: Vec<String>,
    /// Phrases in the space of the attribute encoder, unit length, `[N, Da]`.
    pub retrieval: Table,
    /// Phrases in the space of the categories, `[N, D]`; `retrieval` where there is none (then Da = D).
    pub sentence: Option<Table>,
    /// Words to spot when a phrase is used as a category.
    pub words: WordTable,
    /// Phrases as the trained attribute branch sees them when used as categories, `[N, D]`.
    pub sentence_attribute: Option<Table>,
    /// Mean of `sentence`, `[D]`, for attribute sentences made without a composer.
    pub sentence_mean: Option<Vec<f32>>,
}
