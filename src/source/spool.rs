//! A pipe kept in a temporary file, so that it can be counted and read again.

use std::io::{self, Read, Write};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Writes `head`, already read, and all of `from` to a temporary file that is removed when dropped.
/// `limit` is in bytes.
pub(super) fn spool(input: &str, head: &[u8], from: &mut dyn Read, limit: u64) -> Result<NamedTempFile> {
    let failed = |e: io::Error| {
        Error::input(input, format!("cannot be kept in a temporary file: {e}; TMPDIR names another place"))
    };
    let mut file = NamedTempFile::with_prefix("bike-edge-").map_err(failed)?;
    file.write_all(head).map_err(failed)?;
    let room = limit.saturating_sub(head.len() as u64);
    let copied = io::copy(&mut from.take(room.saturating_add(1)), &mut file).map_err(failed)?;
    if copied > room {
        return Err(Error::input(
            input,
            format!(
                "is longer than the {} MiB that are kept of a pipe; raise --spool-limit or name a file",
                limit >> 20
            ),
        ));
    }
    file.flush().map_err(failed)?;
    Ok(file)
}

/// Reads up to `bytes` bytes, fewer only at the end.
pub(super) fn read_head(input: &str, from: &mut dyn Read, bytes: usize) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(bytes);
    from.take(bytes as u64).read_to_end(&mut head).map_err(|e| Error::input(input, format!("cannot be read: {e}")))?;
    if head.is_empty() {
        return Err(Error::input(input, "ended before its first byte; is the program before the pipe running?"));
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_kept_whole_or_refused() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let kept = spool("-", &bytes[..10], &mut &bytes[10..], 100).expect("kept");
        assert_eq!(std::fs::read(kept.path()).expect("read"), bytes);
        let error = spool("-", &bytes[..10], &mut &bytes[10..], 99).expect_err("refused").to_string();
        assert!(error.contains("--spool-limit"), "{error}");
    }

    #[test]
    fn a_closed_pipe_is_named() {
        let error = read_head("-", &mut io::empty(), 16).expect_err("refused").to_string();
        assert!(error.contains("ended before its first byte"), "{error}");
    }
}
