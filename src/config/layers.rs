//! Layers of settings, and the layer and line that each value comes from.

use std::fmt;
use std::path::Path;

use bike_edge::events::EventSpec;
use bike_edge::io::{read_text, redact, remember_suspicious_text};
use bike_edge::recognition::Scoring;
use bike_edge::{Error, Result};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::profile::AUTO;
use super::spec_table::HELP;

/// Longest configuration file that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Where a layer comes from.
#[derive(Clone)]
pub enum Origin {
    /// A board profile inside the program.
    Profile(&'static str),
    /// A file. If `section` is given, the whole file belongs to that section.
    File {
        /// Its name in messages.
        name: String,
        /// Its text.
        text: String,
        /// The section, such as `events` for a thresholds file.
        section: Option<&'static str>,
    },
    /// The command line.
    Flags,
}

/// Tables of settings that are layered.
#[derive(Clone, Default)]
pub struct Layers {
    /// Lowest layer first.
    layers: Vec<(Origin, Table)>,
    /// What a thresholds file was made for, and its name.
    made_for: Option<(String, MadeFor)>,
}

/// What thresholds were made for: the section `[made_for]` of a thresholds file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeFor {
    /// Name of the bundle.
    pub bundle: String,
    /// What confidences were compared with.
    pub scoring: Scoring,
    /// The background categories.
    pub background: Vec<String>,
}

impl Layers {
    /// Adds a table that overrides the others.
    pub fn push(&mut self, origin: Origin, table: Table) {
        self.layers.push((origin, table));
    }

    /// Adds layers that override these.
    pub fn extend(&mut self, others: Self) {
        self.layers.extend(others.layers);
        self.made_for = others.made_for.or(self.made_for.take());
    }

    /// Reads a TOML file and adds it as a layer that overrides the others. If `section` is given, the whole file
    /// belongs to that section.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be read, or is not TOML.
    pub fn push_file(&mut self, path: &Path, section: Option<&'static str>) -> Result<()> {
        let text = read_text(path, MAX_BYTES, HELP)?;
        self.push_text(path.display().to_string(), text, section)
    }

