//! Lists of names: UTF-8, one a line.

use std::collections::HashSet;

use super::limits;

/// The names of a list.
///
/// # Errors
/// One sentence with the line, without the file's name: not UTF-8, blank, padded, doubled or with control characters
/// (which could rewrite a terminal), or more than `most` of them.
pub(super) fn parse(bytes: &[u8], most: usize) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8; save the list as UTF-8")
    })?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let count = if text.is_empty() { 0 } else { text.bytes().filter(|byte| *byte == b'\n').count() + 1 };
    if count == 0 {
        return Err("it is empty; write one name a line".into());
    }
    if count > most {
        return Err(format!("it has {count} names, and {most} are the most allowed"));
    }
    let mut seen = HashSet::with_capacity(count);
    let mut names = Vec::with_capacity(count);
    for (i, name) in text.split('\n').enumerate() {
        let line = i + 1;
        if name.trim().is_empty() {
            return Err(format!("line {line} is blank; take it out"));
        }
        if name.len() > limits::NAME_BYTES {
            let (bytes, most) = (name.len(), limits::NAME_BYTES);
            return Err(format!("line {line} has {bytes} bytes, and {most} are the most allowed"));
        }
        if name.trim() != name || name.contains(|c: char| c.is_control() || c == '\u{feff}') {
            let shown = name.escape_debug();
            return Err(format!("line {line}, `{shown}`, has spaces around it or control characters; take them out"));
        }
        if !seen.insert(name) {
            return Err(format!("line {line}, `{name}`, is there twice; names must be unique"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}
