//! Reading and writing for every part of the crate: bounded reads, atomic writes, text without secrets or control
//! characters.

mod address;
mod files;
mod text;

pub use address::is_url;
pub use address::{
    HIDDEN, has_credentials, problem_of_address, redact, remember_address, remember_suspicious_text, shown_address,
};
pub(crate) use address::{percent_decoded, redact_text_of, url_of_address};
pub use files::{AtomicFile, Durability, IfExists, describe, folder_of, read_bytes, read_text, write_atomic};
pub use text::{printable, shown_input};
