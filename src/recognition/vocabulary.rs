//! The categories to score, chosen by name from the tables of a bundle.

use std::collections::HashMap;

use super::category_set::{CategorySet, Lexicon, WordTable, bundle_error};
use super::names::{comparison_key, find_name, spoken_name};
use crate::error::{Error, Result};
use crate::table::{RowSet, Table, TableId};

/// The categories to score. Tables are shared with the bundle, not copied.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    names: Vec<String>,
    pub(super) tables: Vec<CategoryTables>,
    pub(super) rows: Vec<CategoryRow>,
    /// The background categories, in the order in which they were named.
    background: Vec<usize>,
}

/// The tables of a category set or of a lexicon; a category is a row of them.
#[derive(Clone, Debug)]
pub(super) struct CategoryTables {
    /// Category embeddings, `[K, D]`.
    pub category: Table,
    pub words: WordTable,
    /// Category embeddings in the space of the attribute branch, `[K, Dq]`.
    pub attribute: Table,
    /// Whether the attribute branch was trained, so that `attribute` is not one of the other tables.
    pub attribute_is_trained: bool,
}

/// Index in [`Vocabulary::tables`] of the bundle's category set.
const CATEGORY_SET: usize = 0;
/// Index in [`Vocabulary::tables`] of the lexicon, or of the encoded texts.
const LEXICON: usize = 1;

/// The row of a category.
#[derive(Clone, Copy, Debug)]
pub(super) struct CategoryRow {
    /// [`CATEGORY_SET`] or [`LEXICON`].
    pub table_set: usize,
    /// Row in these tables.
    pub row: usize,
}

impl From<&CategorySet> for CategoryTables {
    fn from(set: &CategorySet) -> Self {
        Self {
            category: set.category.clone(),
            words: set.words.clone(),
            attribute: set.attribute.as_ref().unwrap_or(&set.category).clone(),
            attribute_is_trained: set.attribute.is_some(),
        }
    }
}

impl From<&Lexicon> for CategoryTables {
    fn from(lexicon: &Lexicon) -> Self {
        Self {
            category: lexicon.sentences().clone(),
            words: lexicon.words.clone(),
            attribute: lexicon.sentence_attribute.as_ref().unwrap_or(lexicon.sentences()).clone(),
            attribute_is_trained: lexicon.sentence_attribute.is_some(),
        }
    }
}

/// The key of this setting in errors.
const SETTING: &str = "categories";

/// Largest number of characters of a name that errors show and that similar names are searched for.
const MAX_NAME: usize = 200;

/// Largest number of texts that are encoded as categories; each takes 160 kB at D = 512, and a second on a small board.
const MAX_TEXTS: usize = 1024;

/// Longest text that is encoded as a category, in bytes.
const MAX_TEXT: usize = 512;

impl Vocabulary {
    /// Chooses all categories of a bundle.
    pub fn from_categories(set: &CategorySet) -> Self {
        Self {
            names: set.names.clone(),
            tables: vec![set.into()],
            rows: (0..set.category.rows()).map(|row| CategoryRow { table_set: CATEGORY_SET, row }).collect(),
            background: Vec::new(),
        }
    }

    /// Chooses categories by name, in the order of `names`. A name is looked up in `set`, then among the phrases of
    /// `lexicon`. Spellings of a name are equal ([`super::spoken_name`]), unless entries differ only in spelling: then an
    /// exact match wins.
    ///
    /// # Errors
    /// Returns [`Error::Setting`] if there are no names, or names are given twice or not found. The error lists all that
    /// are not found, each with the most similar names.
    pub fn select(names: &[String], set: &CategorySet, lexicon: Option<&Lexicon>) -> Result<Self> {
        let phrases = lexicon.map_or(&[][..], |lexicon| &lexicon.phrases);
        let mut rows = Vec::with_capacity(names.len());
        let mut chosen = Vec::with_capacity(names.len());
        let mut unknown = Vec::new();
        for (name, found) in names.iter().zip(find(names, [&set.names, phrases])?) {
            match found {
                Some((row, entry)) => {
                    rows.push(row);
                    chosen.push(entry.to_owned());
                }
                None => unknown.push(name.as_str()),
            }
        }
        if !unknown.is_empty() {
            return Err(not_found(&unknown, &set.names, phrases));
        }
        let mut tables = vec![CategoryTables::from(set)];
        tables.extend(lexicon.filter(|_| rows.iter().any(|row| row.table_set == LEXICON)).map(CategoryTables::from));
        Ok(Self { names: chosen, tables, rows, background: Vec::new() })
    }

