//! Reads the category set and the lexicon from their tables and lists of names.

use std::collections::HashSet;

use super::limits;
use super::manifest::Manifest;
use super::tables::Tables;
use crate::recognition::{CategorySet, Lexicon, Mixture, WordLayout, WordTable};
use crate::table::{Bytes, Rows, Table};

/// The tensors of a word table.
const WORD_TENSORS: [&str; 7] =
    ["word", "word_weight", "word_rows", "word_mix", "position_word", "shared_word", "shared_weight"];

/// Largest length of a row of `position_word`, which is the mean of words of length 1.
const MAX_COMMON_LENGTH: f64 = 1.1;

/// Largest length of a row of `word_mix`. Rows and words have length 1, so no number is much larger than 1.
const MAX_MIX_LENGTH: f64 = 32.0;

/// Reads categories.txt and categories.safetensors. Errors are sentences that start with the file's name.
pub(super) fn categories(manifest: &Manifest, list: &Bytes, tables: &Bytes) -> Result<CategorySet, String> {
    let names = parse_names(list, limits::CATEGORIES).map_err(|problem| format!("categories.txt: {problem}"))?;
    category_tables(manifest, names, tables).map_err(|problem| format!("categories.safetensors: {problem}"))
}

/// Reads categories.safetensors.
fn category_tables(manifest: &Manifest, names: Vec<String>, bytes: &Bytes) -> Result<CategorySet, String> {
    let allowed = [&["category", "category_attribute"], &WORD_TENSORS[..]].concat();
    let tables = Tables::open(bytes, &allowed)?;
    let (count, width) = (names.len(), manifest.model.embedding_dim);
    expect_count(&tables, "category", count, "categories.txt")?;
    let category = tables.embeddings("category", &[count, width])?;
    let words = word_table(&tables, count, width)?;
    let attribute = optional(&tables, "category_attribute", &[count, width])?;
    Ok(CategorySet { names, category, words, attribute })
}

/// Reads lexicon.txt and lexicon.safetensors. Errors are sentences that start with the file's name.
pub(super) fn lexicon(manifest: &Manifest, list: &Bytes, tables: &Bytes) -> Result<Lexicon, String> {
    let phrases = parse_names(list, limits::PHRASES).map_err(|problem| format!("lexicon.txt: {problem}"))?;
    lexicon_tables(manifest, phrases, tables).map_err(|problem| format!("lexicon.safetensors: {problem}"))
}

/// Reads lexicon.safetensors.
fn lexicon_tables(manifest: &Manifest, phrases: Vec<String>, bytes: &Bytes) -> Result<Lexicon, String> {
    let allowed = [&["retrieval", "sentence", "sentence_attribute", "sentence_mean"], &WORD_TENSORS[..]].concat();
    let tables = Tables::open(bytes, &allowed)?;
    let (count, width, attribute_width) = (phrases.len(), manifest.model.embedding_dim, manifest.attribute_dim());
    expect_count(&tables, "retrieval", count, "lexicon.txt")?;
    let retrieval = tables.embeddings("retrieval", &[count, attribute_width])?;
    let sentence = optional(&tables, "sentence", &[count, width])?;
    if sentence.is_none() && attribute_width != width {
        return Err(format!(
            "tensor `sentence` is missing, and `retrieval` is {attribute_width} wide, but categories are {width}; \
             export the lexicon with both"
        ));
    }
    let words = word_table(&tables, count, width)?;
    let sentence_attribute = optional(&tables, "sentence_attribute", &[count, width])?;
    let sentence_mean = if tables.has("sentence_mean") { Some(tables.list("sentence_mean", width)?) } else { None };
    Ok(Lexicon { phrases, retrieval, sentence, words, sentence_attribute, sentence_mean })
}

/// Returns the embeddings of a tensor that may be missing.
fn optional(tables: &Tables<'_>, name: &str, shape: &[usize]) -> Result<Option<Table>, String> {
    if tables.has(name) { tables.embeddings(name, shape).map(Some) } else { Ok(None) }
}

/// Checks that a tensor has one row per name.
fn expect_count(tables: &Tables<'_>, tensor: &str, names: usize, list: &str) -> Result<(), String> {
    let rows = tables.shape(tensor)?.first().copied().unwrap_or(0);
    if rows != names {
        return Err(format!("{tensor} has {rows} rows, and {list} has {names} names; the numbers must be equal"));
    }
    Ok(())
}

