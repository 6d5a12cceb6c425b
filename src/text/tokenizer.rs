//! CLIP's tokenizer (Radford et al. 2021, section 2.4): byte-pair encoding over cleaned text.

use std::collections::HashMap;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::clean::clean;

/// Largest number of merges; CLIP has 48,894.
const MAX_MERGES: usize = 1 << 18;

/// Longest line, two pieces of a word, in bytes.
const MAX_LINE: usize = 1 << 10;

/// Suffix of the last piece of a word.
const END: &str = "</w>";

/// The marks for the start and the end of a text. A text may also contain them.
const MARKS: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

/// Endings that form a word together with the apostrophe before them.
const CONTRACTIONS: [&str; 7] = ["s", "t", "re", "ve", "m", "ll", "d"];

/// The error for a text that has more tokens than the text tower has positions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" takes {tokens} tokens and {limit} fit; shorten it")]
pub struct TooLong {
    /// The text, or its beginning if it is very long.
    pub text: String,
    /// Number of tokens, with the start and end marks.
    pub tokens: usize,
    /// Largest number of tokens.
    pub limit: usize,
}

impl TooLong {
    /// Refuses a text of more than `limit` tokens.
    pub(super) fn check(text: &str, tokens: usize, limit: usize) -> Result<(), Self> {
        /// Characters of the text that an error shows.
        const SHOWN: usize = 200;
        if tokens <= limit {
            return Ok(());
        }
        Err(Self { text: text.chars().take(SHOWN).collect(), tokens, limit })
    }
}

/// Converts text to token numbers, as the exporter does.
pub struct Tokenizer {
    merges: Merges,
}

impl Tokenizer {
    /// Parses tokenizer.txt: merges, one `left right` per line, in order of rank.
    ///
    /// # Errors
    /// Returns a sentence, without the file's name, with the line that cannot be used and the remedy.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        Ok(Self { merges: Merges::parse(text)? })
    }

    /// Returns how many token numbers there are: 512 for bytes, one for each merge, and the start and end marks.
    pub fn vocabulary_size(&self) -> usize {
        self.marks()[1] as usize + 1
    }

    /// Returns the numbers of the start and the end mark.
    fn marks(&self) -> [u32; 2] {
        [512 + self.merges.len(), 513 + self.merges.len()]
    }

    /// Returns the token numbers of a text, from the start mark to the end mark.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let [start, end] = self.marks();
        let mut tokens = vec![start];
        for word in split_words(&clean(text)) {
            match MARKS.iter().position(|mark| *mark == word) {
                Some(mark) => tokens.push(self.marks()[mark]),
                None => self.merges.append(word, &mut tokens),
            }
        }
        tokens.push(end);
        tokens
    }

    /// Returns the token numbers of a text, padded with 0 to `limit`.
    ///
    /// # Errors
    /// Returns [`TooLong`] for a longer text; texts are never truncated.
    pub fn tokenize(&self, text: &str, limit: usize) -> Result<Vec<i64>, TooLong> {
        let tokens = self.encode(text);
        TooLong::check(text, tokens.len(), limit)?;
        let mut padded: Vec<i64> = tokens.into_iter().map(i64::from).collect();
        padded.resize(limit, 0);
        Ok(padded)
    }
}

/// The merges of a byte-pair encoding (tokenizer.txt). Pieces 0..256 are bytes, 256..512 the same bytes at the end of a
/// word, and 512 + i is the result of merge i.
struct Merges {
    /// The rank of each pair of pieces.
    ranks: HashMap<(u32, u32), u32>,
    /// The piece of each byte.
    bytes: [u32; 256],
}

/// Returns a printable letter for each byte, in the order of CLIP's pieces. Printable bytes are their own letters, the
/// others have letters from U+0100 on.
fn byte_letters() -> Vec<(u8, char)> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let plain = (0..=255u8).filter(printable).map(|byte| (byte, char::from(byte)));
    let others = (0..=255u8).filter(|byte| !printable(byte));
    let named = others.zip(0x100u32..).filter_map(|(byte, letter)| Some((byte, char::from_u32(letter)?)));
    plain.chain(named).collect()
}

