//! The attribute branch: finds the phrases nearest to a window and scores categories by their sentence.

use std::collections::VecDeque;
use std::sync::Arc;

use super::category_set::{Lexicon, bundle_error};
use super::spec::{MAX_ATTRIBUTES, RecognitionSpec, SentenceMethod};
use super::vocabulary::Vocabulary;
use super::window::Embeddings;
use crate::error::{Error, Result};
use crate::table::{RowSet, Table, mean_direction, normalise};

/// A phrase's index in the lexicon, and its cosine with the mean of the window.
pub type Attribute = (u32, f32);

/// The phrases of an attribute sentence, nearest first.
#[derive(Clone, Copy, Debug)]
pub struct Phrases<'a> {
    /// Their indices in the lexicon, and their cosines.
    pub nearest: &'a [Attribute],
    /// Their embeddings, `[k, D]`, each of length 1.
    pub rows: &'a [f32],
}

/// Embeds attribute sentences: a composer from the embeddings of the phrases, a text tower from their text.
pub trait SentenceEncoder: Send {
    /// Writes the embedding of a sentence to `out`, `[D]`, of any length.
    ///
    /// # Errors
    /// Returns an error if the network fails.
    fn encode_sentence(&mut self, phrases: Phrases<'_>, out: &mut [f32]) -> Result<()>;
}

/// A composer uses only the embeddings of the phrases.
impl<F: FnMut(&[f32], &mut [f32]) -> Result<()> + Send> SentenceEncoder for F {
    fn encode_sentence(&mut self, phrases: Phrases<'_>, out: &mut [f32]) -> Result<()> {
        self(phrases.rows, out)
    }
}

/// How many rows are compared at a time, so that their cosines stay in the first-level cache.
const BLOCK: usize = 1024;

/// Finds the attributes of a window and scores categories by them.
pub(super) struct Attributes {
    lexicon: Arc<Lexicon>,
    /// The window's embeddings in the attribute space, not normalised, `[T, Da]`.
    pub frames: Embeddings,
    /// `[Da]`.
    mean: Vec<f32>,
    cosines: Vec<f32>,
    nearest: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
    top_k: usize,
    /// `None` if attributes are listed but not scored.
    scoring: Option<Scoring>,
}

/// Scores categories by the sentence of the nearest phrases.
struct Scoring {
    /// `None` for the mean of the phrases.
    sentence_encoder: Option<Box<dyn SentenceEncoder>>,
    /// The sentence encoder's file, for errors.
    file: &'static str,
    /// Category embeddings in the space of the attribute branch.
    categories: RowSet,
    /// `[k, D]`.
    phrases: Vec<f32>,
    /// `[D]`.
    sentence: Vec<f32>,
}

impl Attributes {
    /// Prepares attributes from a lexicon. They are scored if lambda is below 1.
    ///
    /// # Errors
    /// Returns an error if tables do not fit together or there are too few phrases.
    pub fn new(
        spec: &RecognitionSpec,
        vocabulary: &Vocabulary,
        lexicon: Arc<Lexicon>,
        sentence_encoder: Option<Box<dyn SentenceEncoder>>,
    ) -> Result<Self> {
        let rows = lexicon.retrieval.rows();
        if rows < spec.top_k || rows > u32::MAX as usize || lexicon.retrieval.width() == 0 {
            let problem = format!("lexicon.txt: {rows} phrases are too few for the nearest {}", spec.top_k);
            return Err(bundle_error(format!("{problem}; lower attributes_top_k or add phrases")));
        }
        let scoring =
            if spec.lambda < 1.0 { Some(Scoring::new(spec, vocabulary, &lexicon, sentence_encoder)?) } else { None };
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

    /// Returns whether [`Self::score`] fills `s_a`.
    pub fn scores(&self) -> bool {
        self.scoring.is_some()
    }

    /// Returns the phrases nearest to the mean of the first `count` slots. If attributes are scored, writes the cosine
    /// of their sentence with every category to `s_a`, `[K]`.
    ///
    /// # Errors
    /// Returns an error if the frames cancel out or the sentence encoder gives no usable embedding.
    pub fn score(&mut self, count: usize, s_a: &mut [f32]) -> Result<&[Attribute]> {
        mean_direction(self.frames.range(0..count), &mut self.mean)
            .ok_or_else(|| bundle_error("the window's attribute embeddings cancel out"))?;
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
        sentence_encoder: Option<Box<dyn SentenceEncoder>>,
    ) -> Result<Self> {
        let width = lexicon.sentences().width();
        let (sentence_encoder, file) = match spec.sentence_method {
            SentenceMethod::Mean => (None, ""),
            SentenceMethod::Composer => (sentence_encoder, "composer.onnx"),
            SentenceMethod::Tower => (sentence_encoder, "text.onnx"),
        };
        if sentence_encoder.is_none() && !file.is_empty() {
            return Err(bundle_error(format!(
                "{file} is missing, and attributes are scored by it; set attributes to \"mean\""
            )));
        }
        if lexicon.sentences().rows() != lexicon.retrieval.rows()
            || lexicon.sentence_mean.as_ref().is_some_and(|mean| mean.len() != width)
        {
            return Err(bundle_error("lexicon.safetensors: retrieval, sentence and sentence_mean differ in shape"));
        }
        let trained = vocabulary.tables.iter().filter(|tables| tables.attribute_is_trained).count();
        if trained != 0 && trained != vocabulary.tables.len() {
            return Err(Error::setting(
                "categories",
                "the bundle has trained attribute embeddings for only some of these, so attributes cannot compare them",
                "set lambda to 1",
            ));
        }
        if trained != 0 && spec.sentence_method == SentenceMethod::Mean {
            return Err(Error::setting(
                "attributes",
                "the bundle's attributes have trained heads, which \"mean\" does not use",
                "set attributes to \"auto\", or lambda to 1",
            ));
        }
        if let Some(tables) = vocabulary.tables.iter().find(|tables| tables.attribute.width() != width) {
            let other = tables.attribute.width();
            return Err(bundle_error(format!(
                "attribute sentences are {width} numbers wide and categories {other}; export both for one space, or \
                 set lambda to 1"
            )));
        }
        let mut categories = RowSet::default();
        vocabulary.add_rows(&mut categories, |tables| &tables.attribute)?;
        Ok(Self {
            sentence_encoder,
            file,
            categories,
            phrases: vec![0.0; spec.top_k * width],
            sentence: vec![0.0; width],
        })
    }

    fn score(&mut self, lexicon: &Lexicon, nearest: &[Attribute], s_a: &mut [f32]) -> Result<()> {
        let width = self.sentence.len();
        for ((phrase, _), row) in nearest.iter().zip(self.phrases.chunks_exact_mut(width)) {
            lexicon.sentences().row_into(*phrase as usize, row);
        }
        match &mut self.sentence_encoder {
            Some(encoder) => {
                encoder.encode_sentence(Phrases { nearest, rows: &self.phrases }, &mut self.sentence)?;
                let file = self.file;
                normalise(&mut self.sentence).ok_or_else(|| {
                    bundle_error(format!("the output of {file} holds only zeros or numbers that are not finite"))
                })?;
            }
            None => {
                if let Some(mean) = &lexicon.sentence_mean {
                    for row in self.phrases.chunks_exact_mut(width) {
                        row.iter_mut().zip(mean).for_each(|(x, mean)| *x -= mean);
                    }
                }
                mean_direction(&self.phrases, &mut self.sentence)
                    .ok_or_else(|| bundle_error("the nearest phrases' embeddings cancel out"))?;
            }
        }
        self.categories.dot(&self.sentence, s_a, self.categories.rows());
        Ok(())
    }
}

/// Finds the `count` rows with the largest products with `x`, largest first, equal ones in order of their indices.
fn nearest_rows(
    table: &Table,
    x: &[f32],
    count: usize,
    products: &mut [f32],
    best: &mut heapless::Vec<Attribute, MAX_ATTRIBUTES>,
) {
    let count = count.min(MAX_ATTRIBUTES);
    best.clear();
    let mut smallest = f32::NEG_INFINITY;
    for first in (0..table.rows()).step_by(products.len().max(1)) {
        let rows = first..table.rows().min(first + products.len());
        let products = &mut products[..rows.len()];
        table.dot_range(rows.clone(), x, products, rows.len());
        for (row, product) in rows.zip(products.iter()) {
            if *product <= smallest && best.len() == count {
                continue;
            }
            if best.len() == count {
                best.pop();
            }
            let position = best.iter().position(|(_, other)| product > other).unwrap_or(best.len());
            // This cannot fail, because `count` is at most the capacity, and the last entry was removed if it was full.
            let _ = best.insert(position, (row as u32, *product));
            smallest = best.last().map_or(smallest, |(_, last)| *last);
        }
    }
}

/// How many sentences are cached. A stream repeats few, and one takes 2 kB at D = 512.
const MAX_CACHED: usize = 256;

/// The indices of a sentence's phrases, in their order.
type SentenceKey = heapless::Vec<u32, MAX_ATTRIBUTES>;

/// Embeds a sentence of phrases, nearest first, to `out`, `[D]`.
type EmbedSentence = Box<dyn FnMut(&[&str], &mut [f32]) -> Result<()> + Send>;

/// Embeds sentences of a lexicon's phrases with a text tower, and caches the most recently used ones.
pub struct SentenceCache {
    lexicon: Arc<Lexicon>,
    embed: EmbedSentence,
    /// Most recently used first.
    cached: VecDeque<(SentenceKey, Vec<f32>)>,
}

impl SentenceCache {
    /// Creates an empty cache. `embed` gets the text of the phrases, nearest first, and writes the embedding of their
    /// sentence, `[D]`, of any length.
    pub fn new(lexicon: Arc<Lexicon>, embed: EmbedSentence) -> Self {
        Self { lexicon, embed, cached: VecDeque::new() }
    }
}

impl SentenceEncoder for SentenceCache {
    fn encode_sentence(&mut self, phrases: Phrases<'_>, out: &mut [f32]) -> Result<()> {
        let key: SentenceKey = phrases.nearest.iter().take(MAX_ATTRIBUTES).map(|(index, _)| *index).collect();
        if let Some(at) = self.cached.iter().position(|(other, _)| *other == key)
            && let Some(sentence) = self.cached.remove(at)
        {
            out.copy_from_slice(&sentence.1);
            self.cached.push_front(sentence);
            return Ok(());
        }
        let text = |index: &u32| self.lexicon.phrases.get(*index as usize).map(String::as_str);
        let texts: Option<Vec<&str>> = key.iter().map(text).collect();
        let texts = texts.ok_or_else(|| Error::Internal("an attribute is not a phrase of the lexicon".into()))?;
        (self.embed)(&texts, out)?;
        self.cached.truncate(MAX_CACHED - 1);
        self.cached.push_front((key, out.to_vec()));
        Ok(())
    }
}
