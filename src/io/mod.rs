//! Reading and writing for every part of the crate: bounded reads, atomic writes, text without secrets or control
//! characters.

mod address;
mod files;
mod secrets;
mod text;

pub use address::{has_credentials, is_url, problem_of_address, shown_address};
pub(crate) use address::{percent_decoded, url_of_address};
pub use files::{AtomicFile, Durability, IfExists, describe, folder_of, read_bytes, read_text, write_atomic};
pub(crate) use secrets::redact_text_of;
pub use secrets::{HIDDEN, redact, remember_address, remember_suspicious_text};
pub use text::{printable, shown_input};
