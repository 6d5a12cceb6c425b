//! Encodes categories and attribute sentences with the text tower of a bundle.

use serde::{Deserialize, Serialize};

use super::tokenizer::{Tokenizer, TooLong};
use super::wordpiece::WordPiece;
use crate::encoder::{AttributeHead, TextTower};
use crate::error::{Error, Result};
use crate::table::normalise;

/// The two heads of a trained attribute branch.
pub struct AttributeHeads {
    /// The head for attribute sentences, sentence_head.onnx.
    pub sentence: AttributeHead,
    /// The head for categories, query_head.onnx.
    pub query: AttributeHead,
}

/// The tokenizer of a text tower.
pub enum TextTokenizer {
    /// CLIP's byte-pair encoding.
    Clip(Box<Tokenizer>),
    /// BERT's uncased WordPiece.
    WordPiece(WordPiece),
}

impl TextTokenizer {
    /// Returns the token numbers of a text, with the marks at its start and end.
    fn encode(&self, text: &str) -> Vec<u32> {
        match self {
            Self::Clip(tokenizer) => tokenizer.encode(text),
            Self::WordPiece(tokenizer) => tokenizer.encode(text),
        }
    }
}

/// How the embedding of a text is made from those of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The embedding at the end mark, as in CLIP. Every position of the tower is a word.
    #[default]
    End,
    /// The mean over all tokens, as in sentence transformers. The tokens between the marks are words.
    Mean,
}

/// Vectors that are subtracted from embeddings of length 1, which are then scaled to length 1 again. All `[D]`.
#[derive(Clone, Debug, Default)]
pub struct TextMeans {
    /// Subtracted from categories.
    pub category: Option<Vec<f32>>,
    /// Subtracted from the embeddings of words before they are scaled.
    pub word: Option<Vec<f32>>,
    /// Subtracted from attribute sentences, which are not scaled again.
    pub sentence: Option<Vec<f32>>,
}

/// What a [`TextEncoder`] consists of.
pub struct TextParts {
    /// The tokenizer.
    pub tokenizer: TextTokenizer,
    /// The tower.
    pub tower: TextTower,
    /// The heads of a trained attribute branch.
    pub heads: Option<AttributeHeads>,
    /// The prompts of categories, at least one, each with `{}` once.
    pub prompts: Vec<String>,
    /// The prompt of attribute sentences, with `{}` once.
    pub attribute_prompt: String,
    /// How texts are pooled.
    pub pooling: Pooling,
    /// What is subtracted.
    pub means: TextMeans,
    /// D.
    pub dim: usize,
    /// The bundle's name in errors.
    pub bundle: String,
}

/// A text tower with its tokenizer, prompts and heads.
pub struct TextEncoder {
    parts: TextParts,
    /// Output of the tower for the latest texts, `[positions, D]`.
    words: Vec<f32>,
    /// A sentence's embedding before its head, `[D]`.
    row: Vec<f32>,
    /// True once a warning about a shortened attribute sentence was logged.
    warned: bool,
}

/// The rows of a category, as in the tables of a bundle. Each has length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryRows {
    /// `[D]`: the mean of the embeddings over all prompts.
    pub category: Vec<f32>,
    /// `[n, D]`: the embeddings of the words in the first prompt. All words together have the weight 1 or 77.
    pub words: Vec<f32>,
    /// The weight of each word.
    pub word_weight: f32,
    /// `[D]`: the category in the space of the trained attribute branch.
    pub attribute: Option<Vec<f32>>,
}

/// A text in a run of the tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placed {
    /// Its index among all texts.
    text: usize,
    /// Its first position.
    start: usize,
}

impl TextEncoder {
    /// Creates an encoder.
    pub fn new(parts: TextParts) -> Self {
        let words = vec![0.0; parts.tower.positions() * parts.dim];
        Self { words, row: vec![0.0; parts.dim], warned: false, parts }
    }