impl Merges {
    /// Parses merges, one `left right` per line, in order of rank.
    ///
    /// # Errors
    /// Returns a sentence with the line, without the file's name.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|e| {
            let line = text[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line} is not UTF-8; export or download it again")
        })?;
        let mut bytes = [0; 256];
        let mut pieces: HashMap<String, u32> = HashMap::new();
        for ((byte, letter), piece) in byte_letters().into_iter().zip(0..) {
            bytes[usize::from(byte)] = piece;
            pieces.insert(letter.to_string(), piece);
            pieces.insert(format!("{letter}{END}"), 256 + piece);
        }
        let mut ranks = HashMap::new();
        for (rank, line) in text.lines().enumerate() {
            let at = rank + 1;
            if rank == MAX_MERGES {
                return Err(format!("it has more than {MAX_MERGES} merges, and CLIP has 48894; export it again"));
            }
            if line.len() > MAX_LINE {
                return Err(format!(
                    "line {at} has {} bytes, but at most {MAX_LINE} are allowed; export it again",
                    line.len()
                ));
            }
            let shown = || line.escape_debug().take(80).collect::<String>();
            let pair = line.split_once(' ').filter(|(left, right)| !left.is_empty() && !right.is_empty());
            let Some((left, right)) = pair.filter(|(_, right)| !right.contains(' ')) else {
                return Err(format!(
                    "line {at}, `{}`, is not two pieces separated by a space; export it again",
                    shown()
                ));
            };
            let piece = |name: &str| {
                let missing = || {
                    format!(
                        "line {at} merges `{}`, which no earlier line produces; export it again",
                        name.escape_debug()
                    )
                };
                pieces.get(name).copied().ok_or_else(missing)
            };
            let pair = (piece(left)?, piece(right)?);
            // The rank is below MAX_MERGES, so it fits.
            let rank = rank as u32;
            if pieces.insert(format!("{left}{right}"), 512 + rank).is_some() {
                return Err(format!("line {at} produces `{}` again; export it again", shown()));
            }
            ranks.insert(pair, rank);
        }
        if ranks.is_empty() {
            return Err("it holds no merges; export or download it again".into());
        }
        Ok(Self { ranks, bytes })
    }

    /// Returns the number of merges.
    fn len(&self) -> u32 {
        // There are at most MAX_MERGES, so the number fits.
        self.ranks.len() as u32
    }

    /// Appends the pieces of a word: merges the pair of lowest rank everywhere, until no pair has a rank.
    fn append(&self, word: &str, tokens: &mut Vec<u32>) {
        let mut parts: Vec<u32> = word.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        if let Some(last) = parts.last_mut() {
            *last += 256;
        }
        while let Some(rank) = parts.windows(2).filter_map(|pair| self.ranks.get(&(pair[0], pair[1]))).min() {
            let (mut read, mut written) = (0, 0);
            while read < parts.len() {
                let merged =
                    parts.get(read + 1).is_some_and(|next| self.ranks.get(&(parts[read], *next)) == Some(rank));
                parts[written] = if merged { 512 + rank } else { parts[read] };
                read += if merged { 2 } else { 1 };
                written += 1;
            }
            parts.truncate(written);
        }
        tokens.extend(parts);
    }
}

/// Splits a cleaned text into words, single digits and runs of other characters, without white space.
fn split_words(mut text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    while let Some(first) = text.chars().next() {
        let length = match mark_or_contraction(text) {
            Some(length) => length,
            None => match kind(first) {
                Kind::Space => {
                    text = &text[first.len_utf8()..];
                    continue;
                }
                Kind::Number => first.len_utf8(),
                kind_of_run => text.find(|c| kind(c) != kind_of_run).unwrap_or(text.len()),
            },
        };
        let (word, rest) = text.split_at(length);
        found.push(word);
        text = rest;
    }
    found
}

/// Returns the length in bytes of a mark or contraction at the start of a text.
fn mark_or_contraction(text: &str) -> Option<usize> {
    let mark = MARKS.iter().find_map(|mark| prefix_length(text, mark));
    mark.or_else(|| {
        let ending = text.strip_prefix('\'')?;
        CONTRACTIONS.iter().find_map(|contraction| prefix_length(ending, contraction)).map(|length| 1 + length)
    })
}

/// Returns the length in bytes of `prefix` at the start of a text in lower case. The long s (`ſ`) equals `s`, as in
/// every comparison that ignores case.
fn prefix_length(text: &str, prefix: &str) -> Option<usize> {
    let mut characters = text.chars();
    let same = prefix.chars().all(|k| characters.next().is_some_and(|c| c == k || (k == 's' && c == 'ſ')));
    same.then(|| text.len() - characters.as_str().len())
}

/// The kinds of characters that words are split by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

fn kind(c: char) -> Kind {
    // CLIP's regular expression ignores case. It then matches U+0345, the Greek iota subscript, neither as a letter nor
    // as another character, and drops it.
    if c.is_whitespace() || c == '\u{345}' {
        return Kind::Space;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => Kind::Letter,
        GeneralCategoryGroup::Number => Kind::Number,
        _ => Kind::Other,
    }
}
