//! Texts through the tower of a bundle: categories, and sentences of attributes.

use super::tokenizer::{Tokenizer, TooLong};
use crate::encoder::{AttributeHead, TEXT_POSITIONS, TextTower};
use crate::error::{Error, Result};
use crate::table::normalise;

/// The two heads of a trained attribute branch.
pub struct Heads {
    /// For sentences of attributes.
    pub sentence: AttributeHead,
    /// For categories.
    pub query: AttributeHead,
}

/// A text tower with its tokenizer, prompts and heads.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    tower: TextTower,
    heads: Option<Heads>,
    prompts: Vec<String>,
    dim: usize,
    /// What errors are about.
    bundle: String,
    /// The text that was read last, `[77, D]`.
    words: Vec<f32>,
    /// A sentence before its head, `[D]`.
    row: Vec<f32>,
    cut: bool,
}

/// A category as the tables of a bundle have it; rows of length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryRows {
    /// `[D]`: the mean over prompts of the embeddings at the end mark.
    pub category: Vec<f32>,
    /// `[77, D]`: all positions under the first prompt.
    pub words: Vec<f32>,
    /// `[D]`: the category as the trained attribute branch sees it.
    pub attribute: Option<Vec<f32>>,
}

impl TextEncoder {
    /// `prompts`, at least one, have one `{}` each; `dim` is D; `bundle` is named in errors.
    pub fn new(
        tokenizer: Tokenizer,
        tower: TextTower,
        heads: Option<Heads>,
        prompts: Vec<String>,
        dim: usize,
        bundle: String,
    ) -> Self {
        let words = vec![0.0; TEXT_POSITIONS * dim];
        Self { tokenizer, tower, heads, prompts, dim, bundle, words, row: vec![0.0; dim], cut: false }
    }

    /// Sees that a category's name fits the tower under every prompt.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn check(&self, name: &str) -> Result<(), TooLong> {
        self.prompts.iter().try_for_each(|prompt| self.tokens(prompt, name).map(drop))
    }

    /// A category by its name, as the exporter makes its tables.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is too long, [`Error::Bundle`] where a graph fails.
    pub fn category(&mut self, name: &str) -> Result<CategoryRows> {
        let mut total = vec![0.0_f64; self.dim];
        let mut words = Vec::new();
        for i in 0..self.prompts.len() {
            let tokens = self.tokens(&self.prompts[i], name).map_err(|e| Error::Usage(format!("--categories: {e}")))?;
            let end = self.read(&tokens)?;
            let mut sentence = self.words[end * self.dim..][..self.dim].to_vec();
            self.unit(&mut sentence, "text.onnx")?;
            total.iter_mut().zip(&sentence).for_each(|(sum, x)| *sum += f64::from(*x));
            if i == 0 {
                words.clone_from(&self.words);
                words.chunks_exact_mut(self.dim).try_for_each(|row| self.unit(row, "text.onnx"))?;
            }
        }
        let mut category: Vec<f32> = total.iter().map(|x| *x as f32).collect();
        self.unit(&mut category, "text.onnx")?;
        let attribute = match &mut self.heads {
            Some(heads) => {
                let mut seen = vec![0.0; self.dim];
                heads.query.apply(&category, &mut seen)?;
                self.unit(&mut seen, "query_head.onnx")?;
                Some(seen)
            }
            None => None,
        };
        Ok(CategoryRows { category, words, attribute })
    }

    /// The sentence of attribute phrases, nearest first, into `out`, `[D]`, of any length: the first prompt with the
    /// phrases in it, `,` between them, at its end mark and behind its head where there is one. A sentence that is too
    /// long loses its last phrases; a warning says so once.
    ///
    /// # Errors
    /// [`Error::Bundle`] where a graph fails or not even one phrase fits.
    pub fn sentence(&mut self, phrases: &[&str], out: &mut [f32]) -> Result<()> {
        let tokens = self.fitting(phrases)?;
        let end = self.read(&tokens)?;
        let row = &self.words[end * self.dim..][..self.dim];
        let Some(heads) = &mut self.heads else {
            out.copy_from_slice(row);
            return Ok(());
        };
        self.row.copy_from_slice(row);
        heads.sentence.apply(&self.row, out)
    }

    fn fitting(&mut self, phrases: &[&str]) -> Result<Vec<i64>> {
        let prompt = self.prompts.first().map_or("{}", String::as_str);
        let mut problem = None;
        for count in (1..=phrases.len()).rev() {
            match self.tokens(prompt, &phrases[..count].join(",")) {
                Ok(tokens) => {
                    if let Some(problem) = problem.filter(|_| !std::mem::replace(&mut self.cut, true)) {
                        log::warn!("an attribute sentence is without its last phrases: {problem}");
                    }
                    return Ok(tokens);
                }
                Err(e) => problem = problem.or(Some(e)),
            }
        }
        let problem = problem.map_or_else(|| "no phrases".to_owned(), |e| e.to_string());
        Err(self.fault(format!("lexicon.txt: {problem}")))
    }

    fn tokens(&self, prompt: &str, text: &str) -> Result<Vec<i64>, TooLong> {
        self.tokenizer.tokenize(&prompt.replace("{}", text), TEXT_POSITIONS)
    }

    /// Reads a text; returns the position of its end mark, the first of the largest token.
    fn read(&mut self, tokens: &[i64]) -> Result<usize> {
        self.tower.encode(tokens, &mut self.words)?;
        let largest = tokens.iter().max();
        Ok(tokens.iter().position(|token| Some(token) == largest).unwrap_or(0))
    }

    fn unit(&self, row: &mut [f32], file: &str) -> Result<()> {
        let fault = || self.fault(format!("{file}: it gave zeros or numbers that are not finite; export it again"));
        normalise(row).ok_or_else(fault)
    }

    fn fault(&self, problem: String) -> Error {
        Error::bundle(self.bundle.clone(), problem)
    }
}
