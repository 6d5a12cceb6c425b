//! Attributes: the phrases nearest to what the window shows, and what they say about the categories.

use std::sync::Arc;

use super::spec::{AttributeScores, MAX_ATTRIBUTES, RecognitionSpec};
use super::spotting::add_categories;
use super::vocabulary::{Lexicon, Vocabulary};
use super::window::Embeddings;
use super::{bundle_fault, mean_direction, normalise};
use crate::error::{Error, Result};
use crate::table::{RowSet, Table};

/// A phrase's place in the lexicon, and its cosine with the window's mean.
pub type Attribute = (u32, f32);

/// Phrases of an attribute sentence, nearest first.
#[derive(Clone, Copy, Debug)]
pub struct Phrases<'a> {
    /// Their places in the lexicon.
    pub nearest: &'a [Attribute],
    /// Their embeddings, `[k, D]`, each of length 1.
    pub rows: &'a [f32],
}

/// Makes an attribute sentence's embedding: a composer from those of its phrases, a text tower from their names.
pub trait Compose {
    /// Phrases to `out`, `[D]`, of any length.
    ///
    /// # Errors
    /// Where the network fails.
    fn compose(&mut self, phrases: Phrases<'_>, out: &mut [f32]) -> Result<()>;
}

/// A composer knows the embeddings alone.
impl<F: FnMut(&[f32], &mut [f32]) -> Result<()>> Compose for F {
    fn compose(&mut self, phrases: Phrases<'_>, out: &mut [f32]) -> Result<()> {
        self(phrases.rows, out)
    }
}

/// Rows compared at a time, so that their cosines stay in the nearest cache.
const BLOCK: usize = 1024;

/// The lexicon's part in a recogniser.
pub(super) struct Attributes {
    lexicon: Arc<Lexicon>,
    /// The window's embeddings in the attribute space, not normalised, `[T, Da]`.
    pub frames: Embeddings,
    /// `[Da]`.
    mean: Vec<f32>,
    cosines: Vec<f32>,
    nearest: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
    top_k: usize,
    /// `None` where attributes are listed but not scored.
    scoring: Option<Scoring>,
}

struct Scoring {
    /// None for the mean.
    composer: Option<Box<dyn Compose>>,
    /// What errors of the composer are about.
    file: &'static str,
    /// Categories as the attribute branch sees them.
    categories: RowSet,
    /// `[k, D]`.
    phrases: Vec<f32>,
    /// `[D]`.
    sentence: Vec<f32>,
}

impl Attributes {
    /// Attributes from a lexicon; scored where lambda leaves them a part.
    ///
    /// # Errors
    /// Where tables do not fit together or there are fewer phrases than asked for.
    pub fn new(
        spec: &RecognitionSpec,
        vocabulary: &Vocabulary,
        lexicon: Arc<Lexicon>,
        composer: Option<Box<dyn Compose>>,
    ) -> Result<Self> {
        let rows = lexicon.retrieval.rows();
        if rows < spec.top_k || rows > u32::MAX as usize || lexicon.retrieval.width() == 0 {
            let problem = format!("lexicon.txt: {rows} phrases cannot give the nearest {}", spec.top_k);
            return Err(bundle_fault(format!("{problem}; lower attributes_top_k or add phrases")));
        }
        let scoring = if spec.lambda < 1.0 { Some(Scoring::new(spec, vocabulary, &lexicon, composer)?) } else { None };
        let width = lexicon.retrieval.width();
        Ok(Self {
            frames: Embeddings::new(spec.window, width),
            mean: vec![0.0; width],
            cosines: vec![0.0; BLOCK.min(rows)],
            nearest: heapless::Vec::new(),
            top_k: spec.top_k,
            scoring,
            lexicon,
        })
    }

    /// True where [`Self::score`] fills `s_a`.
    pub fn scores(&self) -> bool {
        self.scoring.is_some()
    }

