//! Writes files atomically and reads files of limited size.

use std::fs::File;
use std::io::Read;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that is written to a temporary file and renamed when it is complete, so that neither a full disk nor a power
/// cut leaves half a file. Dropping it discards what was written.
pub struct AtomicFile {
    path: PathBuf,
    temporary: tempfile::NamedTempFile,
}

/// What to do if the destination exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// Replace it.
    Replace,
    /// Fail and leave it unchanged; [`AtomicFile::commit`] returns [`io::ErrorKind::AlreadyExists`].
    Fail,
}

/// What a file must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Power cuts: waits for the disk.
    PowerCuts,
    /// Only readers that open it while it is written. Every user of the machine may read the file, whatever the umask.
    Readers,
}

impl AtomicFile {
    /// Creates the temporary file, so that a path that is not writable is reported before any work is done.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        // The usual mode of a new file; the umask restricts it.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        Ok(Self { path: path.to_owned(), temporary: builder.tempfile_in(folder_of(path))? })
    }

    /// Like [`AtomicFile::create`], but the temporary file is `NAME.new` in the same folder. For a file with a single
    /// writer: what a power cut leaves behind is overwritten by the next write and does not accumulate.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn create_beside(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let mut builder = tempfile::Builder::new();
        let temporary = builder.prefix(&name).rand_bytes(0).make_in(folder_of(path), create_new)?;
        let (file, place) = temporary.into_parts();
        Ok(Self { path: path.to_owned(), temporary: tempfile::NamedTempFile::from_parts(file, place) })
    }

    /// Renames the temporary file to the destination.
    ///
    /// # Errors
    /// Any I/O error; the destination is then unchanged.
    pub fn commit(self, if_exists: IfExists, durability: Durability) -> io::Result<()> {
        if durability == Durability::PowerCuts {
            self.temporary.as_file().sync_all()?;
        }
        match if_exists {
            IfExists::Replace => self.temporary.persist(&self.path).map_err(|e| e.error)?,
            IfExists::Fail => self.temporary.persist_noclobber(&self.path).map_err(|e| e.error)?,
        };
        match durability {
            // The new name must reach the disk, too.
            Durability::PowerCuts => File::open(folder_of(&self.path))?.sync_all(),
            Durability::Readers => Ok(()),
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.as_file_mut().flush()
    }
}

/// Creates a file in the place of what may have been left there, without following a link.
fn create_new(place: &Path) -> io::Result<File> {
    match std::fs::remove_file(place) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => File::create_new(place),
    }
}

/// Replaces a file that has a single writer.
///
/// # Errors
/// Any I/O error; the file is then unchanged.
pub fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let mut file = AtomicFile::create_beside(path)?;
    file.write_all(bytes)?;
    #[cfg(unix)]
    if durability == Durability::Readers {
        file.temporary.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    }
    file.commit(IfExists::Replace, durability)
}

/// Returns the folder of a file, `.` for a plain name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a file of at most `max` bytes. `hint` ends the message if the file is too large or not as expected, such as
/// `a list of clips has one clip per line`.
///
/// # Errors
/// [`Error::Input`] for a file that cannot be read or is too large.
pub fn read_bytes(path: &Path, max: u64, hint: &str) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let failed = |e: io::Error| Error::input(name(), describe(&e));
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let too_large = |size: u64| Error::input(name(), format!("{size} bytes is too large, at most {max}; {hint}"));
    if size > max {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // A pipe or a growing file may hold more than its metadata reports.
    Read::by_ref(&mut file).take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Describes why a file cannot be read, without the number of the error.
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::IsADirectory => "it is a folder; name a file".into(),
        io::ErrorKind::PermissionDenied => "permission to read it is denied".into(),
        _ => error.to_string(),
    }
}

/// Reads a UTF-8 text of at most `max` bytes.
///
/// # Errors
/// [`Error::Input`] for a file that cannot be read, is too large, or is not UTF-8.
pub fn read_text(path: &Path, max: u64, hint: &str) -> Result<String> {
    let bytes = read_bytes(path, max, hint)?;
    String::from_utf8(bytes).map_err(|_| Error::input(path.display().to_string(), format!("not valid UTF-8; {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;

    #[test]
    fn a_file_is_replaced_whole_and_stays_if_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write_atomic(&path, b"one", Durability::PowerCuts).unwrap();
        write_atomic(&path, b"two", Durability::Readers).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        // What a power cut left behind is overwritten.
        fs::write(folder.path().join("state.json.new"), b"half").unwrap();
        write_atomic(&path, b"three", Durability::PowerCuts).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A link there is not followed.
        #[cfg(unix)]
        {
            let (other, link) = (folder.path().join("other"), folder.path().join("state.json.new"));
            fs::write(&other, b"other").unwrap();
            std::os::unix::fs::symlink(&other, &link).unwrap();
            write_atomic(&path, b"three", Durability::Readers).unwrap();
            assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"three".to_vec(), b"other".to_vec()));
        }
        fs::create_dir(folder.path().join("state.json.new")).unwrap();
        assert!(write_atomic(&path, b"four", Durability::PowerCuts).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"three");
    }

    #[test]
    fn an_existing_file_is_kept_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        fs::write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        let error = file.commit(IfExists::Fail, Durability::Readers).unwrap_err();
        assert_eq!((error.kind(), fs::read(&path).unwrap()), (io::ErrorKind::AlreadyExists, b"old".to_vec()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_are_read_up_to_their_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read_text(file.path(), 5, "").unwrap(), "12345");
        let problem = read_text(file.path(), 4, "give a shorter one").unwrap_err().to_string();
        assert!(problem.contains("5 bytes is too large, at most 4; give a shorter one"), "{problem}");
        std::fs::write(file.path(), [0xff]).unwrap();
        assert!(read_text(file.path(), 5, "").unwrap_err().to_string().contains("UTF-8"));
        assert!(read_text(Path::new("none"), 5, "").unwrap_err().to_string().starts_with("none: "));
    }
}