    /// Adds the text of a TOML file as a layer that overrides the others.
    ///
    /// # Errors
    /// [`Error::Input`] with the line that is not TOML.
    pub fn push_text(&mut self, name: String, text: String, section: Option<&'static str>) -> Result<()> {
        let table: Table = toml::from_str(&text).map_err(|e| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::input(
                format!("{name}:{line}"),
                redact(&format!("{}; check the TOML syntax of this line", e.message().replace('\n', " "))),
            )
        })?;
        table.iter().for_each(|(key, value)| remember_addresses(key, value));
        let mut table = table;
        if let (Some(_), Some(made_for)) = (section, table.remove("made_for")) {
            let made_for = MadeFor::deserialize(made_for).map_err(|e| {
                let line = line_of(&text, "made_for").unwrap_or(1);
                let problem = format!("made_for: {}; make the file again with `bike-edge calibrate`", e.message());
                Error::input(format!("{name}:{line}"), redact(&problem.replace('\n', " ")))
            })?;
            self.made_for = Some((name.clone(), made_for));
        }
        let table = match section {
            Some(section) => Table::from_iter([(section.to_owned(), Value::Table(table))]),
            None => table,
        };
        self.push(Origin::File { name, text, section }, table);
        Ok(())
    }

    /// Merges all layers. Tables are merged; other values of an upper layer replace those of lower layers.
    pub fn merged(&self) -> Table {
        self.layers.iter().fold(Table::new(), |mut merged, (_, table)| {
            for (section, value) in table.clone() {
                match (merged.get_mut(&section), value) {
                    (Some(Value::Table(lower)), Value::Table(upper)) if section == "events" => {
                        EventSpec::merge_tables(lower, upper);
                    }
                    (Some(Value::Table(lower)), Value::Table(upper)) => lower.extend(upper),
                    (_, value) => drop(merged.insert(section, value)),
                }
            }
            merged
        })
    }

    /// Returns where the value at a path comes from: `file:line`, a profile or the command line. `None` if no layer has
    /// it.
    pub fn origin(&self, path: &str) -> Option<String> {
        let (origin, _) = self.layers.iter().rev().find(|(_, table)| value_at(table, path).is_some())?;
        Some(origin.place(path))
    }

    /// Returns the line of a value in a thresholds file; `None` if the value comes from elsewhere.
    pub fn line_of_thresholds(&self, path: &str) -> Option<String> {
        let (origin, _) = self.layers.iter().rev().find(|(_, table)| value_at(table, path).is_some())?;
        matches!(origin, Origin::File { section: Some(_), .. }).then(|| origin.place(path))
    }

    /// Returns the name of the thresholds file, and what it was made for if it says so.
    pub fn made_for(&self) -> Option<&(String, MadeFor)> {
        self.made_for.as_ref()
    }

    /// Returns whether the profile was chosen by the board and not by a file.
    pub fn profile_is_detected(&self) -> bool {
        let named = |table: &Table| table.get("profile").and_then(Value::as_str).is_some_and(|name| name != AUTO);
        !self.layers.iter().any(|(_, table)| named(table))
    }

    /// Turns an [`Error::Setting`] into an error at the file and line that gave the value. Errors about the command
    /// line and all other errors are returned unchanged, so that the program can name the flag.
    pub fn locate(&self, error: Error) -> Error {
        let Error::Setting { setting, problem, remedy } = error else { return error };
        let mut layers = self.layers.iter().rev();
        let own = layers.find(|(_, table)| value_at(table, &setting).is_some());
        // A value that is missing belongs to the file that should give it.
        let file = || self.layers.iter().rev().find(|(origin, _)| matches!(origin, Origin::File { section: None, .. }));
        match own.or_else(file) {
            Some((Origin::Flags, _)) | None => Error::setting(setting, problem, remedy),
            Some((origin, _)) => {
                let key = origin.own_key(&setting);
                Error::input(origin.place(&setting), redact(&format!("{key}: {problem}; {remedy}")))
            }
        }
    }
}

/// Prints only the origins, because the text of a file may contain passwords.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|(origin, _)| origin.to_string())).finish()
    }
}

impl Origin {
    /// Returns the path of a key within the file: a thresholds file has no `events` section.
    fn own_key<'a>(&self, path: &'a str) -> &'a str {
        match self {
            Self::File { section: Some(section), .. } => {
                path.strip_prefix(section).and_then(|path| path.strip_prefix('.')).unwrap_or(path)
            }
            _ => path,
        }
    }

    fn place(&self, path: &str) -> String {
        match self {
            Self::File { name, text, .. } => {
                line_of(text, self.own_key(path)).map_or_else(|| name.clone(), |line| format!("{name}:{line}"))
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::File { name, .. } => f.write_str(name),
            Self::Flags => f.write_str("the command line"),
        }
    }
}

/// Returns the value at a path such as `camera[0].rate`.
fn value_at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let parts = split(path);
    let (PathPart::Key(key), rest) = parts.split_first()? else { return None };
    rest.iter().try_fold(table.get(key)?, |value, part| match part {
        PathPart::Key(key) => value.get(key),
        PathPart::Index(index) => value.get(*index),
    })
}

/// Lets messages hide the texts that may be addresses, in whatever key they stand.
fn remember_addresses(key: &str, value: &Value) {
    remember_suspicious_text(key);
    match value {
        Value::String(text) => remember_suspicious_text(text),
        Value::Array(values) => values.iter().for_each(|value| remember_addresses("", value)),
        Value::Table(table) => table.iter().for_each(|(key, value)| remember_addresses(key, value)),
        _ => {}
    }
}

/// Returns the line, from 1, of the value at a path such as `camera[0].rate`, or of the closest part of the path that
/// the file contains. `None` if the file contains no part of the path.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let start = find(table.get_ref(), &split(path))?;
    Some(text.get(..start)?.matches('\n').count() + 1)
}

/// A part of a path.
#[derive(Debug, PartialEq, Eq)]
enum PathPart {
    Key(String),
    Index(usize),
}

