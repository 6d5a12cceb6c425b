//! The settings of the destinations of events.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::event_file::FileSpec;
use crate::error::Result;
use crate::units::ByteSize;

/// A destination of events: an `[[output]]` of a configuration. The key `kind` is "stdout", which is the default, or
/// "file" together with the keys of [`FileSpec`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OutputTable", into = "OutputTable")]
pub enum OutputSpec {
    /// One line per event on stdout.
    #[default]
    Stdout,
    /// One line per event in a rotated file.
    File(FileSpec),
}

impl OutputSpec {
    /// The keys of an `[[output]]`, those of all kinds.
    pub const KEYS: [&str; 4] = ["kind", "path", "max_size", "files"];

    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the key.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => file.check(),
        }
    }
}

/// The TOML form of [`OutputSpec`], with the keys of all kinds. (An internally tagged enum would accept unknown keys
/// for `stdout`, require `kind`, and lose the lines of errors.)
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OutputTable {
    kind: OutputKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_size: Option<ByteSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutputKind {
    #[default]
    Stdout,
    File,
}

impl TryFrom<OutputTable> for OutputSpec {
    type Error = String;

    fn try_from(table: OutputTable) -> Result<Self, String> {
        let OutputTable { kind, path, max_size, files } = table;
        match kind {
            OutputKind::File => {
                let default = FileSpec::default();
                Ok(Self::File(FileSpec {
                    path: path.unwrap_or(default.path),
                    max_size: max_size.unwrap_or(default.max_size),
                    files: files.unwrap_or(default.files),
                }))
            }
            OutputKind::Stdout => {
                let given = [("path", path.is_some()), ("max_size", max_size.is_some()), ("files", files.is_some())];
                match given.into_iter().find(|(_, is_given)| *is_given) {
                    Some((key, _)) => Err(format!("{key} needs kind = \"file\"; add kind = \"file\", or remove {key}")),
                    None => Ok(Self::Stdout),
                }
            }
        }
    }
}

impl From<OutputSpec> for OutputTable {
    fn from(spec: OutputSpec) -> Self {
        match spec {
            OutputSpec::Stdout => Self::default(),
            OutputSpec::File(FileSpec { path, max_size, files }) => {
                Self { kind: OutputKind::File, path: Some(path), max_size: Some(max_size), files: Some(files) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<OutputSpec, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn stdout_is_the_default_and_a_file_has_defaults_of_its_own() {
        assert_eq!(parsed(""), Ok(OutputSpec::Stdout));
        assert_eq!(parsed("kind = \"stdout\""), Ok(OutputSpec::Stdout));
        let file = parsed("kind = \"file\"\npath = \"/a\"\nfiles = 2").unwrap();
        let expected = FileSpec { path: "/a".into(), max_size: ByteSize::mib(16), files: 2 };
        assert_eq!(file, OutputSpec::File(expected));
        let written = serde_json::to_value(&file).unwrap();
        assert_eq!(serde_json::from_value::<OutputSpec>(written).unwrap(), file);
    }

    #[test]
    fn keys_that_do_not_exist_or_belong_to_another_kind_are_refused() {
        for (text, expected) in [
            ("file = 1", "unknown field"),
            ("kind = \"pigeon\"", "unknown variant"),
            ("path = \"/a\"", "path needs kind = \"file\""),
            ("kind = \"file\"\npath = \"/a\"\nmax_size = \"lots\"", "\"lots\" is not a size"),
        ] {
            let problem = parsed(text).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (text, expected) in [
            ("", "path: missing"),
            ("path = \"events.jsonl\"", "path: `events.jsonl` is a relative path"),
            ("path = \"/a\"\nmax_size = \"1K\"", "max_size: 1K is too small; give at least 64K"),
            ("path = \"/a\"\nfiles = 0", "files: 0 is out of range"),
            ("path = \"/a\"\nfiles = 1001", "files: 1001 is out of range"),
        ] {
            let problem = parsed(&format!("kind = \"file\"\n{text}")).unwrap().check().unwrap_err().to_string();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}
