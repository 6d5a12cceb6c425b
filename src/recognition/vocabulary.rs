//! What can be answered with: the tables of a bundle, and the categories chosen from them.

use std::collections::HashMap;

use super::bundle_fault;
use super::nearest::nearest;
use super::words::WordTable;
use crate::error::{Error, Result};
use crate::table::Table;

/// The categories a model answers with.
#[derive(Clone, Debug)]
pub struct CategorySet {
    /// K names.
    pub names: Vec<String>,
    /// Category embeddings c_k, `[K, D]`, rows of length 1.
    pub category: Table,
    /// Word embeddings.
    pub words: WordTable,
    /// Categories as the trained attribute branch sees them, `[K, Dq]`; `category` where there is none.
    pub attribute: Option<Table>,
}

/// Attribute phrases; each can also be used as a category.
#[derive(Clone, Debug)]
pub struct Lexicon {
    /// N phrases.
    pub phrases: Vec<String>,
    /// Phrases in the space of the attribute encoder, `[N, Da]`, rows of length 1.
    pub retrieval: Table,
    /// Phrases in the space of the categories, `[N, D]`; `retrieval` where there is none.
    pub sentence: Option<Table>,
    /// Words to spot when a phrase is used as a category, with N for K.
    pub words: WordTable,
    /// As [`CategorySet::attribute`], `[N, Dq]`.
    pub sentence_attribute: Option<Table>,
    /// Mean of the rows of `sentence`, `[D]`.
    pub sentence_mean: Option<Vec<f32>>,
}

impl Lexicon {
    /// Phrases in the space of the categories, `[N, D]`.
    pub fn sentences(&self) -> &Table {
        self.sentence.as_ref().unwrap_or(&self.retrieval)
    }
}

/// The categories to answer with, chosen from the tables of a bundle. Tables are shared, not copied.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    names: Vec<String>,
    pub(super) sources: Vec<Source>,
    pub(super) picks: Vec<Pick>,
}

/// Tables that categories are chosen from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub category: Table,
    pub words: WordTable,
    /// Categories as the attribute branch sees them.
    pub attribute: Table,
    /// True where `attribute` is a table of its own.
    pub attribute_is_own: bool,
}

/// One category: a row of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    pub source: usize,
    pub row: usize,
}

impl From<&CategorySet> for Source {
    fn from(set: &CategorySet) -> Self {
        Self {
            category: set.category.clone(),
            words: set.words.clone(),
            attribute: set.attribute.as_ref().unwrap_or(&set.category).clone(),
            attribute_is_own: set.attribute.is_some(),
        }
    }
}

impl From<&Lexicon> for Source {
    fn from(lexicon: &Lexicon) -> Self {
        Self {
            category: lexicon.sentences().clone(),
            words: lexicon.words.clone(),
            attribute: lexicon.sentence_attribute.as_ref().unwrap_or(lexicon.sentences()).clone(),
            attribute_is_own: lexicon.sentence_attribute.is_some(),
        }
    }
}

/// The longest name that neighbours are looked for.
const MAX_NAME: usize = 200;

/// The most texts that are read for categories; each takes 160 kB at D = 512, and a second on a small board.
const MAX_TEXTS: usize = 1024;

/// The longest text that is read for a category, in bytes.
const MAX_TEXT: usize = 512;

impl Vocabulary {
    /// All of a model's own categories.
    pub fn from_categories(set: &CategorySet) -> Self {
        Self {
            names: set.names.clone(),
            sources: vec![set.into()],
            picks: (0..set.category.rows()).map(|row| Pick { source: 0, row }).collect(),
        }
    }

    /// Categories by name, in the order given: those of `set` first, then phrases of `lexicon`. Case and surrounding
    /// space do not matter, unless two entries differ in case alone: then the one written exactly so is taken.
    ///
    /// # Errors
    /// Where there are no names, one is given twice, or one is unknown; the nearest known ones are named.
    pub fn select(names: &[String], set: &CategorySet, lexicon: Option<&Lexicon>) -> Result<Self> {
        let phrases = lexicon.map_or(&[][..], |lexicon| &lexicon.phrases);
        let mut picks = Vec::with_capacity(names.len());
        let mut chosen = Vec::with_capacity(names.len());
        for (name, found) in names.iter().zip(find(names, [&set.names, phrases])?) {
            let Some((pick, known)) = found else { return Err(unknown(name, &set.names, phrases)) };
            picks.push(pick);
            chosen.push(known.to_owned());
        }
        let mut sources = vec![Source::from(set)];
        sources.extend(lexicon.filter(|_| picks.iter().any(|pick| pick.source == 1)).map(Source::from));
        Ok(Self { names: chosen, sources, picks })
    }

