//! What was typed: flags and arguments, nothing decided yet.

pub mod args;

pub use args::Cli;
