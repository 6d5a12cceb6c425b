//! Size limits for the parts of a bundle. docs/bundle.md lists the same numbers.

pub(super) use crate::encoder::limits::{GRAPH_BYTES, WIDTH};

/// Categories, K.
pub(super) const CATEGORIES: usize = 65_536;
/// Lexicon phrases, N.
pub(super) const PHRASES: usize = 4_194_304;
/// Word rows per category, W: CLIP's text positions.
pub(super) const WORD_ROWS: usize = 77;
/// Prompts; CLIP's ensemble has 80.
pub(super) const PROMPTS: usize = 128;

/// Bytes of bundle.toml.
pub(super) const MANIFEST_BYTES: u64 = 1 << 20;
/// Bytes of README.md.
pub(super) const README_BYTES: u64 = 1 << 20;
/// Bytes of one name.
pub(super) const NAME_BYTES: usize = 512;
/// Bytes of one table file.
pub(super) const TABLES_BYTES: u64 = 4 << 30;
/// Bytes of tokenizer.txt; CLIP's has half a million.
pub(super) const TOKENIZER_BYTES: u64 = 8 << 20;
/// Bytes of any other listed file, such as a list of names.
pub(super) const OTHER_BYTES: u64 = 256 << 20;
/// Bytes of a safetensors header; a bundle's has about a dozen entries.
pub(super) const TABLES_HEADER_BYTES: u64 = 1 << 20;
/// Files in a bundle.
pub(super) const FILES: usize = 64;

/// Returns the limit in bytes for a listed file, by its name.
pub(super) fn file_bytes(name: &str) -> u64 {
    if name == "tokenizer.txt" {
        return TOKENIZER_BYTES;
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("onnx") => GRAPH_BYTES,
        Some("safetensors") => TABLES_BYTES,
        _ => OTHER_BYTES,
    }
}
