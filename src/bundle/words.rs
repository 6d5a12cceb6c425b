//! Word tables of categories and phrases.

use super::tables::Tables;
use super::{limits, rows};
use crate::recognition::{Mixture, Spread, WordTable};
use crate::table::Table;

/// The tensors that a word table is made of.
pub(super) const WORD_TENSORS: [&str; 7] =
    ["word", "word_weight", "word_rows", "word_mix", "position_word", "shared_word", "shared_weight"];

/// The greatest length of a common row: words are of length 1, and this is their mean.
const COMMON_LENGTH: f64 = 1.1;

/// The greatest length of a row of `word_mix`: rows and words are of length 1, so that no number is much more than that.
const MIX_LENGTH: f64 = 32.0;

/// Reads the words of `count` texts, `width` wide. Errors are sentences without the file.
pub(super) fn words(tables: &Tables<'_>, count: usize, width: usize) -> Result<WordTable, String> {
    if tables.has("word_mix") { mixed(tables, count, width) } else { weighted(tables, count, width) }
}

fn weighted(tables: &Tables<'_>, count: usize, width: usize) -> Result<WordTable, String> {
    only(tables, &["word_rows", "position_word"], "is there without word_mix")?;
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
    let shared = shared(tables, width)?;
    rows::check_weights(&weight, shared.as_ref().map_or(&[], |(_, weights)| weights))?;
    Ok(WordTable { shared, ..WordTable::weighted(own, weight) })
}

fn mixed(tables: &Tables<'_>, count: usize, width: usize) -> Result<WordTable, String> {
    only(tables, &["word_weight"], "is there beside word_mix")?;
    let positions = tables.shape("position_word")?.first().copied().unwrap_or(0);
    if !(1..=limits::WORD_ROWS).contains(&positions) {
        let most = limits::WORD_ROWS;
        return Err(format!("position_word has {positions} rows; it must have 1 to {most}, one a position"));
    }
    let of_text = tables.counts("word_rows", count)?;
    let allowed = 1..=limits::WORD_ROWS;
    if let Some(k) = of_text.iter().position(|rows| !usize::try_from(*rows).is_ok_and(|rows| allowed.contains(&rows))) {
        let most = limits::WORD_ROWS;
        return Err(format!("word_rows gives text {k} {} rows; each has 1 to {most}", of_text[k]));
    }
    let first = Mixture::starts(&of_text);
    let total = first.last().copied().unwrap_or(0);
    let own = tables
        .embeddings("word", &[total, width])
        .map_err(|problem| format!("{problem} (word_rows adds up to {total} rows)"))?;
    let common = tables.bounded("position_word", &[positions, width], COMMON_LENGTH)?;
    let mix = tables.bounded("word_mix", &[total, positions], MIX_LENGTH)?;
    let shared = shared(tables, width)?;
    Ok(WordTable { own, spread: Spread::Mixed(Mixture { mix, common, first }), shared })
}

/// Rows that all texts share, and their weights.
fn shared(tables: &Tables<'_>, width: usize) -> Result<Option<(Table, Vec<f32>)>, String> {
    if !tables.has("shared_word") {
        only(tables, &["shared_weight"], "is there without shared_word")?;
        return Ok(None);
    }
    let rows = tables.shape("shared_word")?.first().copied().unwrap_or(0);
    if rows > limits::WORD_ROWS {
        return Err(format!("shared_word has {rows} rows, and {} are the most allowed", limits::WORD_ROWS));
    }
    let table = tables.embeddings("shared_word", &[rows, width])?;
    let weights = tables.list("shared_weight", rows)?;
    if let Some(at) = weights.iter().position(|weight| *weight < 0.0) {
        return Err(format!("shared_weight {at} is {}; weights must not be negative", weights[at]));
    }
    Ok(Some((table, weights)))
}

/// Refuses tensors that have no meaning here.
fn only(tables: &Tables<'_>, others: &[&str], problem: &str) -> Result<(), String> {
    let unfit = others.iter().find(|name| tables.has(name));
    unfit.map_or(Ok(()), |name| Err(format!("{name} {problem}; export the tables again")))
}
