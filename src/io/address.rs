//! Addresses of cameras: their parts, what of them may be shown, and the form in which ffmpeg reads them.
//!
//! Cameras do not follow the grammar of URLs: passwords contain `#`, `/`, `@` and quotes, and stand in the path
//! (`/user=admin_password=..._channel=1`) and the query as well. So of an address, only scheme, host and port are shown,
//! and only if they are beyond doubt.

/// Returns whether `input` is a URL (`scheme://...`) rather than a path.
pub fn is_url(input: &str) -> bool {
    split_scheme(input).is_some()
}

/// Splits `scheme://rest`.
pub(super) fn split_scheme(text: &str) -> Option<(&str, &str)> {
    text.split_once("://").filter(|(scheme, _)| {
        scheme.len() > 1
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// The parts of an address after its scheme.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub user_info: Option<&'a str>,
    /// Host, with port if there is one.
    pub host: &'a str,
    /// Path, query and fragment.
    pub tail: &'a str,
    /// The address cannot be read in another way.
    pub certain: bool,
}

/// Finds the host. A password may contain every character, so that the host is what stands after an at-sign and looks like
/// one.
pub(super) fn split_address(rest: &str) -> Option<Parts<'_>> {
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
/// that is in doubt is not shown. Text that is no URL is returned unchanged.
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
pub(super) fn percent_encoded(text: &str) -> String {
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

#[cfg(test)]
mod tests {
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
    fn paths_are_not_urls() {
        assert!(is_url("rtsp://x") && is_url("http://x"));
        assert!(!is_url("clip.mp4") && !is_url("a/b://c") && !is_url("c://x") && !is_url("://"));
    }
}
