//! Addresses of cameras: what of them may be shown, and how their secrets are kept out of text that leaves the program.
//!
//! Cameras do not follow the grammar of URLs: passwords contain `#`, `/`, `@` and quotes, and stand in the path
//! (`/user=admin_password=..._channel=1`) and the query as well. So of an address, only scheme, host and port are shown,
//! and only if they are beyond doubt. Text of other programs that know an address is stripped of every part of it.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// Parts of a secret of this many characters may not appear in text.
const SECRET_PART: usize = 4;
/// Shown in place of text that may be an address.
pub const HIDDEN: &str = "...";
/// Replaces a secret in text.
const MASK: &str = "***";
/// Number of addresses whose secrets are remembered; the oldest is forgotten first.
const MAX_ADDRESSES: usize = 256;

/// Returns whether `input` is a URL (`scheme://...`) rather than a path.
pub fn is_url(input: &str) -> bool {
    split_scheme(input).is_some()
}

/// Splits `scheme://rest`.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    text.split_once("://").filter(|(scheme, _)| {
        scheme.len() > 1
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// The parts of an address after its scheme.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    user_info: Option<&'a str>,
    /// Host, with port if there is one.
    host: &'a str,
    /// Path, query and fragment.
    tail: &'a str,
    /// The address cannot be read in another way.
    certain: bool,
}

/// Finds the host. A password may contain every character, so that the host is what stands after an at-sign and looks like
/// one.
fn split_address(rest: &str) -> Option<Parts<'_>> {
    let is_delimiter = |c| matches!(c, '/' | '?' | '#' | '\\');
    let end_of = |text: &str| text.find(is_delimiter).unwrap_or(text.len());
    let (authority, tail) = rest.split_at(end_of(rest));
    let (user_info, host) = match authority.rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority),
    };
    if is_host(host) {
        return Some(Parts { user_info, host, tail, certain: !tail.contains('@') });
    }
    rest.match_indices('@').find_map(|(at, _)| {
        let after = &rest[at + 1..];
        let (host, tail) = after.split_at(end_of(after));
        is_host(host).then(|| Parts { user_info: Some(&rest[..at]), host, tail, certain: false })
    })
}

/// Returns whether text is a host name or IP address, with or without a port.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, rest)) => match rest.strip_prefix(':') {
            Some(port) => (name, Some(port)),
            None => return false,
        },
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name_ok = if text.starts_with('[') {
        name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '%'))
    } else {
        name.chars().all(allowed)
    };
    !name.is_empty() && name_ok && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Returns what may be shown of an address: scheme, host and port. Whether anything follows is shown as `/...`; a host
/// that is in doubt is not shown. Text that is no URL is returned unchanged, unless it looks like one without its scheme.
///
/// ```
/// use bike_edge::io::shown_address;
/// assert_eq!(shown_address("rtsp://me:secret@cam.local:554/live?token=1"), "rtsp://cam.local:554/...");
/// assert_eq!(shown_address("rtsp://me:half#word@cam.local/live"), "rtsp://...");
/// assert_eq!(shown_address("/dev/video0"), "/dev/video0");
/// ```
pub fn shown_address(address: &str) -> String {
    let Some((scheme, rest)) = split_scheme(address) else { return address.to_owned() };
    match split_address(rest).filter(|parts| parts.certain) {
        Some(Parts { host, tail: tail @ ("" | "/"), .. }) => format!("{scheme}://{host}{tail}"),
        Some(Parts { host, .. }) => format!("{scheme}://{host}/..."),
        None => format!("{scheme}://..."),
    }
}

/// Returns whether an address seems to contain a password: user information, or values in its path or query.
pub fn has_credentials(address: &str) -> bool {
    let Some((_, rest)) = split_scheme(address) else { return false };
    split_address(rest).is_none_or(|parts| parts.user_info.is_some() || !parts.certain || parts.tail.contains('='))
}

/// Returns an address in the grammar of URLs, for ffmpeg: the scheme in small letters, and user and password
/// percent-encoded where ffmpeg decodes them.
pub(crate) fn url_of_address(address: &str) -> String {
    let Some((scheme, rest)) = split_scheme(address) else { return address.to_owned() };
    let scheme = scheme.to_ascii_lowercase();
    match split_address(rest) {
        Some(Parts { user_info: Some(user_info), host, tail, .. }) if DECODED.contains(&&*scheme) => {
            format!("{scheme}://{}@{host}{tail}", percent_encoded(user_info))
        }
        _ => format!("{scheme}://{rest}"),
    }
}

/// Schemes whose user and password ffmpeg decodes.
const DECODED: [&str; 4] = ["rtsp", "rtsps", "http", "https"];
/// Longest user and password that ffmpeg reads, in bytes after encoding, by scheme; it cuts longer ones silently.
const MAX_USER_INFO: [(&str, usize); 7] =
    [("rtsp", 127), ("rtsps", 127), ("http", 1023), ("https", 1023), ("rtmp", 99), ("rtmps", 99), ("rtmpt", 99)];