    /// Categories by name or any other text, in the order given: those of `set` as [`Self::select`] finds them, all
    /// others by `read`, which gets the texts that no category is called by and makes a set of them, in their order.
    ///
    /// # Errors
    /// Where there are no names, one is given twice, texts are too many or cannot be printed; as `read`.
    pub fn read(
        names: &[String],
        set: &CategorySet,
        read: &mut dyn FnMut(&[&str]) -> Result<CategorySet>,
    ) -> Result<Self> {
        let found = find(names, [&set.names, &[]])?;
        let others = names.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(name, _)| name.trim());
        let texts: Vec<&str> = others.collect();
        check_texts(&texts)?;
        let mut sources = vec![Source::from(set)];
        if !texts.is_empty() {
            let made = read(&texts)?;
            if made.category.rows() != texts.len() {
                return Err(Error::Internal("the text tower made another number of categories than texts".into()));
            }
            sources.push(Source::from(&made));
        }
        let mut rows = 0..;
        let pick = |found: Option<(Pick, &str)>| {
            found.map_or_else(|| Pick { source: 1, row: rows.next().unwrap_or(0) }, |(pick, _)| pick)
        };
        let chosen =
            names.iter().zip(&found).map(|(name, found)| found.map_or(name.trim(), |(_, known)| known).to_owned());
        let names = chosen.collect();
        Ok(Self { names, sources, picks: found.into_iter().map(pick).collect() })
    }

    /// Names of the categories, in the order of all scores.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// K, the number of categories.
    pub fn len(&self) -> usize {
        self.picks.len()
    }

    /// True where there is no category.
    pub fn is_empty(&self) -> bool {
        self.picks.is_empty()
    }

    /// D, the width of category embeddings.
    pub fn dim(&self) -> usize {
        self.sources.first().map_or(0, |source| source.category.width())
    }

    /// # Errors
    /// Where there are no categories or tables of one space differ in width.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_empty() || self.names.len() != self.len() {
            return Err(bundle_fault("categories.txt: there must be one name a category, and at least one"));
        }
        let width = self.dim();
        let other =
            self.sources.iter().map(|source| source.category.width()).find(|other| *other != width || width == 0);
        other.map_or(Ok(()), |other| {
            Err(bundle_fault(format!(
                "categories are {width} numbers wide and phrases {other}; phrases need a `sentence` table of {width} to be \
                 categories"
            )))
        })
    }

    /// # Errors
    /// Where word tables do not fit the categories.
    pub(super) fn check_words(&self) -> Result<()> {
        let width = self.dim();
        self.sources.iter().try_for_each(|source| source.words.check(source.category.rows(), width))?;
        Ok(())
    }
}

/// Where each name is known: in the first of the lists that has it.
///
/// # Errors
/// Where there are no names, or one is empty or given twice.
fn find<'a>(names: &[String], lists: [&'a [String]; 2]) -> Result<Vec<Option<(Pick, &'a str)>>> {
    let mut wanted: HashMap<String, usize> = HashMap::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        if name.trim().is_empty() {
            return Err(Error::Usage("--categories: a name is empty; leave it out".into()));
        }
        if wanted.insert(key(name), place).is_some() {
            let name = shortened(name);
            return Err(Error::Usage(format!("--categories: \"{name}\" is named twice; leave one out")));
        }
    }
    if names.is_empty() {
        return Err(Error::Usage("--categories: no names; give at least one".into()));
    }
    let mut found: Vec<Option<(Pick, &str)>> = vec![None; names.len()];
    for (source, known) in lists.into_iter().enumerate() {
        for (row, known) in known.iter().enumerate() {
            let Some(&place) = wanted.get(&key(known)) else { continue };
            let better = match found[place] {
                None => true,
                Some((pick, earlier)) => {
                    let asked = names[place].trim();
                    pick.source == source && earlier != asked && known == asked
                }
            };
            if better {
                found[place] = Some((Pick { source, row }, known));
            }
        }
    }
    Ok(found)
}

/// Texts become rows of memory and of time, and are printed.
fn check_texts(texts: &[&str]) -> Result<()> {
    if texts.len() > MAX_TEXTS {
        return Err(Error::Usage(format!(
            "--categories: {} names are no category of the bundle, and {MAX_TEXTS} are the most that its text tower \
             reads; export a bundle with them (`python -m bike_export relabel`)",
            texts.len()
        )));
    }
    let unfit = |text: &&&str| text.len() > MAX_TEXT || text.contains(|c: char| c.is_control() || c == '\u{feff}');
    texts.iter().find(unfit).map_or(Ok(()), |text| {
        let shown: String = text.escape_debug().take(MAX_NAME).collect();
        let problem = format!("has more than {MAX_TEXT} bytes or a control character; write it as one short line");
        Err(Error::Usage(format!("--categories: \"{shown}\" {problem}")))
    })
}

/// What makes two names the same.
fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

fn shortened(name: &str) -> String {
    name.trim().chars().take(MAX_NAME).collect()
}

fn unknown(name: &str, categories: &[String], phrases: &[String]) -> Error {
    let name = shortened(name);
    let near = nearest(&name, categories.iter().chain(phrases).map(String::as_str));
    let remedy = if near.is_empty() {
        "search them with `bike-edge bundle inspect --lexicon PATTERN`".into()
    } else {
        let near: Vec<String> = near.iter().map(|near| format!("\"{near}\"")).collect();
        format!("nearest: {}", near.join(", "))
    };
    Error::Usage(format!(
        "--categories: \"{name}\" is not among the bundle's categories and phrases; {remedy}; a bundle exported \
         with --keep-text takes any text"
    ))
}
