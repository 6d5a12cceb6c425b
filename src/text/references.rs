//! Replaces HTML's character references (`&eacute;`, `&#233;`, `&amp`) as Python's `html.unescape` does.

use std::collections::HashMap;
use std::sync::OnceLock;

/// The names of HTML 5, `name` or `name;`, with their code points. tests/data/text/make.py writes this list.
const NAMES: &str = include_str!("references.txt");

/// Longest name after the `&` of a reference, in characters.
const MAX_NAME: usize = 32;

/// Returns the value of a name of HTML 5. `name` includes the `;` if the name requires it.
pub(super) fn named(name: &str) -> Option<&'static str> {
    static TABLE: OnceLock<HashMap<&str, String>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let text =
            |points: &str| points.split(' ').filter_map(|p| char::from_u32(u32::from_str_radix(p, 16).ok()?)).collect();
        NAMES.lines().filter_map(|line| line.split_once(' ')).map(|(name, points)| (name, text(points))).collect()
    });
    table.get(name).map(String::as_str)
}

/// Returns the character of windows-1252 at a byte in 0x80..=0x9f. Bytes that it does not define are returned
/// unchanged.
pub(super) fn windows_1252(byte: u32) -> Option<char> {
    const TABLE: [u32; 32] = [
        0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d,
        0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d,
        0x17e, 0x178,
    ];
    char::from_u32(*TABLE.get(byte.checked_sub(0x80)? as usize)?)
}

/// Replaces all references, also those without a `;` that browsers accept.
pub(super) fn replace_all(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match numeric(rest).or_else(|| by_name(rest)) {
            Some((value, length)) => {
                out.push_str(&value);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// Returns the value of the numeric reference at the start of `text`, and its length in bytes.
fn numeric(text: &str) -> Option<(String, usize)> {
    let digits = text.strip_prefix("&#")?;
    let (base, digits) = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    let count = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    if count == 0 {
        return None;
    }
    // A number that does not fit is larger than any code point, as `u32::MAX` is.
    let number = u32::from_str_radix(&digits[..count], base).unwrap_or(u32::MAX);
    let length = text.len() - digits.len() + count + usize::from(digits[count..].starts_with(';'));
    Some((value(number), length))
}

/// Returns the text of a numeric reference: nothing for control characters and noncharacters.
fn value(number: u32) -> String {
    let character = match number {
        0 => Some('\u{fffd}'),
        0x0d => Some('\r'),
        0x80..=0x9f => windows_1252(number),
        1..=8 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => None,
        // The last two code points of each plane are noncharacters.
        number if number <= 0x10_ffff && number & 0xfffe == 0xfffe => None,
        number => Some(char::from_u32(number).unwrap_or('\u{fffd}')),
    };
    character.map(String::from).unwrap_or_default()
}

/// Returns the value of the named reference at the start of `text`, by its longest name in the list, and how many bytes
/// were read.
fn by_name(text: &str) -> Option<(String, usize)> {
    let after = &text[1..];
    let ends_name = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';');
    let mut end = after
        .char_indices()
        .take(MAX_NAME)
        .find(|(_, c)| ends_name(*c))
        .map_or_else(|| after.char_indices().nth(MAX_NAME).map_or(after.len(), |(at, _)| at), |(at, _)| at);
    if end == 0 {
        return None;
    }
    end += usize::from(after[end..].starts_with(';'));
    let name = &after[..end];
    if let Some(value) = named(name) {
        return Some((value.to_owned(), 1 + end));
    }
    // Then shorter names, of at least two characters.
    for (at, _) in name.char_indices().skip(2).collect::<Vec<_>>().into_iter().rev() {
        if let Some(value) = named(&name[..at]) {
            return Some((format!("{value}{}", &name[at..]), 1 + end));
        }
    }
    Some((format!("&{name}"), 1 + end))
}