/// Returns why an address cannot be read, with the remedy; the address is not quoted.
pub fn problem_of_address(address: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = split_scheme(address) else {
        return Some("its address is not a URL; begin it with a scheme, such as rtsp://");
    };
    if address.contains(char::is_control) {
        return Some("its address contains control characters; remove them");
    }
    let scheme = scheme.to_ascii_lowercase();
    let (_, max) = MAX_USER_INFO.iter().find(|(of, _)| *of == scheme)?;
    let user_info = split_address(rest)?.user_info?;
    let length = if DECODED.contains(&&*scheme) { percent_encoded(user_info).len() } else { user_info.len() };
    (length > *max).then_some("its user and password are longer than ffmpeg reads; use a shorter password")
}

/// Encodes what would end user and password, or be decoded. What is encoded already stays.
fn percent_encoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut encoded = Vec::with_capacity(text.len());
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'%' if is_hex(at + 1) && is_hex(at + 2) => encoded.push(b'%'),
            b if b"%/?#\"'\\<> ".contains(b) => encoded.extend_from_slice(format!("%{b:02X}").as_bytes()),
            b => encoded.push(*b),
        }
    }
    String::from_utf8_lossy(&encoded).into_owned()
}

/// Decodes `%20` and the like.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let decoded = after.get(..2).filter(|_| *first == b'%').and_then(hex);
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// The parts of an address that are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secrets {
    /// The address as it was given, as ffmpeg gets it, and as messages quote it; the longest first.
    forms: Vec<String>,
    shown: String,
    /// User, password, path and query, as they are and decoded; the longest first.
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
        parts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
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

/// Returns texts and their escaped forms, the longest first.
fn forms(texts: &[&str]) -> Vec<String> {
    let mut forms: Vec<String> =
        texts.iter().flat_map(|text| [(*text).to_owned(), text.escape_debug().to_string()]).collect();
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
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
    fn only_scheme_host_and_port_are_shown() {
        for (address, shown) in [
            ("rtsp://u:p@h/x", "rtsp://h/..."),
            ("rtsp://h", "rtsp://h"),
            ("rtsp://h:554/", "rtsp://h:554/"),
            ("rtsp://admin:it's@h/x", "rtsp://h/..."),
            ("rtsp://admin:p@ss@h:8554/x", "rtsp://h:8554/..."),
            ("rtsp://[fe80::1%25eth0]:554/x", "rtsp://[fe80::1%25eth0]:554/..."),
            ("rtsp://h/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp", "rtsp://h/..."),
            // The password could be anything in these.
            ("rtsp://admin:half#word@h/x", "rtsp://..."),
            ("rtsp://u:p/q@h:554/x", "rtsp://..."),
            ("rtsp://h/user=a@password", "rtsp://..."),
            ("rtsp://admin:secret/h/x", "rtsp://..."),
            ("rtsp://", "rtsp://..."),
            ("a@b.mp4", "a@b.mp4"),
        ] {
            assert_eq!(shown_address(address), shown, "{address}");
        }
    }

    #[test]
    fn an_address_is_put_into_the_grammar_of_urls() {
        for (address, url) in [
            ("rtsp://u:p@h/x", "rtsp://u:p@h/x"),
            ("rtsp://admin:it's@h/x", "rtsp://admin:it%27s@h/x"),
            ("rtsp://admin:half#word@h/x", "rtsp://admin:half%23word@h/x"),
            ("rtsp://a:p@s/w?d@h:554/x?y#z", "rtsp://a:p@s/w?d@h:554/x?y#z"),
            ("rtsp://a:w/d@h:554/x?y#z", "rtsp://a:w%2Fd@h:554/x?y#z"),
            ("rtsp://a:100%25%@h/", "rtsp://a:100%25%25@h/"),
            ("RTSP://a:b^\u{e9}@h/", "rtsp://a:b^\u{e9}@h/"),
            ("rtmp://a:p s@h/app", "rtmp://a:p s@h/app"),
            ("rtsp://h/a@b", "rtsp://h/a@b"),
        ] {
            assert_eq!(url_of_address(address), url, "{address}");
        }
    }

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
    fn addresses_that_ffmpeg_cannot_read_are_refused() {
        assert_eq!(problem_of_address("rtsp://u:p@h/x"), None);
        assert_eq!(problem_of_address(&format!("http://u:{}@h/x", "p".repeat(500))), None);
        for (address, words) in [
            ("rtsp//u:p@h".to_owned(), "not a URL"),
            ("rtsp://u:\u{7}@h".to_owned(), "control characters"),
            (format!("rtsp://u:{}@h", "#".repeat(43)), "longer than ffmpeg reads"),
        ] {
            assert!(problem_of_address(&address).is_some_and(|problem| problem.contains(words)), "{address}");
        }
    }

    #[test]
    fn secrets_that_are_known_are_removed_everywhere() {
        remember_address("rtsp://operator:two words@h/x");
        assert_eq!(redact("sent operator and two words to h"), "sent *** and *** to h");
        assert_eq!(redact("rtsp://operator:two words@h/x"), "rtsp://h/...");
    }

    #[test]
    fn paths_are_not_urls() {
        assert!(is_url("rtsp://x") && is_url("http://x"));
        assert!(!is_url("clip.mp4") && !is_url("a/b://c") && !is_url("c://x") && !is_url("://"));
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
