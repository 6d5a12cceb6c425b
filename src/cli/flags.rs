//! Parses the flags that override settings into a table of the configuration's keys.

use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::Path;

use bike_edge::{Error, Result};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint, value_parser};
use toml::{Table, Value};

use super::flag_groups::{ALL_GROUPS, Flag, FlagGroup, ValueKind};
use crate::config::builtin_default;

/// Returns the flag of a setting, such as `--tau` for `tau` or `model.tau`.
pub fn flag_of(setting: &str) -> Option<String> {
    // One flag serves names and a file of names.
    let setting = if setting.ends_with("categories_file") { "categories" } else { setting };
    let is_named =
        |flag: &&Flag| flag.key == setting || flag.key.rsplit_once('.').is_some_and(|(_, key)| key == setting);
    let flag = ALL_GROUPS.iter().flat_map(|group| group.flags).find(is_named)?;
    Some(format!("--{}", flag.name))
}

/// Replaces settings in backticks by their flags: `` `timeout_s` `` becomes `--io-timeout`, and `` `size = 1x1` ``
/// becomes `--camera-size 1x1`.
pub fn name_flags(text: &str) -> String {
    // Keys of other sections appear in messages about files, which have no flags.
    let flags = ALL_GROUPS.iter().flat_map(|group| group.flags);
    let keys = flags.filter_map(|flag| flag.key.strip_prefix("camera."));
    keys.fold(text.to_owned(), |text, key| {
        let Some(flag) = flag_of(key) else { return text };
        // A key without an underscore and without a value is a word that may mean something else.
        let text = if key.contains('_') { text.replace(&format!("`{key}`"), &flag) } else { text };
        let assignment = format!("`{key} = ");
        match text.split_once(&assignment).and_then(|(before, rest)| Some((before, rest.split_once('`')?))) {
            Some((before, (value, after))) => format!("{before}{flag} {value}{after}"),
            None => text,
        }
    })
}

/// The groups of a command.
pub trait FlagSet {
    /// In the order of `--help`.
    const GROUPS: &'static [&'static FlagGroup];
}

/// The settings flags of a command that were given.
#[derive(Clone, Debug)]
pub struct Overrides<S> {
    given: Vec<(&'static Flag, Vec<OsString>)>,
    set: PhantomData<S>,
}

impl<S: FlagSet> Overrides<S> {
    /// Returns the given values as a table of the configuration's keys.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value that is not UTF-8, or names that are missing.
    pub fn table(&self) -> Result<Table> {
        let mut table = Table::new();
        for (flag, values) in &self.given {
            let (section, key) = flag.key.split_once('.').unwrap_or(("", flag.key));
            let (key, value) = flag.value(key, values)?;
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(key.to_owned(), value);
            }
        }
        Ok(table)
    }
}

impl Flag {
    /// Converts the given values; the key differs for a list in a file.
    fn value(&self, key: &'static str, given: &[OsString]) -> Result<(&'static str, Value)> {
        let texts: Option<Vec<&str>> = given.iter().map(|text| text.to_str()).collect();
        let texts = texts.ok_or_else(|| Error::setting(self.key, "not valid UTF-8", "give a path or text in UTF-8"))?;
        let first = texts.first().copied().unwrap_or_default();
        let list = |names: &[&str]| Value::Array(names.iter().map(|name| Value::from(*name)).collect());
        Ok(match self.value {
            ValueKind::Number(_) | ValueKind::OneOf(..) => (key, number_or_text(first)),
            ValueKind::Text(_) | ValueKind::Path(_) => (key, first.into()),
            ValueKind::Several(_) => (key, list(&texts)),
            ValueKind::Switch(value) => (key, value.into()),
            ValueKind::Names => (key, list(&split_names(first))),
            ValueKind::NamesOrFile if Path::new(first).is_file() => ("categories_file", first.into()),
            ValueKind::NamesOrFile => {
                let names = split_names(first);
                let is_path =
                    !first.contains(',') && (first.contains('/') || first.ends_with(".txt") || first.ends_with(".csv"));
                let problem = match (is_path, names.is_empty()) {
                    (true, _) => format!("there is no file {first}"),
                    (false, true) => format!("{first:?} contains no name"),
                    (false, false) => return Ok((key, list(&names))),
                };
                return Err(Error::setting(self.key, problem, "give names separated by commas, or a file"));
            }
        })
    }

