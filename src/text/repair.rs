//! Repairs of text as ftfy 6 makes them before CLIP's tokenizer: references, ligatures, widths, quotes, control
//! characters, composition.
//!
//! One of ftfy's repairs is left out: text that was decoded wrongly before it came here (`Ã©` for `é`) stays so.

use unicode_normalization::UnicodeNormalization;

use super::references;

/// Every line repaired, again and again until nothing changes.
pub(super) fn repair(text: &str) -> String {
    // As ftfy has it: from the first line with a `<` on, text may be HTML on purpose, and is not unescaped here.
    let mut unescape = true;
    let line = |line: &str| {
        unescape &= !line.contains('<');
        repair_line(line, unescape)
    };
    text.split_inclusive('\n').map(line).collect()
}

fn repair_line(line: &str, unescape: bool) -> String {
    let mut text = line.to_owned();
    loop {
        let unescaped = if unescape { unescape_surely(&text) } else { text.clone() };
        let plain: String = unescaped.chars().map(windows_for_control).collect();
        let mut replaced = String::with_capacity(plain.len());
        plain.chars().for_each(|c| push_ligature(c, &mut replaced));
        let mut narrow = String::with_capacity(replaced.len());
        replaced.chars().for_each(|c| push_width(c, &mut narrow));
        let lines = narrow.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
        let quoted: String = lines.chars().map(straight).collect();
        let kept: String = without_terminal_escapes(&quoted).chars().filter(|c| !is_control(*c)).collect();
        let composed: String = kept.nfc().collect();
        if composed == text {
            return text;
        }
        text = composed;
    }
}

/// References that end in `;` and can mean nothing else. Names in capitals count too (`&EACUTE;`).
fn unescape_surely(text: &str) -> String {
    const LONGEST: usize = 24;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let start = if rest[1..].starts_with('#') { 2 } else { 1 };
        let count = rest[start..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        let end = start + count;
        if !(1..=LONGEST).contains(&count) || !rest[end..].starts_with(';') {
            out.push('&');
            rest = &rest[1..];
            continue;
        }
        let reference = &rest[..=end];
        match start {
            1 => out.push_str(&capitals_too(&reference[1..]).unwrap_or_else(|| reference.to_owned())),
            _ => {
                let value = references::read(reference);
                out.push_str(if value.contains(';') { reference } else { &value });
            }
        }
        rest = &rest[end + 1..];
    }
    out + rest
}

/// What `name;` stands for: a name of HTML 5, or one written in capitals that no browser would read.
fn capitals_too(name: &str) -> Option<String> {
    if let Some(value) = references::named(name) {
        return Some(value.to_owned());
    }
    let small = name.to_ascii_lowercase();
    let escaped = format!("&{name}");
    let capitals = name == small.to_ascii_uppercase() && references::read(&escaped) == escaped;
    references::named(&small).filter(|_| capitals).map(str::to_uppercase)
}

/// Control characters of Latin-1 are what windows-1252 has in their place.
fn windows_for_control(c: char) -> char {
    references::of_windows(c.into()).unwrap_or(c)
}

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

/// Half- and full-width forms become those of usual width.
fn push_width(c: char, out: &mut String) {
    match c {
        '\u{3000}' => out.push(' '),
        '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(c).nfkc()),
        other => out.push(other),
    }
}

fn straight(c: char) -> char {
    match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        other => other,
    }
}

/// Without colours and movements of a terminal: escape, `[`, numbers, a letter.
fn without_terminal_escapes(text: &str) -> String {
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

fn is_decimal(c: char) -> bool {
    use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
    c.general_category() == GeneralCategory::DecimalNumber
}

fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffc}')
}
