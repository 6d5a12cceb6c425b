//! What was typed: flags and arguments, nothing decided yet.

pub mod args;
mod progress;

pub use args::Cli;
pub use progress::progress_bar;
