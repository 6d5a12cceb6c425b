//! Encodes text with the text tower of a bundle, as the exporter encodes categories and attribute sentences.
//!
//! A text is split into tokens: CLIP's byte pairs (`tokenizer`, after `clean` with HTML's character references from
//! `references`) or BERT's word pieces (`wordpiece`). The text tower encodes the tokens (`encoder`).

mod clean;
mod encoder;
mod references;
mod tokenizer;
mod wordpiece;

pub use encoder::{AttributeHeads, CategoryRows, Pooling, TextEncoder, TextMeans, TextParts, TextTokenizer};
pub use tokenizer::{Tokenizer, TooLong};
pub use wordpiece::WordPiece;
