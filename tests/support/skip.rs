//! Skips a test that this machine cannot run, visibly.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Tests skipped in this process.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Prints that the current test, or a part of it, is skipped and why, with the number of skips in this process. The
/// line is not captured by the test harness, so that `cargo test` shows it even if the test passes.
pub fn skip(reason: &str) {
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let thread = std::thread::current();
    let line = format!("skipped: {}: {reason} (skips so far: {count})\n", thread.name().unwrap_or("a test"));
    // `eprint!` would be captured.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}
