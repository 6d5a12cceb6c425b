//! Reads pipes with a timeout, and copies them to a temporary file if frames must be counted or read again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::detect::cannot_open;
use crate::source::wait::WaitLimit;
#[cfg(unix)]
use crate::source::wait::{WaitEnd, wait_readable};
use crate::{Error, Result};

/// Reads from a pipe; fails if no data arrive for a while, or if reading is cancelled.
pub(super) struct TimedReader<R> {
    from: R,
    limit: WaitLimit,
}

impl<R> TimedReader<R> {
    /// `limit`: how long to wait for the next byte.
    pub(super) fn new(from: R, limit: WaitLimit) -> Self {
        Self { from, limit }
    }
}

#[cfg(unix)]
impl<R: Read + std::os::fd::AsRawFd> Read for TimedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.limit.wait(|| 0, |wait| wait_readable(&self.from, wait))? {
            WaitEnd::Ready(()) => self.from.read(buffer),
            WaitEnd::Cancelled => Err(io::Error::other("reading was stopped")),
            WaitEnd::TimedOut => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "no data arrived for {} s; check the program that writes to the pipe, or raise `timeout_s`",
                    self.limit.timeout.as_secs_f64()
                ),
            )),
        }
    }
}

#[cfg(not(unix))]
impl<R: Read> Read for TimedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer)
    }
}

/// Opens standard input unbuffered, because a buffer would hide waiting data from `poll`.
#[cfg(unix)]
pub(super) fn stdin(name: &str, limit: WaitLimit) -> Result<TimedReader<File>> {
    use std::os::fd::AsFd;
    let owned = io::stdin().as_fd().try_clone_to_owned();
    let from = owned.map(File::from).map_err(|e| Error::input(name, format!("cannot be read: {e}")))?;
    Ok(TimedReader::new(from, limit))
}

/// Opens standard input.
#[cfg(not(unix))]
pub(super) fn stdin(_: &str, limit: WaitLimit) -> Result<TimedReader<io::Stdin>> {
    Ok(TimedReader::new(io::stdin(), limit))
}

/// Opens a named pipe without waiting for a writer: reads wait, with a timeout.
#[cfg(target_os = "linux")]
pub(super) fn open_named_pipe(name: &str, path: &Path) -> Result<File> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|e| cannot_open(name, path, &e))?;
    // SAFETY: a descriptor that `file` keeps open; only its non-blocking flag is cleared.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) };
    Ok(file)
}

/// Opens a named pipe; waits until there is a writer.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_named_pipe(name: &str, path: &Path) -> Result<File> {
    File::open(path).map_err(|e| cannot_open(name, path, &e))
}

/// The contents of a pipe in a temporary file, which is removed on drop.
#[derive(Debug)]
pub(super) enum SpoolFile {
    /// Has no name any more, so that it is removed even if the process is killed; read through its descriptor.
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(NamedTempFile),
}

impl SpoolFile {
    fn new(file: NamedTempFile) -> Self {
        #[cfg(target_os = "linux")]
        if Self::descriptor(file.as_file()).exists() {
            let (file, path) = file.into_parts();
            // If it cannot be removed now, it cannot be removed later either.
            let _ = path.close();
            return Self::Nameless(file);
        }
        Self::Named(file)
    }

    fn file(&self) -> io::Result<File> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => file.try_clone(),
            Self::Named(file) => file.reopen(),
        }
    }

    /// The path by which this process and its children can read it.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => Self::descriptor(file),
            Self::Named(file) => file.path().to_path_buf(),
        }
    }

    #[cfg(target_os = "linux")]
    fn descriptor(file: &File) -> PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
    }
}