    /// The phrases nearest to the mean of the first `count` slots, and, where attributes are scored, the cosine of
    /// their sentence with every category, `s_a`, `[K]`.
    ///
    /// # Errors
    /// Where the frames cancel out or the composer gives no usable embedding.
    pub fn score(&mut self, count: usize, s_a: &mut [f32]) -> Result<&[Attribute]> {
        mean_direction(self.frames.range(0..count), &mut self.mean)
            .ok_or_else(|| bundle_fault("attribute embeddings of the window cancel out to nothing"))?;
        nearest_rows(&self.lexicon.retrieval, &self.mean, self.top_k, &mut self.cosines, &mut self.nearest);
        if let Some(scoring) = &mut self.scoring {
            scoring.score(&self.lexicon, &self.nearest, s_a)?;
        }
        Ok(&self.nearest)
    }
}

impl Scoring {
    fn new(
        spec: &RecognitionSpec,
        vocabulary: &Vocabulary,
        lexicon: &Lexicon,
        composer: Option<Box<dyn Compose>>,
    ) -> Result<Self> {
        let width = lexicon.sentences().width();
        let (composer, file) = match spec.attribute_scores {
            AttributeScores::Mean => (None, ""),
            AttributeScores::Composer => (composer, "composer.onnx"),
            AttributeScores::Tower => (composer, "text.onnx"),
        };
        if composer.is_none() && !file.is_empty() {
            return Err(bundle_fault(format!(
                "attributes are to be scored by {file}, which is not there; use \"mean\""
            )));
        }
        if lexicon.sentences().rows() != lexicon.retrieval.rows()
            || lexicon.sentence_mean.as_ref().is_some_and(|mean| mean.len() != width)
        {
            return Err(bundle_fault("lexicon.safetensors: retrieval, sentence and sentence_mean differ in shape"));
        }
        let own = vocabulary.sources.iter().filter(|source| source.attribute_is_own).count();
        if own != 0 && own != vocabulary.sources.len() {
            return Err(Error::Usage(
                "--categories: the bundle has trained attribute embeddings for some of these and not for others, so \
                 attributes cannot compare them; use --lambda 1"
                    .into(),
            ));
        }
        if own != 0 && spec.attribute_scores == AttributeScores::Mean {
            return Err(Error::Usage(
                "--attributes mean: the bundle's attributes have trained heads, which the mean of phrases does not go \
                 through; use --attributes auto, or --lambda 1"
                    .into(),
            ));
        }
        if let Some(source) = vocabulary.sources.iter().find(|source| source.attribute.width() != width) {
            let other = source.attribute.width();
            return Err(bundle_fault(format!(
                "attribute sentences are {width} numbers wide and categories {other}; they must be of one space, or lambda 1"
            )));
        }
        let mut categories = RowSet::default();
        add_categories(&mut categories, vocabulary, |source| &source.attribute)?;
        Ok(Self { composer, file, categories, phrases: vec![0.0; spec.top_k * width], sentence: vec![0.0; width] })
    }

    fn score(&mut self, lexicon: &Lexicon, nearest: &[Attribute], s_a: &mut [f32]) -> Result<()> {
        let width = self.sentence.len();
        for ((phrase, _), row) in nearest.iter().zip(self.phrases.chunks_exact_mut(width)) {
            lexicon.sentences().row_into(*phrase as usize, row);
        }
        match &mut self.composer {
            Some(composer) => {
                composer.compose(Phrases { nearest, rows: &self.phrases }, &mut self.sentence)?;
                let file = self.file;
                normalise(&mut self.sentence)
                    .ok_or_else(|| bundle_fault(format!("{file} gave zeros or numbers that are not finite")))?;
            }
            None => {
                if let Some(mean) = &lexicon.sentence_mean {
                    for row in self.phrases.chunks_exact_mut(width) {
                        row.iter_mut().zip(mean).for_each(|(x, mean)| *x -= mean);
                    }
                }
                mean_direction(&self.phrases, &mut self.sentence)
                    .ok_or_else(|| bundle_fault("the nearest phrases' embeddings cancel out to nothing"))?;
            }
        }
        self.categories.dot(&self.sentence, s_a, self.categories.rows());
        Ok(())
    }
}

/// The `count` rows with the largest products with `x`, largest first, equal ones by place.
fn nearest_rows(
    table: &Table,
    x: &[f32],
    count: usize,
    products: &mut [f32],
    best: &mut heapless::Vec<Attribute, MAX_ATTRIBUTES>,
) {
    let count = count.min(MAX_ATTRIBUTES);
    best.clear();
    let mut least = f32::NEG_INFINITY;
    for first in (0..table.rows()).step_by(products.len().max(1)) {
        let rows = first..table.rows().min(first + products.len());
        let products = &mut products[..rows.len()];
        table.dot_range(rows.clone(), x, products, rows.len());
        for (row, product) in rows.zip(products.iter()) {
            if *product <= least && best.len() == count {
                continue;
            }
            if best.len() == count {
                best.pop();
            }
            let place = best.iter().position(|(_, other)| product > other).unwrap_or(best.len());
            // There is room: `count` is at most the capacity, and one was dropped where it was reached.
            let _ = best.insert(place, (row as u32, *product));
            least = best.last().map_or(least, |(_, last)| *last);
        }
    }
}
