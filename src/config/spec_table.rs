//! Reads specs from TOML tables. Errors name the key.

use bike_edge::events::{CategorySpec, EventSpec};
use bike_edge::io::HIDDEN;
use bike_edge::{Error, Result};
use serde::de::value::Error as PlainError;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use toml::{Table, Value};

/// Ends the message of any configuration error other than a value out of range.
pub(super) const HELP: &str = "docs/configuration.md lists every key";

/// The keys that belong to no section.
pub(super) const TOP_KEYS: [&str; 2] = ["profile", "thresholds"];

/// Reads a spec from the table of a section.
///
/// # Errors
/// [`Error::Setting`] with the path of the key, such as `model.tau`.
pub(super) fn read_spec<T: DeserializeOwned>(section: &str, table: &Table) -> Result<T> {
    T::deserialize(table.clone()).map_err(|error| {
        // All keys of a spec are optional, so each key can be tried separately.
        let key_error = |(key, value): (&String, &Value)| {
            let one = Table::from_iter([(key.clone(), value.clone())]);
            T::deserialize(one).err().map(|error| (format!("{section}.{key}"), error))
        };
        let (key, error) = table.iter().find_map(key_error).unwrap_or((section.to_owned(), error));
        let (problem, remedy) = explain(&error.message().replace('\n', " "));
        Error::setting(key, problem, remedy)
    })
}

/// Turns a message of serde into a problem and a remedy in words that do not depend on serde or Rust's types.
fn explain(message: &str) -> (String, String) {
    // Errors of this crate's own types include a remedy.
    if let Some((problem, remedy)) = message.split_once("; ") {
        return (problem.to_owned(), remedy.to_owned());
    }
    if let Some((value, choices)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        let choices = choices.trim_start_matches("one of ").replace('`', "");
        return (format!("{value} is not one of the choices"), format!("give one of {choices}"));
    }
    let wrong = ["invalid type: ", "invalid value: "].iter().find_map(|prefix| message.strip_prefix(prefix));
    let Some((value, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return (message.to_owned(), HELP.to_owned());
    };
    // serde puts its own type before the value.
    let kinds = ["floating point ", "integer ", "string ", "boolean "];
    let value = kinds.iter().find_map(|kind| value.strip_prefix(kind)).unwrap_or(value);
    let value = match value {
        "sequence" => "a list",
        "map" => "a section",
        other => other,
    };
    let expected = match expected {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more,",
        "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" | "path string" | "string only" => "a text in quotes",
        "a sequence" => "a list in [ ]",
        "a map" => "a section",
        other if other.starts_with("struct ") => "a section",
        other => other,
    };
    match value {
        "unit variant" => (format!("{expected} is expected"), HELP.to_owned()),
        value => (format!("{expected} is expected, not {value}"), HELP.to_owned()),
    }
}

/// Removes the keys of a spec from a table that contains several specs, and reads the spec.
///
/// # Errors
/// As [`read_spec`].
pub(super) fn read_spec_of_shared_section<T: DeserializeOwned>(section: &str, table: &mut Table) -> Result<T> {
    let own = keys_of::<T>().iter().filter_map(|key| table.remove_entry(*key)).collect();
    read_spec(section, &own)
}

/// Refuses keys that no spec has.
///
/// # Errors
/// [`Error::Setting`] with the unknown key and the most similar valid key.
pub(super) fn check_keys(section: &str, table: &Table, known: &[&str]) -> Result<()> {
    let Some(unknown) = table.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    // Only a bare key is quoted; anything else may be a text in the wrong place, such as an address.
    let bare = unknown.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let shown = if bare { unknown.as_str() } else { HIDDEN };
    let path = if section.is_empty() { shown.to_owned() } else { format!("{section}.{shown}") };
    let similar = known.iter().map(|key| (strsim::normalized_damerau_levenshtein(key, unknown), key));
    let remedy = match similar.max_by(|a, b| a.0.total_cmp(&b.0)) {
        _ if !section.is_empty() && TOP_KEYS.contains(&unknown.as_str()) => {
            "move it above the first [section]".to_owned()
        }
        Some((similarity, key)) if similarity >= 0.6 => format!("did you mean `{key}`?"),
        _ => format!("the keys here are {}", known.join(", ")),
    };
    Err(Error::setting(path, "there is no such key", remedy))
}

/// Checks the keys of an `events` section and of its categories, and the values of each category.
///
/// # Errors
/// [`Error::Setting`] with the path of the key.
pub(super) fn check_event_keys(section: &str, events: &Table) -> Result<()> {
    check_keys(section, events, &keys_of::<EventSpec>())?;
    let Some(Value::Table(categories)) = events.get("category") else { return Ok(()) };
    for (name, own) in categories {
        let path = format!("{section}.category.{name:?}");
        let Value::Table(own) = own else {
            let remedy = format!("write [{path}] and its keys below it, such as on = 0.5");
            return Err(Error::setting(path, "a section is expected", remedy));
        };
        check_keys(&path, own, &keys_of::<CategorySpec>())?;
        read_spec::<CategorySpec>(&path, own)?;
    }
    Ok(())
}

/// Returns the keys of a spec.
pub(super) fn keys_of<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut keys = Vec::new();
    // Always fails, as no value follows.
    let _ = T::deserialize(KeyCollector(&mut keys));
    keys
}

/// Asks a struct for its field names, which serde passes to the deserializer.
struct KeyCollector<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for KeyCollector<'_> {
    type Error = PlainError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, PlainError> {
        Err(PlainError::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, PlainError> {
        self.0.extend_from_slice(fields);
        Err(PlainError::custom("no value"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