    /// Chooses categories by name or any other text, in the order of `names`. A name is looked up in `set` as in
    /// [`Self::select`]. `encode` encodes the other texts as a category set, in their order, as they are read
    /// ([`super::spoken_name`]).
    ///
    /// # Errors
    /// Returns [`Error::Setting`] if there are no names, a name is given twice, or there are too many or unprintable
    /// texts. Also returns the errors of `encode`. Logs a warning for a text that is nearly a category or a phrase of
    /// `lexicon`, because it may be misspelt.
    pub fn from_texts(
        names: &[String],
        set: &CategorySet,
        lexicon: Option<&Lexicon>,
        encode: &mut dyn FnMut(&[&str]) -> Result<CategorySet>,
    ) -> Result<Self> {
        let found = find(names, [&set.names, &[]])?;
        let spoken: Vec<String> = names.iter().map(|name| spoken_name(name)).collect();
        let others = spoken.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(name, _)| name.as_str());
        let texts: Vec<&str> = others.collect();
        check_texts(&texts)?;
        warn_of_misspelt(&texts, &set.names, lexicon.map_or(&[], |lexicon| &lexicon.phrases));
        let mut tables = vec![CategoryTables::from(set)];
        if !texts.is_empty() {
            let encoded = encode(&texts)?;
            if encoded.category.rows() != texts.len() {
                return Err(Error::Internal("the text tower gave a different number of categories than texts".into()));
            }
            tables.push(CategoryTables::from(&encoded));
        }
        let mut next = 0..;
        let row = |found: Option<(CategoryRow, &str)>| {
            let encoded = || CategoryRow { table_set: LEXICON, row: next.next().unwrap_or(0) };
            found.map_or_else(encoded, |(row, _)| row)
        };
        // A text keeps its name, by which other settings refer to it.
        let chosen =
            names.iter().zip(&found).map(|(name, found)| found.map_or(name.trim(), |(_, entry)| entry).to_owned());
        let names = chosen.collect();
        Ok(Self { names, tables, rows: found.into_iter().map(row).collect(), background: Vec::new() })
    }

    /// Returns the names of the categories, in the order of all scores.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns K, the number of categories.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there is no category.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Declares the categories with these names the background, which means "nothing of interest". Names that are not
    /// among the categories are ignored.
    #[must_use]
    pub fn with_background(mut self, names: &[String]) -> Self {
        self.background = names.iter().filter_map(|name| find_name(name, &self.names)).collect();
        self
    }

    /// Returns the indices of the background categories, in the order in which they were named.
    pub fn background(&self) -> &[usize] {
        &self.background
    }

    /// Returns D, the width of category embeddings.
    pub fn dim(&self) -> usize {
        self.tables.first().map_or(0, |tables| tables.category.width())
    }

    /// Checks that there are categories, each with a name, and that tables of one space have the same width.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] otherwise.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_empty() || self.names.len() != self.len() {
            return Err(bundle_error("categories.txt: there must be one name per category, and at least one"));
        }
        let width = self.dim();
        let other =
            self.tables.iter().map(|tables| tables.category.width()).find(|other| *other != width || width == 0);
        other.map_or(Ok(()), |other| {
            Err(bundle_error(format!(
                "categories are {width} numbers wide and phrases {other}; phrases need a `sentence` table of {width} to \
                 be used as categories"
            )))
        })
    }

    /// Checks that the word tables fit the categories.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if a shape does not fit.
    pub(super) fn check_words(&self) -> Result<()> {
        let width = self.dim();
        self.tables.iter().try_for_each(|tables| tables.words.check(tables.category.rows(), width))
    }

    /// Adds to `rows` the row of each category in one of its tables, in the order of the categories.
    pub(super) fn add_rows(&self, rows: &mut RowSet, table: impl Fn(&CategoryTables) -> &Table) -> Result<()> {
        let ids: Vec<TableId> = self.tables.iter().map(|tables| rows.add_table(table(tables))).collect();
        self.rows.iter().try_for_each(|row| add_row(rows, ids[row.table_set], row.row))
    }
}

