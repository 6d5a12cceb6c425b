//! Prepares external text for messages: removes secrets and control characters.

use std::ffi::OsStr;

/// Returns whether `input` is a URL (`scheme://...`) rather than a path.
pub(crate) fn is_url(input: &str) -> bool {
    input.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// Removes user names, passwords and query strings from every URL in `text`.
///
/// ```
/// assert_eq!(
///     bike_edge::io::redact("opening rtsp://me:secret@cam.local/live?token=1 failed"),
///     "opening rtsp://cam.local/live?... failed"
/// );
/// ```
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>')).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let (url, query) = match url.find(['?', '#']) {
            Some(at) => (&url[..at], true),
            None => (url, false),
        };
        // A password may contain a slash, so the host begins after the last at-sign.
        out.push_str(url.rfind('@').map_or(url, |at| &url[at + 1..]));
        if query {
            out.push_str("?...");
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Returns an input (path or URL) as it appears in messages and results: without credentials.
pub fn redact_input(input: &OsStr) -> String {
    redact(&input.to_string_lossy())
}

/// Replaces control characters by spaces, because they could control the terminal or break a line.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_queries_are_removed() {
        assert_eq!(redact("rtsp://u:p@h/x: refused"), "rtsp://h/x: refused");
        assert_eq!(redact("rtsp://u:p/q@h:554/x"), "rtsp://h:554/x");
        assert_eq!(redact("http://h/a?key=1 and http://k@h/b"), "http://h/a?... and http://h/b");
        assert_eq!(redact("a@b.mp4"), "a@b.mp4");
    }

    #[test]
    fn paths_are_not_urls() {
        assert!(is_url("rtsp://x") && is_url("http://x"));
        assert!(!is_url("clip.mp4") && !is_url("a/b://c") && !is_url("c://x") && !is_url("://"));
    }
}
