//! BERT's uncased WordPiece tokenizer (Devlin et al. 2019; the rules are those of Hugging Face's `BertNormalizer`,
//! `BertPreTokenizer` and `WordPiece`).

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
// The tables of the published tokenizer, which are older than those of `unicode-properties`.
use unicode_categories::UnicodeCategories;

/// Largest number of pieces; BERT has 30,522.
const MAX_PIECES: usize = 1 << 20;

/// Longest piece, in bytes.
const MAX_PIECE: usize = 1 << 10;

/// Words with more characters are unknown.
const MAX_WORD: usize = 100;

/// Prefix of a piece that continues a word.
const CONTINUES: &str = "##";

/// The marks that a text may also contain, with brackets and in capitals.
const MARKS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Converts text to the numbers of WordPiece tokens.
pub struct WordPiece {
    pieces: HashMap<String, u32>,
    /// The numbers of [`MARKS`]; `[MASK]` may be missing.
    marks: [Option<u32>; 5],
    unknown: u32,
    start: u32,
    end: u32,
}

impl WordPiece {
    /// Parses tokenizer.txt: one piece per line, whose number is that of the line, from 0.
    ///
    /// # Errors
    /// Returns a sentence, without the file's name, with the line that cannot be used and the remedy.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|e| {
            let line = text[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line} is not UTF-8; export it again")
        })?;
        let mut pieces = HashMap::new();
        for (number, line) in (0u32..).zip(text.lines()) {
            let at = number + 1;
            if at as usize > MAX_PIECES {
                return Err(format!("it has more than {MAX_PIECES} pieces, and BERT has 30522; export it again"));
            }
            if line.len() > MAX_PIECE {
                let length = line.len();
                return Err(format!(
                    "line {at} has {length} bytes, but at most {MAX_PIECE} are allowed; export it again"
                ));
            }
            if pieces.insert(line.to_owned(), number).is_some() {
                let shown: String = line.escape_debug().take(80).collect();
                return Err(format!("line {at}, `{shown}`, is there twice; export it again"));
            }
        }
        let marks = MARKS.map(|mark| pieces.get(mark).copied());
        let mark = |at: usize| marks[at].ok_or_else(|| format!("it has no line {}; export it again", MARKS[at]));
        let (unknown, start, end) = (mark(1)?, mark(2)?, mark(3)?);
        Ok(Self { pieces, marks, unknown, start, end })
    }

    /// Returns how many token numbers there are.
    pub fn vocabulary_size(&self) -> usize {
        self.pieces.len()
    }

    /// Returns the token numbers of a text, from the start mark to the end mark.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = vec![self.start];
        let mut rest = text;
        loop {
            let found =
                MARKS.iter().zip(self.marks).filter_map(|(mark, number)| Some((rest.find(mark)?, mark, number?)));
            let Some((at, mark, number)) = found.min_by_key(|(at, ..)| *at) else { break };
            self.append_words(&rest[..at], &mut tokens);
            tokens.push(number);
            rest = &rest[at + mark.len()..];
        }
        self.append_words(rest, &mut tokens);
        tokens.push(self.end);
        tokens
    }

    /// Appends the pieces of a text without marks.
    fn append_words(&self, text: &str, tokens: &mut Vec<u32>) {
        let text = normalise(text);
        let mut word = String::new();
        for character in text.chars() {
            if character.is_whitespace() || is_punctuation(character) {
                self.append_word(&word, tokens);
                word.clear();
            }
            if is_punctuation(character) {
                self.append_word(character.encode_utf8(&mut [0; 4]), tokens);
            } else if !character.is_whitespace() {
                word.push(character);
            }
        }
        self.append_word(&word, tokens);
    }

    /// Appends the pieces of a word, each the longest that the vocabulary has, or the mark of an unknown word.
    fn append_word(&self, word: &str, tokens: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        if word.chars().count() > MAX_WORD {
            tokens.push(self.unknown);
            return;
        }
        let (before, mut start) = (tokens.len(), 0);
        while start < word.len() {
            let ends = word[start..].char_indices().map(|(at, c)| start + at + c.len_utf8()).rev();
            let mut longest = ends.filter_map(|end| Some((self.piece(&word[start..end], start > 0)?, end)));
            let Some((piece, end)) = longest.next() else {
                tokens.truncate(before);
                tokens.push(self.unknown);
                return;
            };
            tokens.push(piece);
            start = end;
        }
    }

    fn piece(&self, text: &str, continues: bool) -> Option<u32> {
        if continues { self.pieces.get(&format!("{CONTINUES}{text}")) } else { self.pieces.get(text) }.copied()
    }
}

/// Removes control characters and accents, separates Chinese characters, and converts to lower case.
fn normalise(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for character in text.chars().filter(|c| !is_removed(*c)) {
        match character {
            c if c.is_whitespace() => spaced.push(' '),
            c if is_chinese(c) => spaced.extend([' ', c, ' ']),
            c => spaced.push(c),
        }
    }
    spaced.nfd().filter(|c| !c.is_mark_nonspacing()).flat_map(char::to_lowercase).collect()
}

fn is_removed(c: char) -> bool {
    matches!(c, '\0' | '\u{fffd}') || (c.is_other() && !matches!(c, '\t' | '\n' | '\r'))
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || UnicodeCategories::is_punctuation(c)
}

/// Returns whether a character is a Chinese one, each of which is a word of its own.
fn is_chinese(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}')
        || matches!(c, '\u{2a700}'..='\u{2b73f}' | '\u{2b740}'..='\u{2b81f}' | '\u{2b920}'..='\u{2ceaf}')
        || matches!(c, '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
}
