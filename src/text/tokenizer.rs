//! CLIP's tokenizer (Radford et al. 2021, section 2.4): byte-pair encoding over cleaned text.

use super::clean::clean;
use super::merges::Merges;
use super::words::{MARKS, words};

/// A text that does not fit the text tower's positions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" takes {tokens} tokens and {fit} fit; shorten it")]
pub struct TooLong {
    /// The text, its beginning where it is very long.
    pub text: String,
    /// How many tokens it takes, start and end mark counted.
    pub tokens: usize,
    /// How many fit.
    pub fit: usize,
}

/// Turns text into token numbers, as the exporter does.
pub struct Tokenizer {
    merges: Merges,
}

impl Tokenizer {
    /// From tokenizer.txt: merges `left right`, a line each, in order of rank.
    ///
    /// # Errors
    /// A sentence, without the file's name, with the line that cannot be used and the remedy.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        Ok(Self { merges: Merges::parse(text)? })
    }

    /// How many token numbers there are: 512 bytes, the merges, and the marks of start and end.
    pub fn vocabulary(&self) -> usize {
        self.marks()[1] as usize + 1
    }

    /// Numbers of the start and the end mark.
    fn marks(&self) -> [u32; 2] {
        [512 + self.merges.len(), 513 + self.merges.len()]
    }

    /// Token numbers of a text, start mark first, end mark last.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let [start, end] = self.marks();
        let mut tokens = vec![start];
        for word in words(&clean(text)) {
            match MARKS.iter().position(|mark| *mark == word) {
                Some(mark) => tokens.push(self.marks()[mark]),
                None => self.merges.append(word, &mut tokens),
            }
        }
        tokens.push(end);
        tokens
    }

    /// Token numbers of a text, filled up with 0 to `fit`.
    ///
    /// # Errors
    /// [`TooLong`]; a text is never cut.
    pub fn tokenize(&self, text: &str, fit: usize) -> Result<Vec<i64>, TooLong> {
        const SHOWN: usize = 200;
        let tokens = self.encode(text);
        if tokens.len() > fit {
            return Err(TooLong { text: text.chars().take(SHOWN).collect(), tokens: tokens.len(), fit });
        }
        let mut padded: Vec<i64> = tokens.into_iter().map(i64::from).collect();
        padded.resize(fit, 0);
        Ok(padded)
    }
}
