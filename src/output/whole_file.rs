//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Whether a file must outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Waits for the disk.
    PowerCuts,
    /// Only never half there for a reader.
    Readers,
}

/// Writes a file beside its place and then moves it there.
///
/// # Errors
/// Whatever the disk says; the file is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8], lasting: Lasting) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = path.file_name().unwrap_or_default().to_owned();
    beside.push(".new");
    let beside = folder.join(beside);
    let mut file = File::create(&beside)?;
    let written = file.write_all(bytes).and_then(|()| match lasting {
        Lasting::PowerCuts => file.sync_all(),
        Lasting::Readers => Ok(()),
    });
    if let Err(e) = written.and_then(|()| fs::rename(&beside, path)) {
        // Best effort: the next writing begins it anew in any case.
        let _ = fs::remove_file(&beside);
        return Err(e);
    }
    match lasting {
        // The new name, too, must reach the disk.
        Lasting::PowerCuts => File::open(folder)?.sync_all(),
        Lasting::Readers => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_stays_where_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write_whole(&path, b"one", Lasting::PowerCuts).unwrap();
        write_whole(&path, b"two", Lasting::Readers).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        // In the way of the file beside.
        fs::create_dir(folder.path().join("state.json.new")).unwrap();
        assert!(write_whole(&path, b"three", Lasting::PowerCuts).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