    /// Encodes categories by their names, as the exporter does for its tables. Calls `progress` with the done and total
    /// numbers of texts. A name's rows do not depend on the other names.
    ///
    /// # Errors
    /// Returns [`Error::Setting`] for a name that is too long or has no words, before any is encoded, and
    /// [`Error::Bundle`] if a graph fails.
    pub fn encode_categories(
        &mut self,
        names: &[&str],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<CategoryRows>> {
        let prompts = self.parts.prompts.clone();
        let tokens = prompts.iter().map(|prompt| {
            let tokens = names.iter().map(|name| self.category_tokens(prompt, name));
            tokens.collect::<Result<Vec<_>>>()
        });
        let tokens = tokens.collect::<Result<Vec<_>>>()?;
        let (dim, total) = (self.parts.dim, names.len() * prompts.len());
        let mut sums = vec![0.0_f64; names.len() * dim];
        let mut words = vec![Vec::new(); names.len()];
        let mut done = 0;
        for (prompt, tokens) in tokens.iter().enumerate() {
            for batch in self.batches(tokens) {
                self.run_tower(tokens, &batch)?;
                for placed in &batch {
                    let own = &tokens[placed.text];
                    let mut sentence = self.pooled(own, placed.start);
                    self.normalise(&mut sentence, "text.onnx")?;
                    let sum = sums[placed.text * dim..][..dim].iter_mut();
                    sum.zip(&sentence).for_each(|(sum, x)| *sum += f64::from(*x));
                    if prompt == 0 {
                        words[placed.text] = self.word_rows(own, placed.start)?;
                    }
                }
                done += batch.len();
                progress(done, total);
            }
        }
        let sums = sums.chunks_exact(dim.max(1));
        words.into_iter().zip(sums).map(|(words, sum)| self.category_rows(words, sum)).collect()
    }

    /// Encodes the sentence of attribute phrases, nearest first, to `out`, `[D]`, of any length. The sentence is the
    /// attribute prompt with the phrases joined by `,`; a head follows if there is one. If the sentence is too long, its
    /// last phrases are left out, and a warning is logged once.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if a graph fails or not even one phrase fits.
    pub fn encode_sentence(&mut self, phrases: &[&str], out: &mut [f32]) -> Result<()> {
        let tokens = [self.sentence_tokens(phrases)?];
        self.run_tower(&tokens, &[Placed { text: 0, start: 0 }])?;
        let mut row = self.pooled(&tokens[0], 0);
        if let Some(mean) = &self.parts.means.sentence {
            normalise(&mut row).ok_or_else(|| self.error(no_direction("text.onnx")))?;
            subtract(&mut row, mean);
        }
        let Some(heads) = &mut self.parts.heads else {
            out.copy_from_slice(&row);
            return Ok(());
        };
        self.row.copy_from_slice(&row);
        heads.sentence.apply(&self.row, out)
    }

    /// Returns the rows of a category from its words and the sum of its sentences over all prompts.
    fn category_rows(&mut self, words: Vec<f32>, sum: &[f64]) -> Result<CategoryRows> {
        let dim = self.parts.dim;
        let mut category: Vec<f32> = sum.iter().map(|x| *x as f32).collect();
        self.normalise(&mut category, "text.onnx")?;
        if let Some(mean) = &self.parts.means.category {
            subtract(&mut category, mean);
            self.normalise(&mut category, "text.onnx")?;
        }
        let attribute = match &mut self.parts.heads {
            Some(heads) => {
                let mut row = vec![0.0; dim];
                heads.query.apply(&category, &mut row)?;
                self.normalise(&mut row, "query_head.onnx")?;
                Some(row)
            }
            None => None,
        };
        let word_weight = match self.parts.pooling {
            Pooling::End => 1.0,
            Pooling::Mean => 1.0 / (words.len() / dim.max(1)) as f32,
        };
        Ok(CategoryRows { category, words, word_weight, attribute })
    }

    /// Returns the tokens of a category's name in a prompt.
    fn category_tokens(&self, prompt: &str, name: &str) -> Result<Vec<u32>> {
        let tokens = self.tokens(prompt, name).map_err(category_error)?;
        // A name of control characters has no tokens besides the marks.
        if tokens.len() <= 2 {
            let problem = format!("\"{}\" has no words that the text tower knows", name.escape_debug());
            return Err(Error::setting("categories", problem, "write it in words"));
        }
        Ok(tokens)
    }

    /// Returns the tokens of a sentence with as many of the phrases as fit.
    fn sentence_tokens(&mut self, phrases: &[&str]) -> Result<Vec<u32>> {
        let mut problem = None;
        for count in (1..=phrases.len()).rev() {
            match self.tokens(&self.parts.attribute_prompt, &phrases[..count].join(",")) {
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
    fn tokens(&self, prompt: &str, text: &str) -> Result<Vec<u32>, TooLong> {
        let text = prompt.replace("{}", text);
        let tokens = self.parts.tokenizer.encode(&text);
        TooLong::check(&text, tokens.len(), self.parts.tower.positions())?;
        Ok(tokens)
    }

    /// Distributes texts to runs of the tower.
    fn batches(&self, tokens: &[Vec<u32>]) -> Vec<Vec<Placed>> {
        match self.parts.pooling {
            Pooling::End => (0..tokens.len()).map(|text| vec![Placed { text, start: 0 }]).collect(),
            Pooling::Mean => packed(tokens, self.parts.tower.positions()),
        }
    }

    /// Runs the tower on the texts of a batch, to `words`.
    fn run_tower(&mut self, tokens: &[Vec<u32>], batch: &[Placed]) -> Result<()> {
        let positions = self.parts.tower.positions();
        let mut input = vec![0_i64; self.parts.tower.input_rows() * positions];
        for (number, placed) in (1..).zip(batch) {
            for (at, token) in tokens[placed.text].iter().enumerate() {
                let column = placed.start + at;
                input[column] = i64::from(*token);
                if self.parts.pooling == Pooling::Mean {
                    input[positions + column] = at as i64;
                    input[2 * positions + column] = number;
                }
            }
        }
        self.parts.tower.encode(&input, &mut self.words)
    }

    /// Returns the embedding of a text of the latest run, `[D]`, not normalised.
    fn pooled(&self, tokens: &[u32], start: usize) -> Vec<f32> {
        let dim = self.parts.dim;
        match self.parts.pooling {
            Pooling::End => {
                // The end mark is the largest token; a text may contain it too.
                let largest = tokens.iter().max();
                let end = tokens.iter().position(|token| Some(token) == largest).unwrap_or(0);
                self.words[(start + end) * dim..][..dim].to_vec()
            }
            Pooling::Mean => {
                let rows = &self.words[start * dim..][..tokens.len() * dim];
                let mut sum = vec![0.0_f64; dim];
                for row in rows.chunks_exact(dim) {
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
                }
                sum.iter().map(|sum| (sum / tokens.len() as f64) as f32).collect()
            }
        }
    }

    /// Returns the words of a text of the latest run, `[n, D]`, each of length 1.
    fn word_rows(&self, tokens: &[u32], start: usize) -> Result<Vec<f32>> {
        let dim = self.parts.dim;
        let range = match self.parts.pooling {
            Pooling::End => 0..self.parts.tower.positions(),
            Pooling::Mean => start + 1..start + tokens.len() - 1,
        };
        let mut words = self.words[range.start * dim..range.end * dim].to_vec();
        for row in words.chunks_exact_mut(dim) {
            if let Some(mean) = &self.parts.means.word {
                subtract(row, mean);
            }
            self.normalise(row, "text.onnx")?;
        }
        Ok(words)
    }

    /// Scales an output of `file` to length 1.
    fn normalise(&self, row: &mut [f32], file: &str) -> Result<()> {
        normalise(row).ok_or_else(|| self.error(no_direction(file)))
    }

    /// Returns an error of the bundle.
    fn error(&self, problem: String) -> Error {
        Error::bundle(self.parts.bundle.clone(), problem)
    }
}

fn no_direction(file: &str) -> String {
    format!("{file}: its output holds only zeros or numbers that are not finite; export it again")
}

fn subtract(row: &mut [f32], mean: &[f32]) {
    row.iter_mut().zip(mean).for_each(|(x, mean)| *x -= mean);
}

/// Smallest number of positions of a text in a shared run.
const MIN_SLOT: usize = 8;

/// Places texts next to each other in runs of `positions`. Each text has a slot whose size is a power of two and whose
/// start is a multiple of it. Sums over all positions then add its numbers in the same order wherever it stands (those
/// of other texts count as zeros), so that its embedding is the same to the last bit.
fn packed(tokens: &[Vec<u32>], positions: usize) -> Vec<Vec<Placed>> {
    let slot = |text: usize| tokens[text].len().next_power_of_two().max(MIN_SLOT);
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|text| std::cmp::Reverse(slot(*text)));
    let mut batches: Vec<Vec<Placed>> = Vec::new();
    let mut start = positions;
    for text in order {
        if start + tokens[text].len() > positions {
            batches.push(Vec::new());
            start = 0;
        }
        if let Some(batch) = batches.last_mut() {
            batch.push(Placed { text, start });
        }
        start += slot(text);
    }
    batches
}

/// Returns the error for a category's name that is too long.
fn category_error(TooLong { text, tokens, limit }: TooLong) -> Error {
    Error::setting("categories", format!("\"{text}\" takes {tokens} tokens and {limit} fit"), "shorten it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_at_multiples_of_their_slots() {
        let lengths = [3, 20, 9, 8, 64, 1, 33, 16];
        let tokens: Vec<Vec<u32>> = lengths.iter().map(|length| vec![1; *length]).collect();
        let batches = packed(&tokens, 64);
        let mut placed: Vec<usize> = batches.iter().flatten().map(|placed| placed.text).collect();
        placed.sort_unstable();
        assert_eq!(placed, (0..8).collect::<Vec<_>>());
        for batch in &batches {
            for (at, text) in batch.iter().enumerate() {
                let length = lengths[text.text];
                assert_eq!(text.start % length.next_power_of_two().max(MIN_SLOT), 0);
                assert!(text.start + length <= batch.get(at + 1).map_or(64, |next| next.start));
            }
        }
        assert_eq!(batches.len(), 4, "64, 33 and 20 with others: {batches:?}");
    }
}
