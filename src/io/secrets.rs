//! Keeps the secrets of addresses out of text that leaves the program.
//!
//! Known addresses and their parts are replaced wherever they stand; other URLs are reduced to what may be shown of them.
//! Text of other programs that know an address is stripped of every part of it.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::address::{
    Parts, is_url, percent_decoded, percent_encoded, shown_address, split_address, split_scheme, url_of_address,
};

/// Parts of a secret of this many characters may not appear in text.
const SECRET_PART: usize = 4;
/// Shown in place of text that may be an address.
pub const HIDDEN: &str = "...";
/// Replaces a secret in text.
const MASK: &str = "***";
/// Number of addresses whose secrets are remembered; the oldest is forgotten first.
const MAX_ADDRESSES: usize = 256;

/// The parts of an address that are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secrets {
    /// The address as it was given, as ffmpeg gets it, and as messages quote it.
    forms: Vec<String>,
    shown: String,
    /// User, password, path and query: unchanged, encoded and decoded.
    parts: Vec<String>,
}

impl Secrets {
    /// Of text that may be an address without its scheme, or in the wrong place: it is hidden as a whole.
    fn of_text(text: &str) -> Self {
        Self { forms: forms(&[text]), shown: HIDDEN.to_owned(), parts: vec![text.to_owned()] }
    }

    /// `None` if nothing of the address is hidden.
    fn of(address: &str) -> Option<Self> {
        let shown = shown_address(address);
        if shown == address {
            return None;
        }
        let (scheme, rest) = split_scheme(address)?;
        let mut parts = Vec::new();
        match split_address(rest) {
            Some(Parts { user_info, tail, certain: true, .. }) => {
                let user_info = user_info.unwrap_or_default();
                parts.extend(user_info.splitn(2, ':').chain([user_info, tail]).map(str::to_owned));
                // A value of the query may be the password.
                let values = tail.split(['?', '&', '/']).filter_map(|pair| Some(pair.split_once('=')?.1));
                parts.extend(values.map(str::to_owned));
            }
            // Any of it may be the password.
            _ => parts.push(rest.to_owned()),
        }
        let encoded: Vec<String> = parts.iter().map(|part| percent_encoded(part)).collect();
        let decoded: Vec<String> =
            parts.iter().map(|part| String::from_utf8_lossy(&percent_decoded(part)).into_owned()).collect();
        parts.extend(encoded.into_iter().chain(decoded));
        // A user name such as `rtsp` would hide the schemes of all URLs.
        parts.retain(|part| part.chars().count() >= SECRET_PART && part != scheme);
        parts.sort();
        parts.dedup();
        Some(Self { forms: forms(&[address, &url_of_address(address)]), shown, parts })
    }

    /// Replaces the address by what may be shown of it.
    fn replace_address(&self, text: String) -> String {
        replace_all(text, self.forms.iter().map(|form| (form, self.shown.as_str())).collect())
    }

    /// Replaces every run of characters that it has in common with a secret.
    fn replace_parts(&self, text: &str) -> String {
        let windows: HashSet<Vec<char>> = self
            .parts
            .iter()
            .flat_map(|part| {
                let characters: Vec<char> = part.chars().map(lower).collect();
                characters.windows(SECRET_PART).map(<[char]>::to_vec).collect::<Vec<_>>()
            })
            .collect();
        let characters: Vec<char> = text.chars().collect();
        let lower: Vec<char> = characters.iter().copied().map(lower).collect();
        let mut secret = vec![false; characters.len()];
        for (at, window) in lower.windows(SECRET_PART).enumerate() {
            if windows.contains(window) {
                secret[at..at + SECRET_PART].fill(true);
            }
        }
        let mut out = String::with_capacity(text.len());
        for (at, character) in characters.iter().enumerate() {
            match (secret[at], at > 0 && secret[at - 1]) {
                (false, _) => out.push(*character),
                (true, false) => out.push_str(MASK),
                (true, true) => {}
            }
        }
        out
    }
}

