//! The category set and the lexicon, from their tables and lists of names.

use super::manifest::Manifest;
use super::tables::Tables;
use super::words::{WORD_TENSORS, words};
use super::{limits, names};
use crate::recognition::{CategorySet, Lexicon};
use crate::table::Bytes;

/// Reads categories.txt and categories.safetensors. Errors are sentences that begin with the file.
pub(super) fn categories(manifest: &Manifest, list: &Bytes, tables: &Bytes) -> Result<CategorySet, String> {
    let names = names::parse(list, limits::CATEGORIES).map_err(|problem| format!("categories.txt: {problem}"))?;
    category_tables(manifest, names, tables).map_err(|problem| format!("categories.safetensors: {problem}"))
}

fn category_tables(manifest: &Manifest, names: Vec<String>, bytes: &Bytes) -> Result<CategorySet, String> {
    let known = [&["category", "category_attribute"], &WORD_TENSORS[..]].concat();
    let tables = Tables::open(bytes, &known)?;
    let (count, width) = (names.len(), manifest.model.embedding_dim);
    expect_count(&tables, "category", count, "categories.txt")?;
    let category = tables.embeddings("category", &[count, width])?;
    let words = words(&tables, count, width)?;
    let attribute = optional(&tables, "category_attribute", &[count, width])?;
    Ok(CategorySet { names, category, words, attribute })
}

/// Reads lexicon.txt and lexicon.safetensors. Errors are sentences that begin with the file.
pub(super) fn lexicon(manifest: &Manifest, list: &Bytes, tables: &Bytes) -> Result<Lexicon, String> {
    let phrases = names::parse(list, limits::PHRASES).map_err(|problem| format!("lexicon.txt: {problem}"))?;
    lexicon_tables(manifest, phrases, tables).map_err(|problem| format!("lexicon.safetensors: {problem}"))
}

fn lexicon_tables(manifest: &Manifest, phrases: Vec<String>, bytes: &Bytes) -> Result<Lexicon, String> {
    let known = [&["retrieval", "sentence", "sentence_attribute", "sentence_mean"], &WORD_TENSORS[..]].concat();
    let tables = Tables::open(bytes, &known)?;
    let (count, width, own_width) = (phrases.len(), manifest.model.embedding_dim, manifest.attribute_dim());
    expect_count(&tables, "retrieval", count, "lexicon.txt")?;
    let retrieval = tables.embeddings("retrieval", &[count, own_width])?;
    let sentence = optional(&tables, "sentence", &[count, width])?;
    if sentence.is_none() && own_width != width {
        return Err(format!(
            "tensor `sentence` is missing, and `retrieval` is {own_width} wide where categories are {width}; export \
             the lexicon with both"
        ));
    }
    let words = words(&tables, count, width)?;
    let sentence_attribute = optional(&tables, "sentence_attribute", &[count, width])?;
    let sentence_mean = if tables.has("sentence_mean") { Some(tables.list("sentence_mean", width)?) } else { None };
    Ok(Lexicon { phrases, retrieval, sentence, words, sentence_attribute, sentence_mean })
}

fn optional(tables: &Tables<'_>, name: &str, shape: &[usize]) -> Result<Option<crate::table::Table>, String> {
    if tables.has(name) { tables.embeddings(name, shape).map(Some) } else { Ok(None) }
}

fn expect_count(tables: &Tables<'_>, tensor: &str, names: usize, list: &str) -> Result<(), String> {
    let rows = tables.shape(tensor)?.first().copied().unwrap_or(0);
    if rows != names {
        return Err(format!("{tensor} has {rows} rows and {list} {names} names; they must go together"));
    }
    Ok(())
}