/// Splits `a.b[0]."c d"` into its parts.
fn split(path: &str) -> Vec<PathPart> {
    let (mut parts, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        let end = if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            parts.push(PathPart::Key(quoted[..end].to_owned()));
            (end + 2).min(rest.len())
        } else if let Some(index) = rest.strip_prefix('[') {
            let end = index.find(']').unwrap_or(index.len());
            parts.extend(index[..end].parse().ok().map(PathPart::Index));
            (end + 2).min(rest.len())
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            parts.push(PathPart::Key(rest[..end].to_owned()));
            end
        };
        rest = rest[end..].trim_start_matches('.');
    }
    parts
}

/// Returns where the value begins, or the closest part of its path.
fn find(table: &DeTable<'_>, path: &[PathPart]) -> Option<usize> {
    let (PathPart::Key(name), rest) = path.split_first()? else { return None };
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name.as_str())?;
    Some(within(value, rest).unwrap_or(key.span().start))
}

fn within(value: &Spanned<DeValue<'_>>, path: &[PathPart]) -> Option<usize> {
    match path {
        [] => None,
        [PathPart::Index(at), rest @ ..] => {
            let item = value.get_ref().as_array()?.get(*at)?;
            Some(within(item, rest).unwrap_or(item.span().start))
        }
        path => find(value.get_ref().as_table()?, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str) -> Layers {
        let mut layers = Layers::default();
        let profile = toml::from_str("[model]\nthreads = 4\n[events]\noff = 0.1\n").unwrap();
        layers.push(Origin::Profile("rpi4"), profile);
        layers.push_text("f.toml".into(), text.into(), None).unwrap();
        layers
    }

    #[test]
    fn upper_layers_replace_values_and_origins_are_returned() {
        let layers = layers("[model]\ntau = 0.1\n[events]\non = 0.5\n");
        let merged = layers.merged();
        assert_eq!(merged["model"]["threads"].as_integer(), Some(4));
        assert_eq!(merged["events"].get("off"), None, "a lower `off` belongs to another `on`");
        assert_eq!(layers.origin("model.tau").as_deref(), Some("f.toml:2"));
        assert_eq!(layers.origin("model.threads").as_deref(), Some("profile rpi4"));
        assert_eq!(layers.origin("model.window"), None);
    }

    #[test]
    fn errors_name_the_line_of_the_value() {
        let located = |layers: &Layers, key: &str| layers.locate(Error::setting(key, "bad", "fix")).to_string();
        let file = layers("[model]\ntau = 0.1\n[[camera]]\nname = \"a\"\n[[camera]]\nrate = 1\n");
        assert_eq!(located(&file, "model.tau"), "f.toml:2: model.tau: bad; fix");
        assert_eq!(located(&file, "camera[1].rate"), "f.toml:6: camera[1].rate: bad; fix");
        assert_eq!(located(&file, "camera[0].source"), "f.toml:3: camera[0].source: bad; fix", "the section");
        assert_eq!(located(&file, "model.threads"), "profile rpi4: model.threads: bad; fix");
        let mut flags = Layers::default();
        flags.push(Origin::Flags, toml::from_str("[model]\ntau = 0\n").unwrap());
        assert_eq!(located(&flags, "model.tau"), "model.tau: bad; fix");
    }

    #[test]
    fn values_are_found_in_tables_and_lists() {
        let text = "a = 1\n[model]\n  tau = 2\n\n[[camera]]\nname = \"x\"\n[[camera]]\nrate = 0\n[events.category.\"a b\"]\non = 1\n";
        assert_eq!(line_of(text, "model.tau"), Some(3));
        assert_eq!(line_of(text, "camera[1].rate"), Some(8));
        assert_eq!(line_of(text, "events.category.\"a b\".on"), Some(10));
        assert_eq!(line_of(text, "gate.dark"), None);
    }

    #[test]
    fn a_missing_value_is_found_at_its_section() {
        let text = "[model]\ntau = 2\n[[camera]]\nname = \"x\"\n";
        assert_eq!(line_of(text, "model.lambda"), Some(1));
        assert_eq!(line_of(text, "camera[0].source"), Some(3));
    }
}