/// Returns texts and their escaped forms.
fn forms(texts: &[&str]) -> Vec<String> {
    let mut forms: Vec<String> =
        texts.iter().flat_map(|text| [(*text).to_owned(), text.escape_debug().to_string()]).collect();
    forms.sort();
    forms.dedup();
    forms
}

/// One small letter for each letter.
fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// The secrets of this process, which [`redact`] removes from text.
static KNOWN: RwLock<Vec<Secrets>> = RwLock::new(Vec::new());

/// Makes [`redact`] remove the secrets of an address from now on.
pub fn remember_address(address: &str) {
    if let Some(secrets) = Secrets::of(address) {
        remember(secrets);
    }
}

/// Makes [`redact`] hide text from now on that may be an address without its scheme, or in the wrong place.
pub fn remember_suspicious_text(text: &str) {
    if is_url(text) {
        remember_address(text);
    } else if text.chars().count() >= SECRET_PART && (text.contains("://") || text.contains('@')) {
        remember(Secrets::of_text(text));
    }
}

fn remember(secrets: Secrets) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    // The addresses in use are the last ones.
    known.retain(|other| *other != secrets);
    if known.len() == MAX_ADDRESSES {
        known.remove(0);
    }
    known.push(secrets);
}

/// Removes secrets from text: those of addresses that are known by [`remember_address`], and everything but scheme, host
/// and port of every other URL.
///
/// ```
/// assert_eq!(
///     bike_edge::io::redact("opening rtsp://me:secret@cam.local/live?token=1 failed"),
///     "opening rtsp://cam.local/... failed"
/// );
/// ```
pub fn redact(text: &str) -> String {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    // Whole addresses come first, because a part of one may be in another.
    let forms = known.iter().flat_map(|secrets| secrets.forms.iter().map(|form| (form, secrets.shown.as_str())));
    let text = redact_urls(&replace_all(text.to_owned(), forms.collect()));
    replace_all(text, known.iter().flat_map(|secrets| &secrets.parts).map(|part| (part, MASK)).collect())
}

/// Replaces texts, the longest first, because one may contain another.
fn replace_all(mut text: String, mut replacements: Vec<(&String, &str)>) -> String {
    replacements.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    for (from, to) in replacements {
        if text.contains(from.as_str()) {
            text = text.replace(from.as_str(), to);
        }
    }
    text
}

