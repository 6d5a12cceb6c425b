//! From a file to a configuration.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::check::{Problem, check};
use super::file::ServiceFile;
use super::place::KeyPath;
use super::profile::Profile;
use super::secret::Credentials;
use super::settings::ServiceConfig;
use crate::error::{Error, Result};
use crate::health::board_model;
use crate::source::redact;

/// Longest configuration that is read, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Ends every complaint.
const HELP: &str = "docs/service.md and the example explain every key";

/// Reads and checks a configuration, and the secrets that it names as far as they can be had.
///
/// # Errors
/// [`Error::Input`] naming file, line and key, what is wrong and what would help.
pub fn read_config(path: &Path, credentials: &Credentials) -> Result<ServiceConfig> {
    let file = path.display().to_string();
    let cannot = |e: std::io::Error| {
        Error::input(&file, format!("the configuration cannot be read ({e}); give one with --config FILE"))
    };
    let bytes = std::fs::metadata(path).map_err(cannot)?.len();
    if bytes > MAX_BYTES {
        return Err(Error::input(&file, format!("{bytes} bytes is too long for a configuration (1 MiB)")));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    parse_config(&file, &text, credentials)
}

/// Checks the text of a configuration; `file` is its name in messages.
///
/// # Errors
/// As [`read_config`].
pub fn parse_config(file: &str, text: &str, credentials: &Credentials) -> Result<ServiceConfig> {
    // By itself first, as only then mistakes have a line.
    let parsed: ServiceFile = toml::from_str(text).map_err(|e| unreadable(file, text, &e))?;
    let profile = Profile::find(&parsed.profile, board_model().as_deref())
        .map_err(|e| located(file, text, Problem::new(KeyPath::of("profile"), e.to_string())))?;
    let own: Table = toml::from_str(text).map_err(|e| unreadable(file, text, &e))?;
    let mut all = profile.settings.clone();
    lay_over(&mut all, own);
    under_each_camera(&mut all);
    let merged = ServiceFile::deserialize(all)
        .map_err(|e| Error::input(file, format!("with profile {} under it: {}", profile.name, e.message())))?;
    check(file, profile.name, &merged, credentials).map_err(|problem| located(file, text, problem))
}

/// Lays `upper` over `lower`: tables are joined, all else is replaced.
fn lay_over(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

/// Lays `[camera_defaults]` under every `[[camera]]`.
fn under_each_camera(all: &mut Table) {
    let Some(Value::Table(defaults)) = all.get("camera_defaults").cloned() else { return };
    let Some(Value::Array(cameras)) = all.get_mut("camera") else { return };
    for camera in cameras {
        if let Value::Table(own) = camera {
            let above = std::mem::replace(own, defaults.clone());
            lay_over(own, above);
        }
    }
}

/// A mistake of TOML, of a type, or a key that there is not.
fn unreadable(file: &str, text: &str, error: &toml::de::Error) -> Error {
    let message = error.message().replace('\n', " ");
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map_or(String::new(), |before| {
        let line = before.matches('\n').count();
        place(line + 1, text.lines().nth(line).unwrap_or(""))
    });
    Error::input(file, redact(&format!("{place}{message}; {HELP}")))
}

/// A value that cannot be used, with its line where it stands in this file.
fn located(file: &str, text: &str, problem: Problem) -> Error {
    let Problem { key, message } = problem;
    let place = key.line(text).map_or(String::new(), |(number, line)| place(number, line));
    Error::input(file, redact(&format!("{place}{key}: {message}")))
}

fn place(number: usize, line: &str) -> String {
    // What may be a password in it goes first, so that none is left in what is cut off.
    let shown: String = redact(line.trim()).chars().filter(|c| !c.is_control()).take(80).collect();
    format!("line {number}, `{shown}`: ")
}
