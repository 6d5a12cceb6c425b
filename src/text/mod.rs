//! Any text becomes embeddings, as the exporter makes categories and attribute sentences of it.
//!
//! A text is cleaned ([`clean`]: damage repaired by [`repair`], character references read by [`references`]), cut into
//! words ([`words`]), turned into CLIP's byte-pair tokens ([`tokenizer`]), and read by the text tower of a bundle
//! ([`TextEncoder`]).

mod clean;
mod encoder;
mod merges;
mod references;
mod repair;
mod tokenizer;
mod words;

pub use encoder::{CategoryRows, Heads, TextEncoder};
pub use tokenizer::{Tokenizer, TooLong};
