//! A bundle's text tower, which turns any text into a category and writes attribute sentences.

use std::sync::Arc;
use std::time::Instant;

use crate::bundle::Bundle;
use crate::encoder::TEXT_POSITIONS;
use crate::error::{Error, Result};
use crate::recognition::{CategorySet, Lexicon, SentenceCache, WordTable};
use crate::table::Table;
use crate::text::TextEncoder;

/// A bundle's text tower, loaded at its first use.
pub struct TextTower {
    bundle: Bundle,
    threads: usize,
    loaded: Option<TextEncoder>,
}

impl TextTower {
    /// Loads nothing yet.
    pub fn new(bundle: &Bundle, threads: usize) -> Self {
        Self { bundle: bundle.clone(), threads, loaded: None }
    }

    /// Encodes texts as categories, with all 77 word rows each, in their order. Calls `progress` after each text: how
    /// many are done, of how many.
    ///
    /// # Errors
    /// A text that is too long, or a tower that cannot be used.
    pub fn categories(&mut self, texts: &[&str], progress: &mut dyn FnMut(usize, usize)) -> Result<CategorySet> {
        let started = Instant::now();
        let encoder = self.encoder()?;
        // Before the first one is encoded, as encoding all may take minutes.
        for text in texts {
            encoder.check_category(text)?;
        }
        let (mut category, mut words, mut attribute) = (Vec::new(), Vec::new(), Vec::new());
        for (done, text) in texts.iter().enumerate() {
            let rows = encoder.encode_category(text)?;
            category.extend(rows.category);
            words.extend(rows.words);
            attribute.extend(rows.attribute.into_iter().flatten());
            progress(done + 1, texts.len());
        }
        let seconds = started.elapsed().as_secs_f64();
        log::info!("the text tower encoded {} texts in {seconds:.1} s: {}", texts.len(), texts.join(", "));
        let width = category.len() / texts.len().max(1);
        let weight = vec![1.0; texts.len() * TEXT_POSITIONS];
        Ok(CategorySet {
            names: texts.iter().map(|text| (*text).to_owned()).collect(),
            category: Table::from_f32(width, &category)?,
            words: WordTable::weighted(Table::from_f32(width, &words)?, Table::from_f32(TEXT_POSITIONS, &weight)?),
            attribute: (!attribute.is_empty()).then(|| Table::from_f32(width, &attribute)).transpose()?,
        })
    }

    /// Returns the writer of sentences about the lexicon's phrases.
    ///
    /// # Errors
    /// A tower that cannot be used.
    pub fn sentences(mut self, lexicon: Arc<Lexicon>) -> Result<SentenceCache> {
        self.encoder()?;
        let encode = move |phrases: &[&str], out: &mut [f32]| self.encoder()?.encode_sentence(phrases, out);
        Ok(SentenceCache::new(lexicon, Box::new(encode)))
    }

    fn encoder(&mut self) -> Result<&mut TextEncoder> {
        let encoder = match self.loaded.take() {
            Some(encoder) => encoder,
            None => self.bundle.load_text(self.threads)?.ok_or_else(|| {
                Error::bundle(self.bundle.location().to_string(), "it has no text.onnx; export it with --keep-text")
            })?,
        };
        Ok(self.loaded.insert(encoder))
    }
}
