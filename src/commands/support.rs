//! What several commands share: loading the model, and the file that a command writes at its end.

use std::io::Write;
use std::path::Path;

use bike_edge::io::{AtomicFile, Durability, Existing, folder_of};
use bike_edge::pipeline::{Engine, ModelSpec};
use bike_edge::{Error, Result};
use serde::Serialize;

use crate::cli::{ProgressBar, Verbosity};

/// Category texts from which on encoding them shows a progress bar.
const MANY_TEXTS: usize = 8;

/// Loads the model, with a progress bar if many categories are encoded.
pub(super) fn load_engine(model: &ModelSpec, verbosity: Verbosity) -> Result<Engine> {
    let mut bar = ProgressBar::new(verbosity, MANY_TEXTS, "texts encoded");
    Engine::load_with_progress(model, &mut |done, all| bar.set(done, all))
}

/// A file named by a flag. It is created before the work, so that a place that cannot be written is reported before hours
/// are spent.
pub(super) struct ReportFile<'a> {
    flag: &'static str,
    path: &'a Path,
    file: AtomicFile,
}

impl<'a> ReportFile<'a> {
    /// # Errors
    /// [`Error::Output`] naming the flag and the file.
    pub fn create(flag: &'static str, path: &'a Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::Output(format!("{flag} {}: is a folder; name a file in it", path.display())));
        }
        let failed = |e: std::io::Error| {
            let (folder, kind) = (folder_of(path).display(), e.kind());
            Error::Output(format!("{flag} {}: {folder} cannot be written to ({kind})", path.display()))
        };
        Ok(Self { flag, path, file: AtomicFile::create(path).map_err(failed)? })
    }

    /// Writes the text and moves the file to its place.
    ///
    /// # Errors
    /// [`Error::Output`] if the disk is full or gone.
    pub fn write(mut self, text: &[u8]) -> Result<()> {
        let failed = |e: std::io::Error| Error::Output(format!("{} {}: {e}", self.flag, self.path.display()));
        self.file.write_all(text).map_err(failed)?;
        self.file.commit(Existing::Replace, Durability::PowerCuts).map_err(failed)
    }

    /// Writes an object as JSON.
    ///
    /// # Errors
    /// As [`ReportFile::write`].
    pub fn write_json(self, object: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(object).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
        bytes.push(b'\n');
        self.write(&bytes)
    }
}