/// Replaces every URL by what may be shown of it.
fn redact_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme = rest[..at].rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
        let start = scheme.map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        out.push_str(&rest[..start]);
        let (url, after) = rest[start..].split_at(end_of_url(&rest[start..]));
        // Punctuation of the sentence may follow the URL. Three dots are the end of an address that was reduced already.
        let end = url.trim_end_matches([':', ',', ';', ')']).len();
        let end = if url[..end].ends_with("...") { end } else { url[..end].trim_end_matches('.').len() };
        match split_scheme(&url[..end]) {
            Some(_) => out.push_str(&(shown_address(&url[..end]) + &url[end..])),
            None => out.push_str(HIDDEN),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns where a URL in text ends: at a space, or at a quote after which there is no at-sign.
fn end_of_url(text: &str) -> usize {
    let word = text.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>')).unwrap_or(text.len());
    let user_info = text[..word].rfind('@').unwrap_or(0);
    text[user_info..word].find(['\'', '"', '`']).map_or(word, |quote| user_info + quote)
}

/// Removes every part of an address from the text of a program that knows it.
pub(crate) fn redact_text_of(address: &str, text: &str) -> String {
    match Secrets::of(address) {
        Some(secrets) => secrets.replace_parts(&redact_urls(&secrets.replace_address(text.to_owned()))),
        None => redact_urls(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_in_text_are_reduced() {
        assert_eq!(redact("rtsp://u:p@h/x: refused"), "rtsp://h/...: refused");
        assert_eq!(redact("http://h/a?key=1 and 'http://k@h/b'"), "http://h/... and 'http://h/...'");
        assert_eq!(redact("cannot open \"rtsp://u:it's@h/x\""), "cannot open \"rtsp://h/...\"");
        assert_eq!(redact("a@b.mp4"), "a@b.mp4");
        for once in ["a URL such as rtsp://...", "rtsp://h/...: refused", "rtsp://h/...."] {
            assert_eq!(redact(once), redact(&redact(once)));
        }
        assert_eq!(redact("a URL such as rtsp://..."), "a URL such as rtsp://...");
    }

    #[test]
    fn texts_that_may_be_addresses_are_hidden_as_a_whole() {
        remember_suspicious_text("operator:two parts@cam.local/1");
        remember_suspicious_text("1rtsp://x:\"hush hush\"@cam/1");
        assert_eq!(redact("`operator:two parts@cam.local/1` is not a number"), "`...` is not a number");
        assert_eq!(redact("not \"1rtsp://x:\\\"hush hush\\\"@cam/1\""), "not \"...\"");
    }

    #[test]
    fn an_address_that_begins_with_another_one_is_replaced_whole() {
        remember_address("rtsp://prefix.local/x?token='");
        remember_address("rtsp://prefix.local/x?token=''000");
        assert_eq!(redact("'rtsp://prefix.local/x?token=''000'"), "'rtsp://prefix.local/...'");
    }

    #[test]
    fn a_user_with_the_name_of_a_scheme_hides_no_other_address() {
        remember_address("rtsp://rtsp:abcdefg@h/x");
        assert_eq!(redact("rtsp://me:hidden@cam/live refused"), "rtsp://cam/... refused");
    }

    #[test]
    fn secrets_that_are_known_are_removed_everywhere() {
        remember_address("rtsp://operator:two words@h/x");
        assert_eq!(redact("sent operator and two words to h"), "sent *** and *** to h");
        assert_eq!(redact("rtsp://operator:two words@h/x"), "rtsp://h/...");
    }

    /// Returns whether text has four characters of the secret in a row, other than those that addresses are shown with.
    fn leaks(text: &str, secret: &str) -> bool {
        let common = "rtsp://h:554/... http://[::1]/... 'rtsp://...' ***";
        let characters: Vec<char> = secret.chars().collect();
        let parts = characters.windows(SECRET_PART).map(|part| part.iter().collect::<String>());
        parts.filter(|part| !common.contains(part.as_str())).any(|part| text.contains(&part))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_part_of_a_password_is_shown(
            // No letters that the rest of the texts has.
            secret in "[0-9A-Z!-/:-@\\[-`{-~]{4,40}",
            place in 0..5usize,
        ) {
            let address = match place {
                0 => format!("rtsp://{secret}@h:554/x"),
                1 => format!("rtsp://u:{secret}@h/x"),
                2 => format!("rtsp://h/user=u_password={secret}_channel=x"),
                3 => format!("rtsp://h/x?token={secret}"),
                _ => format!("http://u:{secret}@[::1]/x#y"),
            };
            prop_assert!(!leaks(&shown_address(&address), &secret), "{address}: {}", shown_address(&address));
            let url = url_of_address(&address);
            // As ffmpeg quotes an address, and parts of it.
            for quoted in [&address, &url, &secret, &secret[secret.len() / 2..], &percent_encoded(&secret)] {
                let text = format!("[tcp @ 0x1] failed to resolve {quoted}: not found");
                let shown = redact_text_of(&address, &text);
                prop_assert!(!leaks(&shown, &secret), "{address}: {shown}");
            }
            remember_address(&address);
            let shown = redact(&format!("{address} {url} '{address}'"));
            prop_assert!(!leaks(&shown, &secret), "{address}: {shown}");
            if place < 2 && shown_address(&address).contains("//h") {
                let shown = redact(&format!("the user {secret} is refused"));
                prop_assert!(!leaks(&shown, &secret), "{address}: {shown}");
            }
        }
    }
}
