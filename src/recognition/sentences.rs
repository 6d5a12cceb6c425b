//! Attribute sentences through a text tower, each read once while it is remembered.

use std::collections::VecDeque;
use std::sync::Arc;

use super::attributes::{Compose, Phrases};
use super::spec::MAX_ATTRIBUTES;
use super::vocabulary::Lexicon;
use crate::error::{Error, Result};

/// Sentences remembered: a stream comes back to few, and one takes 2 kB at D = 512.
const REMEMBERED: usize = 256;

/// A sentence by the places of its phrases, in their order.
type Key = heapless::Vec<u32, MAX_ATTRIBUTES>;

/// Reads a sentence of these phrases, nearest first, into `out`, `[D]`.
type Read = Box<dyn FnMut(&[&str], &mut [f32]) -> Result<()>>;

/// Makes sentences of a lexicon's phrases; those that were made last are remembered.
pub struct Sentences {
    lexicon: Arc<Lexicon>,
    read: Read,
    /// The last used first.
    remembered: VecDeque<(Key, Vec<f32>)>,
}

impl Sentences {
    /// `read` gets the phrases by name, nearest first, and fills in their sentence, `[D]`, of any length.
    pub fn new(lexicon: Arc<Lexicon>, read: Read) -> Self {
        Self { lexicon, read, remembered: VecDeque::new() }
    }
}

impl Compose for Sentences {
    fn compose(&mut self, phrases: Phrases<'_>, out: &mut [f32]) -> Result<()> {
        let key: Key = phrases.nearest.iter().take(MAX_ATTRIBUTES).map(|(place, _)| *place).collect();
        if let Some(at) = self.remembered.iter().position(|(known, _)| *known == key)
            && let Some(known) = self.remembered.remove(at)
        {
            out.copy_from_slice(&known.1);
            self.remembered.push_front(known);
            return Ok(());
        }
        let name = |place: &u32| self.lexicon.phrases.get(*place as usize).map(String::as_str);
        let names: Option<Vec<&str>> = key.iter().map(name).collect();
        let names = names.ok_or_else(|| Error::Internal("a phrase was found that the lexicon does not name".into()))?;
        (self.read)(&names, out)?;
        self.remembered.truncate(REMEMBERED - 1);
        self.remembered.push_front((key, out.to_vec()));
        Ok(())
    }
}
