//! Encodes text with the text tower of a bundle, as the exporter encodes categories and attribute sentences.
//!
//! A text is cleaned (`clean`, with HTML's character references from `references`), split into CLIP's byte-pair tokens
//! (`tokenizer`) and encoded by the text tower (`encoder`).

mod clean;
mod encoder;
mod references;
mod tokenizer;

pub use encoder::{AttributeHeads, CategoryRows, TextEncoder};
pub use tokenizer::{Tokenizer, TooLong};