/// Parses a list of names: UTF-8, one name per line.
///
/// # Errors
/// Returns a sentence with the line, without the file's name, for a list that is not UTF-8 or has more than `max`
/// names, and for a name that is blank, repeated, surrounded by spaces, or has control characters (which could rewrite
/// a terminal).
fn parse_names(bytes: &[u8], max: usize) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8; save the list as UTF-8")
    })?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let count = if text.is_empty() { 0 } else { text.bytes().filter(|byte| *byte == b'\n').count() + 1 };
    if count == 0 {
        return Err("it is empty; write one name per line".into());
    }
    if count > max {
        return Err(format!("it has {count} names, but at most {max} are allowed"));
    }
    let mut unique = HashSet::with_capacity(count);
    let mut names = Vec::with_capacity(count);
    for (i, name) in text.split('\n').enumerate() {
        let line = i + 1;
        if name.trim().is_empty() {
            return Err(format!("line {line} is blank; remove it"));
        }
        if name.len() > limits::NAME_BYTES {
            let (bytes, max) = (name.len(), limits::NAME_BYTES);
            return Err(format!("line {line} has {bytes} bytes, but at most {max} are allowed"));
        }
        if name.trim() != name || name.contains(|c: char| c.is_control() || c == '\u{feff}') {
            let shown = name.escape_debug();
            return Err(format!("line {line}, `{shown}`, has spaces around it or control characters; remove them"));
        }
        if !unique.insert(name) {
            return Err(format!("line {line}, `{name}`, is listed twice; names must be unique"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Reads the words of `count` texts, `width` wide. Errors are sentences without the file's name.
fn word_table(tables: &Tables<'_>, count: usize, width: usize) -> Result<WordTable, String> {
    if tables.has("word_mix") { mixed_words(tables, count, width) } else { weighted_words(tables, count, width) }
}

/// Reads a table whose rows are words.
fn weighted_words(tables: &Tables<'_>, count: usize, width: usize) -> Result<WordTable, String> {
    refuse(tables, &["word_rows", "position_word"], "is present without word_mix")?;
    let shape = tables.shape("word")?;
    let rows_per_category = shape.get(1).copied().unwrap_or(0);
    if !(1..=limits::WORD_ROWS).contains(&rows_per_category) {
        return Err(format!(
            "word has shape {shape:?}; it must be [{count}, W, {width}] with W from 1 to {}",
            limits::WORD_ROWS
        ));
    }
    let own = tables.embeddings("word", &[count, rows_per_category, width])?;
    let weight = tables.numbers("word_weight", &[count, rows_per_category])?;
    let shared = shared_words(tables, width)?;
    check_weights(&weight, shared.as_ref().map_or(&[], |(_, weights)| weights))?;
    Ok(WordTable { shared, ..WordTable::weighted(own, weight) })
}

/// Reads a table whose words are mixed from rows.
fn mixed_words(tables: &Tables<'_>, count: usize, width: usize) -> Result<WordTable, String> {
    refuse(tables, &["word_weight"], "is present together with word_mix")?;
    let positions = tables.shape("position_word")?.first().copied().unwrap_or(0);
    if !(1..=limits::WORD_ROWS).contains(&positions) {
        let max = limits::WORD_ROWS;
        return Err(format!("position_word has {positions} rows; it must have 1 to {max}, one per position"));
    }
    let row_counts = tables.counts("word_rows", count)?;
    let allowed = 1..=limits::WORD_ROWS;
    if let Some(k) =
        row_counts.iter().position(|rows| !usize::try_from(*rows).is_ok_and(|rows| allowed.contains(&rows)))
    {
        let max = limits::WORD_ROWS;
        return Err(format!("word_rows[{k}] is {}; each text must have 1 to {max} rows", row_counts[k]));
    }
    let first = Mixture::row_starts(&row_counts);
    let total = first.last().copied().unwrap_or(0);
    let own = tables
        .embeddings("word", &[total, width])
        .map_err(|problem| format!("{problem} (word_rows adds up to {total} rows)"))?;
    let common = tables.bounded("position_word", &[positions, width], MAX_COMMON_LENGTH)?;
    let mix = tables.bounded("word_mix", &[total, positions], MAX_MIX_LENGTH)?;
    let shared = shared_words(tables, width)?;
    Ok(WordTable { own, layout: WordLayout::Mixed(Mixture { mix, common, first }), shared })
}

/// Reads the rows that all texts share, and their weights.
fn shared_words(tables: &Tables<'_>, width: usize) -> Result<Option<(Table, Vec<f32>)>, String> {
    if !tables.has("shared_word") {
        refuse(tables, &["shared_weight"], "is present without shared_word")?;
        return Ok(None);
    }
    let rows = tables.shape("shared_word")?.first().copied().unwrap_or(0);
    if rows > limits::WORD_ROWS {
        return Err(format!("shared_word has {rows} rows, but at most {} are allowed", limits::WORD_ROWS));
    }
    let table = tables.embeddings("shared_word", &[rows, width])?;
    let weights = tables.list("shared_weight", rows)?;
    if let Some(at) = weights.iter().position(|weight| *weight < 0.0) {
        return Err(format!("shared_weight[{at}] is {}; weights must not be negative", weights[at]));
    }
    Ok(Some((table, weights)))
}

/// Refuses tensors that have no meaning in this table.
fn refuse(tables: &Tables<'_>, names: &[&str], problem: &str) -> Result<(), String> {
    let present = names.iter().find(|name| tables.has(name));
    present.map_or(Ok(()), |name| Err(format!("{name} {problem}; export the tables again")))
}

/// Checks that word weights are not negative, and that their sum with the shared weights is the same for every
/// category.
fn check_weights(weight: &Table, shared: &[f32]) -> Result<(), String> {
    let Rows::F32(numbers) = weight.data() else { return Err("word_weight is not F32".into()) };
    let common: f64 = shared.iter().map(|x| f64::from(*x)).sum();
    let mut first = None;
    for (k, row) in numbers.chunks_exact(weight.width().max(1)).enumerate() {
        if let Some(negative) = row.iter().find(|x| **x < 0.0) {
            return Err(format!("word_weight row {k} holds {negative}; weights must not be negative"));
        }
        let sum = common + row.iter().map(|x| f64::from(*x)).sum::<f64>();
        let expected = *first.get_or_insert(sum);
        if sum <= 0.0 || !sum.is_finite() || (sum - expected).abs() > 1e-3 * expected {
            return Err(format!(
                "word_weight row {k} sums to {sum:.3} with shared_weight and row 0 to {expected:.3}; the sums must be \
                 positive and equal; export the tables again"
            ));
        }
    }
    Ok(())
}