/// Writes `head`, the bytes read so far, and the rest of `from` to a temporary file of at most `limit` bytes.
pub(super) fn spool(input: &str, head: &[u8], from: &mut dyn Read, limit: u64) -> Result<SpoolFile> {
    let failed = |e: io::Error| {
        Error::input(input, format!("cannot be written to a temporary file: {e}; set TMPDIR to another folder"))
    };
    let file = NamedTempFile::with_prefix("bike-edge-").map_err(failed)?;
    let spooled = SpoolFile::new(file);
    let mut file = spooled.file().map_err(failed)?;
    file.write_all(head).map_err(failed)?;
    let room = limit.saturating_sub(head.len() as u64);
    let copied = io::copy(&mut from.take(room.saturating_add(1)), &mut file).map_err(|e| match e.kind() {
        io::ErrorKind::TimedOut => Error::input(input, e.to_string()),
        _ => failed(e),
    })?;
    if copied > room {
        return Err(Error::input(
            input,
            format!("is longer than the limit of {limit} bytes for a pipe; raise `spool_limit` or name a file"),
        ));
    }
    file.flush().map_err(failed)?;
    Ok(spooled)
}

/// Reads the first `bytes` bytes; fewer if the input ends before.
pub(super) fn read_head(input: &str, from: &mut dyn Read, bytes: usize) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(bytes);
    from.take(bytes as u64).read_to_end(&mut head).map_err(|e| Error::input(input, format!("cannot be read: {e}")))?;
    if head.is_empty() {
        return Err(Error::input(input, "ended before its first byte; check the program that writes to the pipe"));
    }
    Ok(head)
}

/// Maximum size of the index of a fragmented MP4 that is read from a pipe.
const MAX_START: u64 = 64 << 20;

/// Reads the boxes of an MP4 that begins with `head` up to its index (`moov`). Returns all bytes that were read, and
/// whether the file is fragmented, so that it can be read as it arrives.
pub(super) fn read_mp4_start(head: Vec<u8>, from: &mut dyn Read) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = head;
    let mut at = 0usize;
    loop {
        if !fill(&mut bytes, from, at as u64 + 8)? {
            return Ok((bytes, false));
        }
        let name: [u8; 4] = bytes[at + 4..at + 8].try_into().unwrap_or_default();
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        // Boxes of 64-bit size, or up to the end, contain media.
        if size < 8 || name == *b"mdat" || !fill(&mut bytes, from, at as u64 + u64::from(size))? {
            return Ok((bytes, false));
        }
        let end = at + size as usize;
        if name == *b"moov" {
            let fragmented = bytes[at..end].windows(4).any(|name| name == b"mvex");
            return Ok((bytes, fragmented));
        }
        at = end;
    }
}

/// Reads until there are `length` bytes; false if there are fewer, or more than the limit.
fn fill(bytes: &mut Vec<u8>, from: &mut dyn Read, length: u64) -> io::Result<bool> {
    if length > MAX_START {
        return Ok(false);
    }
    let missing = length.saturating_sub(bytes.len() as u64);
    from.take(missing).read_to_end(bytes)?;
    Ok(bytes.len() as u64 >= length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::wait::CancelFlag;

    #[test]
    fn a_pipe_is_spooled_whole_or_refused() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let spooled = spool("-", &bytes[..10], &mut &bytes[10..], 100).expect("spooled");
        assert_eq!(std::fs::read(spooled.path()).expect("read"), bytes);
        let error = spool("-", &bytes[..10], &mut &bytes[10..], 99).expect_err("refused").to_string();
        assert!(error.contains("spool_limit"), "{error}");
    }

    #[test]
    fn an_empty_pipe_is_an_error() {
        let error = read_head("-", &mut io::empty(), 16).expect_err("refused").to_string();
        assert!(error.contains("ended before its first byte"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_silent_pipe_times_out_and_a_closed_one_ends() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut timed = TimedReader::new(reader, WaitLimit::new(0.02, &CancelFlag::default()));
        writer.write_all(b"ab").expect("written");
        let mut two = [0; 2];
        timed.read_exact(&mut two).expect("read");
        let error = timed.read(&mut two).expect_err("silent");
        assert!(error.kind() == io::ErrorKind::TimedOut && error.to_string().contains("timeout_s"), "{error}");
        drop(writer);
        assert_eq!(timed.read(&mut two).expect("the end"), 0);
    }
}
