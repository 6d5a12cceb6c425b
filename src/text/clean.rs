//! Cleans text as CLIP does before its tokenizer: the repairs of ftfy 6 (references, ligatures, widths, quotes, control
//! characters, composition), HTML's character references, white space and case.
//!
//! One repair of ftfy is left out: text that was decoded with the wrong encoding (`Ã©` for `é`) stays unchanged.

use unicode_normalization::UnicodeNormalization;

use super::references;

/// Repairs a text, replaces HTML's character references twice, joins words with single spaces and converts to lower
/// case.
pub(super) fn clean(text: &str) -> String {
    let text = references::replace_all(&references::replace_all(&repair(text)));
    let mut spaced = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced.to_lowercase()
}

/// Repairs each line of a text.
fn repair(text: &str) -> String {
    // As in ftfy: from the first line with a `<` on, the text may be intended as HTML and is not unescaped here.
    let mut unescape = true;
    let line = |line: &str| {
        unescape &= !line.contains('<');
        repair_line(line, unescape)
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Repairs a line, repeatedly until nothing changes.
fn repair_line(line: &str, unescape: bool) -> String {
    let mut text = line.to_owned();
    loop {
        let unescaped = if unescape { unescape_certain(&text) } else { text.clone() };
        let plain: String = unescaped.chars().map(windows_1252).collect();
        let mut replaced = String::with_capacity(plain.len());
        plain.chars().for_each(|c| push_ligature(c, &mut replaced));
        let mut narrow = String::with_capacity(replaced.len());
        replaced.chars().for_each(|c| push_width(c, &mut narrow));
        let lines = narrow.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
        let quoted: String = lines.chars().map(straight_quote).collect();
        let printable: String = remove_terminal_escapes(&quoted).chars().filter(|c| !is_control(*c)).collect();
        let composed: String = printable.nfc().collect();
        if composed == text {
            return text;
        }
        text = composed;
    }
}

/// Replaces references that end in `;` and have only one meaning, names in capitals (`&EACUTE;`) included.
fn unescape_certain(text: &str) -> String {
    /// Longest name or number of a reference, in bytes.
    const MAX_NAME: usize = 24;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let start = if rest[1..].starts_with('#') { 2 } else { 1 };
        let count = rest[start..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        let end = start + count;
        if !(1..=MAX_NAME).contains(&count) || !rest[end..].starts_with(';') {
            out.push('&');
            rest = &rest[1..];
            continue;
        }
        let reference = &rest[..=end];
        match start {
            1 => out.push_str(&named_or_capitals(&reference[1..]).unwrap_or_else(|| reference.to_owned())),
            _ => {
                let value = references::replace_all(reference);
                out.push_str(if value.contains(';') { reference } else { &value });
            }
        }
        rest = &rest[end + 1..];
    }
    out + rest
}

/// Returns the value of `name;`: a name of HTML 5, or one in capitals that a browser would not replace.
fn named_or_capitals(name: &str) -> Option<String> {
    if let Some(value) = references::named(name) {
        return Some(value.to_owned());
    }
    let small = name.to_ascii_lowercase();
    let escaped = format!("&{name}");
    let capitals = name == small.to_ascii_uppercase() && references::replace_all(&escaped) == escaped;
    references::named(&small).filter(|_| capitals).map(str::to_uppercase)
}

/// Replaces a control character of Latin-1 by the character that windows-1252 has at its code.
fn windows_1252(c: char) -> char {
    references::windows_1252(c.into()).unwrap_or(c)
}

/// Appends a character, ligatures as their letters.
fn push_ligature(c: char, out: &mut String) {
    out.push_str(match c {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "ʼn",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        other => return out.push(other),
    });
}

/// Appends a character, half-width and full-width forms as the normal ones.
fn push_width(c: char, out: &mut String) {
    match c {
        '\u{3000}' => out.push(' '),
        '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(c).nfkc()),
        other => out.push(other),
    }
}

/// Replaces typographic quotes by ASCII quotes.
fn straight_quote(c: char) -> char {
    match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        other => other,
    }
}

/// Removes terminal sequences for colours and movements: escape, `[`, numbers, a letter.
fn remove_terminal_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        let numbers = &rest[at + 2..];
        // Python's \d: decimal digits of any script.
        let length = numbers.find(|c: char| !(c == ';' || is_decimal(c))).unwrap_or(numbers.len());
        out.push_str(&rest[..at]);
        if numbers[length..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            rest = &numbers[length + 1..];
        } else {
            out.push_str("\u{1b}[");
            rest = numbers;
        }
    }
    out + rest
}

/// Returns whether a character is a decimal digit of any script.
fn is_decimal(c: char) -> bool {
    use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
    c.general_category() == GeneralCategory::DecimalNumber
}

/// Returns whether ftfy removes a character.
fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffc}')
}
