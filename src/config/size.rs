//! Sizes as people type them.

use crate::error::{Error, Result};

/// Bytes from text such as `500000`, `512M` or `2G` (powers of 1024); `flag` is named in errors.
///
/// # Errors
/// [`Error::Usage`] where the text is not a size or is zero.
pub fn parse_size(flag: &str, text: &str) -> Result<u64> {
    let wrong = || Error::Usage(format!("{flag} {text}: not a size; write bytes, or a number with K, M or G, as 512M"));
    let trimmed = text.trim().trim_end_matches(['b', 'B']).trim_end_matches(['i']);
    let (number, shift) = match trimmed.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&trimmed[..at], 10),
        Some((at, 'm' | 'M')) => (&trimmed[..at], 20),
        Some((at, 'g' | 'G')) => (&trimmed[..at], 30),
        _ => (trimmed, 0),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_typed() {
        for (text, bytes) in [("1", 1), ("64k", 64 << 10), ("512M", 512 << 20), ("2GiB", 2 << 30), ("3 G", 3 << 30)] {
            assert_eq!(parse_size("--spool-limit", text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_the_flag() {
        for text in ["", "0", "-1", "1T", "M", "99999999999G"] {
            let message = parse_size("--spool-limit", text).unwrap_err().to_string();
            assert!(message.starts_with("--spool-limit"), "{message}");
        }
    }
}
