//! Prepares external text for messages.

use std::ffi::OsStr;

use super::address::shown_address;
use super::secrets::remember_address;

/// Returns an input (path or URL) as it appears in messages and results: without credentials, which are removed from
/// other messages from now on.
pub fn shown_input(input: &OsStr) -> String {
    let input = input.to_string_lossy();
    remember_address(&input);
    shown_address(&input)
}

/// Replaces control characters by spaces, because they could control the terminal or break a line.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