/// Adds one row of a table.
pub(super) fn add_row(rows: &mut RowSet, table: TableId, row: usize) -> Result<()> {
    rows.add(table, row, 1).map(drop).ok_or_else(|| bundle_error(format!("a table has no row {row}")))
}

/// Finds each name in the first of the lists that has it: those of [`CATEGORY_SET`] and [`LEXICON`].
///
/// # Errors
/// Returns [`Error::Setting`] if there are no names, or a name is empty or given twice.
fn find<'a>(names: &[String], lists: [&'a [String]; 2]) -> Result<Vec<Option<(CategoryRow, &'a str)>>> {
    let mut wanted: HashMap<String, usize> = HashMap::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if comparison_key(name).is_empty() {
            return Err(Error::setting(SETTING, "a name is empty", "remove it"));
        }
        if wanted.insert(comparison_key(name), index).is_some() {
            let name = shortened(name);
            return Err(Error::setting(SETTING, format!("\"{name}\" is named twice"), "remove one"));
        }
    }
    if names.is_empty() {
        return Err(Error::setting(SETTING, "there are no names", "give at least one"));
    }
    let mut found: Vec<Option<(CategoryRow, &str)>> = vec![None; names.len()];
    for (table_set, entries) in lists.into_iter().enumerate() {
        for (row, entry) in entries.iter().enumerate() {
            let Some(&index) = wanted.get(&comparison_key(entry)) else { continue };
            let better = match found[index] {
                None => true,
                Some((earlier_row, earlier)) => {
                    let name = names[index].trim();
                    earlier_row.table_set == table_set && earlier != name && entry == name
                }
            };
            if better {
                found[index] = Some((CategoryRow { table_set, row }, entry));
            }
        }
    }
    Ok(found)
}

/// Checks the number and length of texts, which cost memory and time, and that they can be printed.
fn check_texts(texts: &[&str]) -> Result<()> {
    if texts.len() > MAX_TEXTS {
        let count = texts.len();
        return Err(Error::setting(
            SETTING,
            format!("{count} names are not categories of the bundle, but its text tower encodes at most {MAX_TEXTS}"),
            "export a bundle with them (`python -m bike_export relabel`)",
        ));
    }
    let invalid = |text: &&&str| text.len() > MAX_TEXT || text.contains(|c: char| c.is_control() || c == '\u{feff}');
    texts.iter().find(invalid).map_or(Ok(()), |text| {
        let shown: String = text.escape_debug().take(MAX_NAME).collect();
        let problem = format!("\"{shown}\" has more than {MAX_TEXT} bytes or a control character");
        Err(Error::setting(SETTING, problem, "write it as one short line"))
    })
}

/// Number of texts that are compared with all known names, which takes a millisecond each.
const MAX_COMPARED: usize = 32;

/// Logs a warning for each text that differs from a known name by one letter, or two that are swapped.
fn warn_of_misspelt(texts: &[&str], categories: &[String], phrases: &[String]) {
    for text in texts.iter().filter(|text| text.chars().count() >= 5).take(MAX_COMPARED) {
        let lower = text.to_lowercase();
        let near = |name: &&String| {
            name.len().abs_diff(lower.len()) <= 4 && strsim::damerau_levenshtein(&lower, &name.to_lowercase()) == 1
        };
        if let Some(known) = categories.iter().chain(phrases).find(near) {
            log::warn!("`{}` is read as it is written; the bundle knows `{known}`", shortened(text));
        }
    }
}

