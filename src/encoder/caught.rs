//! Panics of the network runtime as sentences.
//!
//! tract is careful, but a hostile graph can still trip an assertion in it. Such a panic is caught, and its message is
//! kept from the terminal: the error that follows says what matters.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Names of our worker threads begin so.
pub(super) const THREADS: &str = "bike-edge-net";

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it becomes an error with its message.
///
/// State that `work` may leave half changed must not be used after an error.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    silence();
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    outcome.unwrap_or_else(|panic| Err(format!("the network runtime failed ({})", message(&*panic))))
}

/// Keeps the usual panic report from being printed for panics that are caught here; all others print as before.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let worker = std::thread::current().name().is_some_and(|name| name.starts_with(THREADS));
            if QUIET.get() || worker {
                log::debug!("caught: {info}");
            } else {
                before(info);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    one_line(text.unwrap_or("no message"))
}

/// The first 300 characters, on one line.
pub(super) fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
