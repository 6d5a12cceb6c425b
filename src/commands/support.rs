//! Shared by several commands: progress bars, loading the model, and the file that a command writes at its end.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;

use bike_edge::io::{AtomicFile, Durability, IfExists, folder_of};
use bike_edge::pipeline::{Engine, ModelSpec, Workload};
use bike_edge::{Error, Result};
use indicatif::ProgressStyle;
use serde::Serialize;

use crate::cli::Verbosity;

/// Minimum number of category texts for a progress bar.
const MANY_TEXTS: usize = 8;

/// Loads the model, with a progress bar if many categories are encoded.
pub(super) fn load_engine(model: &ModelSpec, workload: Workload, verbosity: Verbosity) -> Result<Engine> {
    let mut bar = ProgressBar::new(verbosity, MANY_TEXTS, "texts encoded");
    Engine::load_with_progress(model, workload, &mut |done, all| bar.set(done, all))
}

/// A file named by a flag. It is created before the work, so that a path that is not writable is reported at once and
/// not after hours of work.
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
            Error::Output(format!("{flag} {}: {folder} is not writable ({kind})", path.display()))
        };
        Ok(Self { flag, path, file: AtomicFile::create(path).map_err(failed)? })
    }

    /// Writes the text and renames the temporary file.
    ///
    /// # Errors
    /// [`Error::Output`] for any I/O error.
    pub fn write(mut self, text: &[u8]) -> Result<()> {
        let failed = |e: std::io::Error| Error::Output(format!("{} {}: {e}", self.flag, self.path.display()));
        self.file.write_all(text).map_err(failed)?;
        self.file.commit(IfExists::Replace, Durability::PowerCuts).map_err(failed)
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

/// A progress bar for long work. Shown only on a terminal, and only if the work has many parts.
pub(super) struct ProgressBar {
    visible: bool,
    message: &'static str,
    min_parts: usize,
    bar: Option<indicatif::ProgressBar>,
}

impl ProgressBar {
    /// Shows nothing until [`ProgressBar::set`] reports work of at least `min_parts` parts.
    pub fn new(verbosity: Verbosity, min_parts: usize, message: &'static str) -> Self {
        let visible = verbosity == Verbosity::Normal && stderr().is_terminal();
        Self { visible, message, min_parts, bar: None }
    }

    /// Reports that `done` of `all` parts are done.
    pub fn set(&mut self, done: usize, all: usize) {
        if !self.visible || all < self.min_parts {
            return;
        }
        let message = self.message;
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} {eta_precise}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            indicatif::ProgressBar::new(all as u64).with_style(style).with_message(message)
        });
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
