//! Progress bars on stderr.

use std::io::{IsTerminal, stderr};

use indicatif::ProgressStyle;

/// How much is printed on stderr besides log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// No progress.
    Quiet,
    /// Progress of long work.
    Normal,
}

/// A progress bar for long work. Shown only on a terminal, and only if the work has many parts.
pub struct ProgressBar {
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
