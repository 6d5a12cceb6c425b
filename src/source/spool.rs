//! A pipe kept in a temporary file, so that it can be counted and read again.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// What a pipe held, in a temporary file that is gone when this is dropped.
#[derive(Debug)]
pub(super) enum Kept {
    /// Has no name any more, so that not even a killed process leaves it behind; read through its descriptor.
    #[cfg(target_os = "linux")]
    Nameless(std::fs::File),
    /// Removed when dropped.
    Named(NamedTempFile),
}

impl Kept {
    fn new(file: NamedTempFile) -> Self {
        #[cfg(target_os = "linux")]
        if Self::descriptor(file.as_file()).exists() {
            let (file, path) = file.into_parts();
            // Where it cannot be removed now, there is no more to be done about it later.
            let _ = path.close();
            return Self::Nameless(file);
        }
        Self::Named(file)
    }

    fn file(&self) -> io::Result<std::fs::File> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => file.try_clone(),
            Self::Named(file) => file.reopen(),
        }
    }

    /// Where it can be read, by this process and its children.
    pub fn path(&self) -> PathBuf {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => Self::descriptor(file),
            Self::Named(file) => file.path().to_path_buf(),
        }
    }

    #[cfg(target_os = "linux")]
    fn descriptor(file: &std::fs::File) -> PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
    }
}

/// Writes `head`, already read, and all of `from` to a temporary file. `limit` is in bytes.
pub(super) fn spool(input: &str, head: &[u8], from: &mut dyn Read, limit: u64) -> Result<Kept> {
    let failed = |e: io::Error| {
        Error::input(input, format!("cannot be kept in a temporary file: {e}; TMPDIR names another place"))
    };
    let file = NamedTempFile::with_prefix("bike-edge-").map_err(failed)?;
    let kept = Kept::new(file);
    let mut file = kept.file().map_err(failed)?;
    file.write_all(head).map_err(failed)?;
    let room = limit.saturating_sub(head.len() as u64);
    let copied = io::copy(&mut from.take(room.saturating_add(1)), &mut file).map_err(|e| match e.kind() {
        io::ErrorKind::TimedOut => Error::input(input, e.to_string()),
        _ => failed(e),
    })?;
    if copied > room {
        return Err(Error::input(
            input,
            format!("is longer than the {limit} bytes that are kept of a pipe; raise --spool-limit or name a file"),
        ));
    }
    file.flush().map_err(failed)?;
    Ok(kept)
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
