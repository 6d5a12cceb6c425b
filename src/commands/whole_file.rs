//! Files that are there whole or not at all.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};

/// A file that is written beside its place, forced to the disk and renamed, so that neither a full disk nor a power cut
/// leaves half a file. Made before the work, so that what cannot be written is known before hours are spent.
pub(super) struct WholeFile<'a> {
    /// Named in errors.
    flag: &'static str,
    file: &'a Path,
    temporary: tempfile::NamedTempFile,
}

impl<'a> WholeFile<'a> {
    pub fn new(flag: &'static str, file: &'a Path) -> Result<Self> {
        if file.is_dir() {
            return Err(Error::Output(format!("{flag} {}: is a folder; name a file in it", file.display())));
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let problem = |e: std::io::Error| {
            let kind = e.kind();
            Error::Output(format!("{flag} {}: {} cannot be written to ({kind})", file.display(), folder.display()))
        };
        Ok(Self { flag, file, temporary: builder.tempfile_in(folder).map_err(problem)? })
    }

    /// Puts the file in its place.
    pub fn write(mut self, bytes: &[u8]) -> Result<()> {
        let failed = |e: std::io::Error| Error::Output(format!("{} {}: {e}", self.flag, self.file.display()));
        self.temporary.write_all(bytes).map_err(failed)?;
        self.temporary.as_file().sync_all().map_err(failed)?;
        self.temporary.persist(self.file).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// The same with an object as JSON.
    pub fn write_json(self, object: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(object).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
        bytes.push(b'\n');
        self.write(&bytes)
    }
}
