//! Reads and writes packed bundles: uncompressed tar files without folders.
//!
//! The data of a tar entry starts at a multiple of 512 bytes, so that tables can be read in place from a mapped file.
//! Equal bundles pack to equal bytes, because entries are in the given order and have no times or owners.
//! The build script includes this file by its path, so it may use only std and `tar`.

use std::io::{self, Cursor, Read, Write};
use std::ops::Range;

/// Returns whether a bundle may use a file name: without folders, not hidden, and safe in a shell or terminal.
pub fn is_plain_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with(['.', '-'])
}

/// Writes a tar file.
pub struct Writer<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> Writer<W> {
    /// Starts a tar file that is written to `out`.
    pub fn new(out: W) -> Self {
        Self { tar: tar::Builder::new(out) }
    }

    /// Appends a file of `size` bytes.
    ///
    /// # Errors
    /// Returns an error if reading or writing fails.
    pub fn append(&mut self, name: &str, size: u64, data: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.tar.append(&header, data)
    }

    /// Ends the tar file and returns `out`.
    ///
    /// # Errors
    /// Returns an error if writing fails.
    pub fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}

/// Returns the names of a packed bundle's files and the ranges of their data in `packed`.
///
/// # Errors
/// Returns a sentence, without the file's name, for anything other than at most `max_files` regular files with plain
/// names.
pub fn list(packed: &[u8], max_files: usize) -> Result<Vec<(String, Range<usize>)>, String> {
    let mut archive = tar::Archive::new(Cursor::new(packed));
    let broken = |e: io::Error| format!("it is not a packed bundle ({e}); make one with `bike-edge bundle pack`");
    let mut files: Vec<(String, Range<usize>)> = Vec::new();
    // Raw entries, so that an extension that could rename or resize an entry is refused like any other special entry.
    for entry in archive.entries_with_seek().map_err(broken)?.raw(true) {
        let entry = entry.map_err(broken)?;
        let path = entry.path_bytes();
        let shown = String::from_utf8_lossy(&path).escape_debug().to_string();
        let name = std::str::from_utf8(&path).ok().filter(|name| is_plain_name(name));
        let name = name.ok_or_else(|| {
            format!("entry `{shown}` is not a plain file name; pack the bundle with `bike-edge bundle pack`")
        })?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(format!("entry `{name}` is not a regular file; pack it with `bike-edge bundle pack`"));
        }
        if files.len() == max_files {
            return Err(format!("it holds more than {max_files} files; a bundle has about ten"));
        }
        if files.iter().any(|(other, _)| other == name) {
            return Err(format!("entry `{name}` is there twice; pack the bundle again"));
        }
        let truncated = || format!("it ends before the end of `{name}`; copy or download it again");
        let start = usize::try_from(entry.raw_file_position()).map_err(|_| truncated())?;
        let size = usize::try_from(entry.header().entry_size().map_err(broken)?).map_err(|_| truncated())?;
        let end = start.checked_add(size).filter(|end| *end <= packed.len()).ok_or_else(truncated)?;
        files.push((name.to_owned(), start..end));
    }
    if files.is_empty() {
        return Err("it holds no files; make one with `bike-edge bundle pack`".into());
    }
    Ok(files)
}
