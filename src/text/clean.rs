//! Text as CLIP reads it.

use super::{references, repair};

/// Repaired, with HTML's character references read twice, white space made single spaces, in lower case.
pub(super) fn clean(text: &str) -> String {
    let text = references::read(&references::read(&repair::repair(text)));
    let mut spaced = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(word);
    }
    spaced.to_lowercase()
}
