//! Where in the file a value stands, for messages.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A step from a table to what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A key.
    Name(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// The way to a value, as `camera[0].rate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Key>);

impl KeyPath {
    /// From names joined by dots.
    pub fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|name| Key::Name(name.into())).collect())
    }

    /// A key of the camera with this number.
    pub fn camera(index: usize, key: &str) -> Self {
        Self(vec![Key::Name("camera".into()), Key::Index(index), Key::Name(key.into())])
    }

    /// The line of the value, from 1, and its text; `None` where it is not in this file.
    pub fn line<'t>(&self, text: &'t str) -> Option<(usize, &'t str)> {
        let table = DeTable::parse(text).ok()?;
        let start = find(table.get_ref(), &self.0)?;
        let line = text.get(..start)?.matches('\n').count();
        Some((line + 1, text.lines().nth(line)?.trim()))
    }
}

/// Where the last key of the way begins.
fn find(table: &DeTable<'_>, way: &[Key]) -> Option<usize> {
    let (Key::Name(name), rest) = way.split_first()? else { return None };
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name.as_str())?;
    match rest {
        [] => Some(key.span().start),
        [Key::Index(at), rest @ ..] => within(value.get_ref().as_array()?.get(*at)?, rest),
        rest => within(value, rest),
    }
}

fn within(value: &Spanned<DeValue<'_>>, way: &[Key]) -> Option<usize> {
    if way.is_empty() { Some(value.span().start) } else { find(value.get_ref().as_table()?, way) }
}

impl std::fmt::Display for KeyPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            match key {
                Key::Name(name) if at == 0 => write!(f, "{name}")?,
                Key::Name(name) => write!(f, ".{name}")?,
                Key::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_tables_and_lists() {
        let text = "a = 1\n[model]\n  tau = 2\n\n[[camera]]\nname = \"x\"\n[[camera]]\nrate = 0\n";
        assert_eq!(KeyPath::of("model.tau").line(text), Some((3, "tau = 2")));
        assert_eq!(KeyPath::camera(1, "rate").line(text), Some((8, "rate = 0")));
        assert_eq!(KeyPath::camera(0, "rate").line(text), None);
        assert_eq!(KeyPath::camera(1, "rate").to_string(), "camera[1].rate");
    }
}
