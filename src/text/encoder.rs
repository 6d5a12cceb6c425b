//! Encodes categories and attribute sentences with the text tower of a bundle.

use super::tokenizer::{Tokenizer, TooLong};
use crate::encoder::{AttributeHead, TEXT_POSITIONS, TextTower};
use crate::error::{Error, Result};
use crate::table::normalise;

/// The two heads of a trained attribute branch.
pub struct AttributeHeads {
    /// The head for attribute sentences, sentence_head.onnx.
    pub sentence: AttributeHead,
    /// The head for categories, query_head.onnx.
    pub query: AttributeHead,
}

/// A text tower with its tokenizer, prompts and heads.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    tower: TextTower,
    heads: Option<AttributeHeads>,
    prompts: Vec<String>,
    dim: usize,
    /// The bundle's name in errors.
    bundle: String,
    /// Output of the tower for the latest text, `[77, D]`.
    words: Vec<f32>,
    /// A sentence's embedding before its head, `[D]`.
    row: Vec<f32>,
    /// True once a warning about a shortened attribute sentence was logged.
    warned: bool,
}

/// The rows of a category, as in the tables of a bundle. Each has length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryRows {
    /// `[D]`: the mean of the embeddings at the end mark over all prompts.
    pub category: Vec<f32>,
    /// `[77, D]`: the embeddings at all positions of the first prompt.
    pub words: Vec<f32>,
    /// `[D]`: the category in the space of the trained attribute branch.
    pub attribute: Option<Vec<f32>>,
}

impl TextEncoder {
    /// Creates an encoder. Each of the `prompts`, at least one, contains `{}` once; `dim` is D; `bundle` is named in
    /// errors.
    pub fn new(
        tokenizer: Tokenizer,
        tower: TextTower,
        heads: Option<AttributeHeads>,
        prompts: Vec<String>,
        dim: usize,
        bundle: String,
    ) -> Self {
        let words = vec![0.0; TEXT_POSITIONS * dim];
        Self { tokenizer, tower, heads, prompts, dim, bundle, words, row: vec![0.0; dim], warned: false }
    }

    /// Checks that a category's name fits into the tower with every prompt.
    ///
    /// # Errors
    /// Returns [`Error::Setting`] for a name that is too long.
    pub fn check_category(&self, name: &str) -> Result<()> {
        self.prompts.iter().try_for_each(|prompt| self.tokens(prompt, name).map(drop)).map_err(category_error)
    }

    /// Encodes a category by its name, as the exporter does for its tables.
    ///
    /// # Errors
    /// Returns [`Error::Setting`] for a name that is too long, and [`Error::Bundle`] if a graph fails.
    pub fn encode_category(&mut self, name: &str) -> Result<CategoryRows> {
        let mut total = vec![0.0_f64; self.dim];
        let mut words = Vec::new();
        for i in 0..self.prompts.len() {
            let tokens = self.tokens(&self.prompts[i], name).map_err(category_error)?;
            let end = self.run_tower(&tokens)?;
            let mut sentence = self.words[end * self.dim..][..self.dim].to_vec();
            self.normalise(&mut sentence, "text.onnx")?;
            total.iter_mut().zip(&sentence).for_each(|(sum, x)| *sum += f64::from(*x));
            if i == 0 {
                words.clone_from(&self.words);
                words.chunks_exact_mut(self.dim).try_for_each(|row| self.normalise(row, "text.onnx"))?;
            }
        }
        let mut category: Vec<f32> = total.iter().map(|x| *x as f32).collect();
        self.normalise(&mut category, "text.onnx")?;
        let attribute = match &mut self.heads {
            Some(heads) => {
                let mut row = vec![0.0; self.dim];
                heads.query.apply(&category, &mut row)?;
                self.normalise(&mut row, "query_head.onnx")?;
                Some(row)
            }
            None => None,
        };
        Ok(CategoryRows { category, words, attribute })
    }

    /// Encodes the sentence of attribute phrases, nearest first, to `out`, `[D]`, of any length. The sentence is the
    /// first prompt with the phrases joined by `,`; its embedding is the one at the end mark, after the sentence head
    /// if there is one. If the sentence is too long, its last phrases are left out, and a warning is logged once.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if a graph fails or not even one phrase fits.
    pub fn encode_sentence(&mut self, phrases: &[&str], out: &mut [f32]) -> Result<()> {
        let tokens = self.sentence_tokens(phrases)?;
        let end = self.run_tower(&tokens)?;
        let row = &self.words[end * self.dim..][..self.dim];
        let Some(heads) = &mut self.heads else {
            out.copy_from_slice(row);
            return Ok(());
        };
        self.row.copy_from_slice(row);
        heads.sentence.apply(&self.row, out)
    }

    /// Returns the tokens of a sentence with as many of the phrases as fit.
    fn sentence_tokens(&mut self, phrases: &[&str]) -> Result<Vec<i64>> {
        let prompt = self.prompts.first().map_or("{}", String::as_str);
        let mut problem = None;
        for count in (1..=phrases.len()).rev() {
            match self.tokens(prompt, &phrases[..count].join(",")) {
                Ok(tokens) => {
                    if let Some(problem) = problem.filter(|_| !std::mem::replace(&mut self.warned, true)) {
                        log::warn!("an attribute sentence was shortened by its last phrases: {problem}");
                    }
                    return Ok(tokens);
                }
                Err(e) => problem = problem.or(Some(e)),
            }
        }
        let problem = problem.map_or_else(|| "no phrases".to_owned(), |e| e.to_string());
        Err(self.error(format!("lexicon.txt: {problem}")))
    }

    /// Returns the tokens of a text in a prompt.
    fn tokens(&self, prompt: &str, text: &str) -> Result<Vec<i64>, TooLong> {
        self.tokenizer.tokenize(&prompt.replace("{}", text), TEXT_POSITIONS)
    }

    /// Encodes tokens to `words` and returns the position of the end mark, which is the first of the largest token.
    fn run_tower(&mut self, tokens: &[i64]) -> Result<usize> {
        self.tower.encode(tokens, &mut self.words)?;
        let largest = tokens.iter().max();
        Ok(tokens.iter().position(|token| Some(token) == largest).unwrap_or(0))
    }

    /// Scales an output of `file` to length 1.
    fn normalise(&self, row: &mut [f32], file: &str) -> Result<()> {
        let problem = || format!("{file}: its output holds only zeros or numbers that are not finite; export it again");
        normalise(row).ok_or_else(|| self.error(problem()))
    }

    /// Returns an error of the bundle.
    fn error(&self, problem: String) -> Error {
        Error::bundle(self.bundle.clone(), problem)
    }
}

/// Returns the error for a category's name that is too long.
fn category_error(TooLong { text, tokens, limit }: TooLong) -> Error {
    Error::setting("categories", format!("\"{text}\" takes {tokens} tokens and {limit} fit"), "shorten it")
}
