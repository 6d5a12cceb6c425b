//! tokenizer.txt: the merges of a byte-pair encoding, and the words they make.

use std::collections::HashMap;

/// The most merges that are read; CLIP has 48,894.
const MERGES: usize = 1 << 18;

/// Longest line in bytes: two pieces of a word.
const LINE: usize = 1 << 10;

/// What a word's last piece ends with.
const END: &str = "</w>";

/// Merges of pieces, by the numbers of the two. Pieces 0..256 are bytes, 256..512 the same ending a word, and 512 + i is
/// what merge i makes.
pub(super) struct Merges {
    ranks: HashMap<(u32, u32), u32>,
    /// The piece of each byte.
    bytes: [u32; 256],
}

/// A printable letter for each byte, in the order of CLIP's pieces: bytes that print stand for themselves, the others
/// have letters from U+0100 on.
fn letters() -> Vec<(u8, char)> {
    let prints = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let plain = (0..=255u8).filter(prints).map(|byte| (byte, char::from(byte)));
    let others = (0..=255u8).filter(|byte| !prints(byte));
    let named = others.zip(0x100u32..).filter_map(|(byte, letter)| Some((byte, char::from_u32(letter)?)));
    plain.chain(named).collect()
}

impl Merges {
    /// Reads merges, `left right` a line, in order of rank.
    ///
    /// # Errors
    /// A sentence with the line, without the file's name.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|e| {
            let line = text[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line} is not UTF-8; export or download it again")
        })?;
        let mut bytes = [0; 256];
        let mut pieces: HashMap<String, u32> = HashMap::new();
        for ((byte, letter), piece) in letters().into_iter().zip(0..) {
            bytes[usize::from(byte)] = piece;
            pieces.insert(letter.to_string(), piece);
            pieces.insert(format!("{letter}{END}"), 256 + piece);
        }
        let mut ranks = HashMap::new();
        for (rank, line) in text.lines().enumerate() {
            let at = rank + 1;
            if rank == MERGES {
                return Err(format!("it has more than {MERGES} merges; CLIP has 48894, export it again"));
            }
            if line.len() > LINE {
                return Err(format!("line {at} has {} bytes, and {LINE} are the most allowed", line.len()));
            }
            let shown = || line.escape_debug().take(80).collect::<String>();
            let pair = line.split_once(' ').filter(|(left, right)| !left.is_empty() && !right.is_empty());
            let Some((left, right)) = pair.filter(|(_, right)| !right.contains(' ')) else {
                return Err(format!(
                    "line {at}, `{}`, is not two pieces with a space between; export it again",
                    shown()
                ));
            };
            let piece = |name: &str| {
                let unknown = || {
                    format!(
                        "line {at} merges `{}`, which no line before it makes; export it again",
                        name.escape_debug()
                    )
                };
                pieces.get(name).copied().ok_or_else(unknown)
            };
            let pair = (piece(left)?, piece(right)?);
            // Rank is below MERGES, so this fits.
            let rank = rank as u32;
            if pieces.insert(format!("{left}{right}"), 512 + rank).is_some() {
                return Err(format!("line {at} makes `{}`, which is there already; export it again", shown()));
            }
            ranks.insert(pair, rank);
        }
        if ranks.is_empty() {
            return Err("it holds no merges; export or download it again".into());
        }
        Ok(Self { ranks, bytes })
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        // At most MERGES.
        self.ranks.len() as u32
    }

    /// Adds the pieces of one word: the pair of lowest rank is merged everywhere, until no pair can be.
    pub fn append(&self, word: &str, tokens: &mut Vec<u32>) {
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