/// Returns at most [`MAX_NAME`] characters of a name, for errors.
fn shortened(name: &str) -> String {
    name.trim().chars().take(MAX_NAME).collect()
}

/// Number of unknown names that an error lists.
const MAX_UNKNOWN: usize = 10;

/// Returns the error for names that are neither a category nor a phrase.
fn not_found(names: &[&str], categories: &[String], phrases: &[String]) -> Error {
    let nearest = |name: &str| {
        let similar = similar_names(&spoken_name(name), categories.iter().chain(phrases).map(String::as_str));
        similar.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    };
    if let [name] = names {
        let name = shortened(name);
        let remedy = match nearest(&name) {
            similar if similar.is_empty() => "search them with `bike-edge bundle inspect --lexicon PATTERN`".into(),
            similar => format!("nearest: {similar}"),
        };
        return Error::setting(
            SETTING,
            format!("\"{name}\" is not among the bundle's categories and phrases"),
            format!("{remedy}; a bundle exported with --keep-text accepts any text"),
        );
    }
    let listed = names.iter().take(MAX_UNKNOWN).map(|name| {
        let name = shortened(name);
        match similar_names(&spoken_name(&name), categories.iter().chain(phrases).map(String::as_str)).first() {
            Some(similar) => format!("\"{name}\" (nearest: \"{similar}\")"),
            None => format!("\"{name}\""),
        }
    });
    let mut listed = listed.collect::<Vec<_>>().join(", ");
    if names.len() > MAX_UNKNOWN {
        listed += &format!(" and {} more", names.len() - MAX_UNKNOWN);
    }
    Error::setting(
        SETTING,
        format!("{} names are not among the bundle's categories and phrases: {listed}", names.len()),
        "remove or replace them; a bundle exported with --keep-text accepts any text",
    )
}

/// Largest number of similar names that an error lists.
const MAX_SIMILAR: usize = 5;

/// Smallest similarity of a name that an error lists.
const MIN_SIMILARITY: f64 = 0.3;

/// Returns the entries that are most similar to `name`, most similar first, at most five. Similarity is the larger of
/// two measures plus half the smaller: spelling (edit distance, in which swapped letters count once) and words (the
/// share of all words that both have).
pub fn similar_names<'a>(name: &str, entries: impl Iterator<Item = &'a str>) -> heapless::Vec<&'a str, MAX_SIMILAR> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split_whitespace().collect();
    let mut best: heapless::Vec<(f64, &str), MAX_SIMILAR> = heapless::Vec::new();
    for entry in entries {
        let similarity = similarity(&name, &words, &entry.to_lowercase());
        let position = best.iter().position(|(other, _)| similarity > *other).unwrap_or(best.len());
        if similarity < MIN_SIMILARITY || position >= MAX_SIMILAR || best.iter().any(|(_, other)| *other == entry) {
            continue;
        }
        if best.is_full() {
            best.pop();
        }
        // This cannot fail, because the last entry was removed if it was full.
        let _ = best.insert(position, (similarity, entry));
    }
    best.into_iter().map(|(_, entry)| entry).collect()
}

/// Returns the similarity of a name and an entry: 0 if they have nothing in common, 1.5 if they are equal.
fn similarity(name: &str, words: &[&str], entry: &str) -> f64 {
    let spelling = strsim::normalized_damerau_levenshtein(name, entry);
    let (mut shared, mut all) = (0.0, words.len() as f64);
    for word in entry.split_whitespace() {
        if words.contains(&word) {
            shared += 1.0;
        } else {
            all += 1.0;
        }
    }
    let overlap = shared / f64::max(all, 1.0);
    f64::max(spelling, overlap) + f64::min(spelling, overlap) / 2.0
}