    fn arg(&self, heading: &'static str) -> Arg {
        let arg = Arg::new(self.name).long(self.name).help_heading(heading).help(self.help_text());
        let arg = match self.value {
            ValueKind::Number(name) => arg.value_name(name).allow_negative_numbers(true),
            ValueKind::Text(name) => arg.value_name(name).allow_hyphen_values(true),
            ValueKind::Path(name) => arg.value_name(name).value_hint(ValueHint::AnyPath),
            ValueKind::OneOf(name, choices) => return arg.value_name(name).value_parser(choices.to_vec()),
            ValueKind::Names => arg.value_name("A,B,C"),
            ValueKind::NamesOrFile => arg.value_name("FILE|A,B,C").value_hint(ValueHint::FilePath),
            ValueKind::Several(name) => arg.value_name(name).allow_hyphen_values(true).action(ArgAction::Append),
            ValueKind::Switch(_) => return arg.action(ArgAction::SetTrue),
        };
        arg.value_parser(value_parser!(OsString))
    }

    /// Returns the help with the default, which comes from the spec unless the text names it.
    fn help_text(&self) -> String {
        match (builtin_default(self.key), self.value) {
            (Some(default), form) if !self.help.contains("[default") && !matches!(form, ValueKind::Switch(_)) => {
                format!("{} [default: {default}]", self.help)
            }
            _ => self.help.to_owned(),
        }
    }

    fn given(&'static self, matches: &mut ArgMatches) -> Option<(&'static Self, Vec<OsString>)> {
        match self.value {
            ValueKind::Switch(_) => matches.remove_one::<bool>(self.name).filter(|on| *on).map(|_| (self, Vec::new())),
            ValueKind::OneOf(..) => matches.remove_one::<String>(self.name).map(|text| (self, vec![text.into()])),
            _ => matches.remove_many::<OsString>(self.name).map(|values| (self, values.collect())),
        }
    }
}

/// Numbers become TOML numbers, so that the spec checks type and range; anything else stays a text.
fn number_or_text(text: &str) -> Value {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(whole), _) => whole.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    }
}

fn split_names(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

impl<S: FlagSet> Args for Overrides<S> {
    fn augment_args(command: Command) -> Command {
        let groups = S::GROUPS.iter();
        let args = groups.flat_map(|group| group.flags.iter().map(|flag| flag.arg(group.heading)));
        command.args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: FlagSet> FromArgMatches for Overrides<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let flags = S::GROUPS.iter().flat_map(|group| group.flags);
        Ok(Self { given: flags.filter_map(|flag| flag.given(matches)).collect(), set: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandSettings;

    #[test]
    fn settings_are_found_by_key_and_path() {
        assert_eq!(flag_of("tau").as_deref(), Some("--tau"));
        assert_eq!(flag_of("events.min_length_s").as_deref(), Some("--min-length"));
        assert_eq!(flag_of("masks").as_deref(), Some("--mask"));
        assert_eq!(flag_of("model.categories_file").as_deref(), Some("--categories"));
        assert_eq!(flag_of("metrics.path"), None);
    }

    #[test]
    fn keys_in_backticks_become_flags() {
        assert_eq!(name_flags("no data; raise `timeout_s`"), "no data; raise --io-timeout");
        assert_eq!(name_flags("the line `on` has no name"), "the line `on` has no name");
        assert_eq!(
            name_flags("no `format = mjpeg` `size = 1x1`; see `list`"),
            "no --camera-format mjpeg --camera-size 1x1; see `list`"
        );
    }

    #[test]
    fn every_flag_names_its_default() {
        for group in ALL_GROUPS {
            for flag in
                group.flags.iter().filter(|flag| !matches!(flag.value, ValueKind::Switch(_) | ValueKind::Several(_)))
            {
                assert!(flag.help_text().contains("[default: "), "--{}", flag.name);
            }
        }
    }

    #[test]
    fn the_choices_of_a_flag_are_those_of_its_setting() {
        for flag in ALL_GROUPS.iter().flat_map(|group| group.flags) {
            let ValueKind::OneOf(_, choices) = flag.value else { continue };
            let resolve = |choice: &str| {
                let (section, key) = flag.key.split_once('.').unwrap();
                let table = Table::from_iter([(key.to_owned(), number_or_text(choice))]);
                let flags = Table::from_iter([(section.to_owned(), Value::Table(table))]);
                CommandSettings::resolve(flags, None)
            };
            for choice in choices {
                assert!(resolve(choice).is_ok(), "--{} {choice}", flag.name);
            }
            let other = if choices.iter().all(|choice| choice.parse::<u32>().is_ok()) { "7" } else { "none of them" };
            let problem = resolve(other).unwrap_err().to_string();
            for choice in choices {
                assert!(problem.contains(choice), "--{}: {choice} is not in: {problem}", flag.name);
            }
        }
    }

    #[test]
    fn numbers_stay_numbers_and_texts_texts() {
        assert_eq!(number_or_text("2"), Value::Integer(2));
        assert_eq!(number_or_text(".5"), Value::Float(0.5));
        assert_eq!(number_or_text("two"), Value::String("two".into()));
    }
}
