//! `bundle`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

/// `bundle`
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Say what a bundle holds and can do.
    Inspect {
        /// Folder, packed file, or `embedded`.
        #[arg(default_value = "embedded", value_hint = ValueHint::AnyPath)]
        bundle: OsString,
        /// List the lexicon's phrases that hold this text; `` for all.
        #[arg(long, value_name = "PATTERN", conflicts_with_all = ["json", "categories"])]
        lexicon: Option<String>,
        /// List the categories.
        #[arg(long, conflicts_with = "json")]
        categories: bool,
        /// The manifest as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a bundle: hashes, shapes, numbers, graphs.
    Verify {
        /// Folder, packed file, or `embedded`.
        #[arg(default_value = "embedded", value_hint = ValueHint::AnyPath)]
        bundle: OsString,
    },
    /// Pack a folder into one file.
    Pack {
        /// The folder.
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The file to write.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the file where there is one.
        #[arg(long)]
        force: bool,
    },
    /// Unpack a file, or `embedded`, into a folder.
    Unpack {
        /// Packed file, or `embedded`.
        #[arg(value_hint = ValueHint::FilePath)]
        file: OsString,
        /// The folder to make.
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}
