//! Bundles: the folders and files that models are loaded from (docs/bundle.md).
//!
//! A bundle is read from a folder, a packed file or the binary itself, always by the same reader with the same checks.
//! Nothing in it is trusted before it is checked. Tables and graphs are read in place, never copied.

mod archive;
mod category_tables;
mod files;
mod limits;
pub mod manifest;
mod open;
mod pack;
mod report;
mod tables;

pub use files::BundleRef;
pub use manifest::Manifest;
pub use open::Bundle;
pub use pack::{pack, unpack};
pub use report::{describe, verify};
#[cfg(fuzzing)]
pub use tables::fuzz_tables;
