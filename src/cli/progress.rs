//! A bar on stderr for work that takes its time.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `all` steps on stderr.
pub fn progress_bar(all: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} {eta_precise}");
    ProgressBar::new(all as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
