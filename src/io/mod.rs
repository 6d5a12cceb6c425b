//! Reading and writing for every part of the crate: bounded reads, atomic writes, text without secrets or control
//! characters.

mod files;
mod text;

pub use files::{AtomicFile, Durability, IfExists, describe, folder_of, read_bytes, read_text, write_atomic};
pub(crate) use text::is_url;
pub use text::{printable, redact, redact_input};
