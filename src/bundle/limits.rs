//! How large anything in a bundle may be; the same numbers stand in docs/bundle.md.

pub use crate::encoder::limits::{GRAPH_BYTES, WIDTH};

/// Categories, K.
pub const CATEGORIES: usize = 65_536;
/// Lexicon phrases, N.
pub const PHRASES: usize = 4_194_304;
/// Word rows a category, W: CLIP's text positions.
pub const WORD_ROWS: usize = 77;
/// Frames in a window, T.
pub const WINDOW: usize = 64;
/// Phrases in an attribute sentence, k.
pub const TOP_K: usize = 16;

/// Prompts of an ensemble; CLIP's own has 80.
pub const PROMPTS: usize = 128;

/// Bytes of bundle.toml.
pub const MANIFEST_BYTES: u64 = 1 << 20;
/// Bytes of README.md.
pub const README_BYTES: u64 = 1 << 20;
/// Bytes of a list of names.
pub const NAMES_BYTES: u64 = 256 << 20;
/// Bytes of one name.
pub const NAME_BYTES: usize = 512;
/// Bytes of one table file.
pub const TABLES_BYTES: u64 = 4 << 30;
/// Bytes of tokenizer.txt; CLIP's has half a million.
pub const TOKENIZER_BYTES: u64 = 8 << 20;
/// Bytes of any other listed file.
pub const OTHER_BYTES: u64 = 256 << 20;
/// Bytes of a safetensors header; ours has a dozen entries.
pub const TABLES_HEADER_BYTES: u64 = 1 << 20;
/// Files in a bundle.
pub const FILES: usize = 64;

/// The limit for a listed file, by its name.
pub fn file_bytes(name: &str) -> u64 {
    if name == "tokenizer.txt" {
        return TOKENIZER_BYTES;
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("onnx") => GRAPH_BYTES,
        Some("safetensors") => TABLES_BYTES,
        _ => OTHER_BYTES,
    }
}
