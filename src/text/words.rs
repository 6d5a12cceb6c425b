//! Cutting a cleaned text into words, single digits and runs of other signs.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// The marks of a text's start and end, which may also be written out in it.
pub(super) const MARKS: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

/// What follows an apostrophe in a word of its own.
const ENDINGS: [&str; 7] = ["s", "t", "re", "ve", "m", "ll", "d"];

/// The words of a text, first to last; white space is left out.
pub(super) fn words(mut text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    while let Some(first) = text.chars().next() {
        let length = match marked(text) {
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

/// Length in bytes of a mark, or of an apostrophe with its ending, that the text begins with.
fn marked(text: &str) -> Option<usize> {
    let mark = MARKS.iter().find_map(|mark| begins(text, mark));
    mark.or_else(|| {
        let ending = text.strip_prefix('\'')?;
        ENDINGS.iter().find_map(|known| begins(ending, known)).map(|length| 1 + length)
    })
}

/// Length in bytes of `known` at the beginning of a text in lower case. The long s counts as an s, as it does wherever
/// case is left out of account.
fn begins(text: &str, known: &str) -> Option<usize> {
    let mut characters = text.chars();
    let same = known.chars().all(|k| characters.next().is_some_and(|c| c == k || (k == 's' && c == 'ſ')));
    same.then(|| text.len() - characters.as_str().len())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Number,
    Space,
    Other,
}

fn kind(c: char) -> Kind {
    // The Greek iota written below is neither a letter nor, where case is left out of account, none: CLIP's own
    // expression drops it.
    if c.is_whitespace() || c == '\u{345}' {
        return Kind::Space;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => Kind::Letter,
        GeneralCategoryGroup::Number => Kind::Number,
        _ => Kind::Other,
    }
}
