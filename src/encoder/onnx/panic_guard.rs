//! Turns panics and errors of the network runtime into sentences.
//!
//! tract is careful, but a hostile graph can still trigger an assertion in it. Such a panic is caught, and the usual
//! panic report is not printed, because the error that follows contains the message.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::encoder::cpu::threads::WORKER_NAME;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and turns a panic in it into an error with its message.
///
/// State that `work` may leave half changed must not be used after an error.
pub(crate) fn catch_panics<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    install_hook();
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    outcome.unwrap_or_else(|panic| Err(format!("the network runtime failed ({})", message(&*panic))))
}

/// Suppresses the usual panic report for panics that are caught here or on a worker thread. Others are printed as
/// before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let worker = std::thread::current().name().is_some_and(|name| name.starts_with(WORKER_NAME));
            if QUIET.get() || worker {
                log::debug!("panic in the network runtime: {info}");
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

/// Returns the first 300 characters on one line.
pub(crate) fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the reasons of the network runtime as one sentence.
pub(super) fn unsupported(error: impl std::fmt::Display) -> String {
    format!(
        "the network runtime cannot load it ({}); export it with standard operators",
        one_line(&format!("{error:#}"))
    )
}
