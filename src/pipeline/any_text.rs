//! Any text as a category, and attribute sentences as they are read: what a bundle's text tower is for.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::Instant;

use crate::bundle::Bundle;
use crate::cli::progress_bar;
use crate::encoder::TEXT_POSITIONS;
use crate::error::{Error, Result};
use crate::recognition::{CategorySet, Lexicon, Sentences, WordTable};
use crate::table::Table;
use crate::text::TextEncoder;

/// Texts from which on a progress bar is worth its line.
const LONG_WORK: usize = 8;

/// A bundle's text tower, loaded when it is first used.
pub struct AnyText {
    bundle: Bundle,
    threads: usize,
    loaded: Option<TextEncoder>,
}

impl AnyText {
    /// Nothing is loaded yet.
    pub fn new(bundle: &Bundle, threads: usize) -> Self {
        Self { bundle: bundle.clone(), threads, loaded: None }
    }

    /// Texts as categories, with all 77 word rows each, in their order.
    ///
    /// # Errors
    /// A text that is too long, or a tower that cannot be used.
    pub fn categories(&mut self, texts: &[&str]) -> Result<CategorySet> {
        let began = Instant::now();
        let encoder = self.encoder()?;
        // Before the first is read, as reading all may take minutes.
        for text in texts {
            encoder.check(text).map_err(|e| Error::Usage(format!("--categories: {e}")))?;
        }
        let quiet = !log::log_enabled!(log::Level::Warn);
        let bar = (texts.len() >= LONG_WORK && !quiet && stderr().is_terminal()).then(|| progress_bar(texts.len()));
        let (mut category, mut words, mut attribute) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            let rows = encoder.category(text)?;
            category.extend(rows.category);
            words.extend(rows.words);
            attribute.extend(rows.attribute.into_iter().flatten());
            if let Some(bar) = &bar {
                bar.set_message("texts read");
                bar.inc(1);
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let seconds = began.elapsed().as_secs_f64();
        log::info!("{} texts read by the text tower in {seconds:.1} s: {}", texts.len(), texts.join(", "));
        let width = category.len() / texts.len().max(1);
        let weight = vec![1.0; texts.len() * TEXT_POSITIONS];
        Ok(CategorySet {
            names: texts.iter().map(|text| (*text).to_owned()).collect(),
            category: Table::from_f32(width, &category)?,
            words: WordTable::weighted(Table::from_f32(width, &words)?, Table::from_f32(TEXT_POSITIONS, &weight)?),
            attribute: (!attribute.is_empty()).then(|| Table::from_f32(width, &attribute)).transpose()?,
        })
    }

    /// Sentences of the lexicon's phrases.
    ///
    /// # Errors
    /// A tower that cannot be used.
    pub fn sentences(mut self, lexicon: Arc<Lexicon>) -> Result<Sentences> {
        self.encoder()?;
        let read = move |phrases: &[&str], out: &mut [f32]| self.encoder()?.sentence(phrases, out);
        Ok(Sentences::new(lexicon, Box::new(read)))
    }

    fn encoder(&mut self) -> Result<&mut TextEncoder> {
        let encoder = match self.loaded.take() {
            Some(encoder) => encoder,
            None => self.bundle.load_text(self.threads)?.ok_or_else(|| {
                Error::bundle(self.bundle.place().to_string(), "it has no text.onnx; export it with --keep-text")
            })?,
        };
        Ok(self.loaded.insert(encoder))
    }
}
