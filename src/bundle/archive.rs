//! The packed form: an uncompressed tar of plain, flat files.
//!
//! Data of a tar entry starts on a multiple of 512 bytes, so tables can be used where the packed file is mapped.
//! Written the same way every time (order as given, times and owners zero), so equal bundles pack to equal bytes.
//! The build script uses this file too, so it knows nothing but std and `tar`.

use std::io::{self, Cursor, Read, Write};
use std::ops::Range;

/// True for names a bundle may use: no folders, nothing hidden, nothing a shell or terminal could trip over.
pub fn is_plain_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with(['.', '-'])
}

/// Writes a tar, file by file.
pub struct Writer<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> Writer<W> {
    /// A tar to be written to `out`.
    pub fn new(out: W) -> Self {
        Self { tar: tar::Builder::new(out) }
    }

    /// Appends one file of `size` bytes.
    ///
    /// # Errors
    /// Where reading or writing fails.
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

    /// Ends the tar and hands back what it was written to.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}

/// The files of a packed bundle: names and where their data lies in `packed`.
///
/// # Errors
/// One sentence, without the file's name, for anything but at most `max_files` plain files with plain names.
pub fn list(packed: &[u8], max_files: usize) -> Result<Vec<(String, Range<usize>)>, String> {
    let mut archive = tar::Archive::new(Cursor::new(packed));
    let broken = |e: io::Error| format!("it is not a packed bundle ({e}); make one with `bike-edge bundle pack`");
    let mut files: Vec<(String, Range<usize>)> = Vec::new();
    // Raw entries: extensions that could rename or resize an entry are not followed but refused as what they are.
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
        let cut = || format!("it ends before the end of `{name}`; copy or download it again");
        let start = usize::try_from(entry.raw_file_position()).map_err(|_| cut())?;
        let size = usize::try_from(entry.header().entry_size().map_err(broken)?).map_err(|_| cut())?;
        let end = start.checked_add(size).filter(|end| *end <= packed.len()).ok_or_else(cut)?;
        files.push((name.to_owned(), start..end));
    }
    if files.is_empty() {
        return Err("it holds no files; make it with `bike-edge bundle pack`".into());
    }
    Ok(files)
}
