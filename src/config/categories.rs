//! What `--categories` names.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};

/// Longest list of categories that is read, in bytes.
const MAX_LIST: u64 = 16 << 20;

/// Categories to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CategoryChoice {
    /// The bundle's own.
    Bundle,
    /// These names, each a category or a lexicon phrase of the bundle.
    Names(Vec<String>),
}

impl CategoryChoice {
    /// From the flag: a file where one of that name exists, else names separated by commas.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty list, [`Error::Input`] for a file that cannot be read.
    pub fn from_flag(flag: Option<&OsStr>) -> Result<Self> {
        let Some(flag) = flag else { return Ok(Self::Bundle) };
        let path = Path::new(flag);
        let names = if path.is_file() {
            read_list(path)?
        } else {
            let text = flag.to_str().ok_or_else(|| Error::Usage("--categories: not valid UTF-8".into()))?;
            if looks_like_a_path(text) {
                return Err(Error::input(text, "no such file; --categories takes a file or names separated by commas"));
            }
            text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        if names.is_empty() {
            return Err(Error::Usage("--categories names nothing; give names separated by commas, or a file".into()));
        }
        Ok(Self::Names(names))
    }
}

fn looks_like_a_path(text: &str) -> bool {
    !text.contains(',') && (text.contains('/') || text.ends_with(".txt") || text.ends_with(".csv"))
}

/// Names from a text file (one a line) or a CSV whose header has a column `name`.
fn read_list(path: &Path) -> Result<Vec<String>> {
    let shown = path.display().to_string();
    let bytes = std::fs::metadata(path).map_err(|e| Error::input(&shown, e.to_string()))?.len();
    if bytes > MAX_LIST {
        return Err(Error::input(shown, format!("{bytes} bytes is too long for a list of categories (16 MiB)")));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::input(&shown, format!("{e}; a list of categories is UTF-8 text, one name a line")))?;
    let mut lines =
        text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let header: Vec<_> = lines.peek().map_or(vec![], |line| line.split(',').map(str::trim).collect());
    match header.iter().position(|column| column.eq_ignore_ascii_case("name")) {
        Some(at) if header.len() == 2 => {
            lines.skip(1).map(|line| name_column(line, at).ok_or_else(|| no_name(&shown, line))).collect()
        }
        _ => Ok(lines.map(str::to_owned).collect()),
    }
}

/// The name of a two-column line; a comma may stand in a name that comes last, or within quotes.
fn name_column(line: &str, at: usize) -> Option<String> {
    let name = if at == 0 { line.rsplit_once(',')?.0 } else { line.split_once(',')?.1 };
    let name = name.trim().trim_matches('"').trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn no_name(file: &str, line: &str) -> Error {
    Error::input(file, format!("the line `{line}` has no name; lines are id,name as the header says"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, extension: &str) -> Result<CategoryChoice> {
        let file = tempfile::Builder::new().suffix(extension).tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        CategoryChoice::from_flag(Some(file.path().as_os_str()))
    }

    fn chosen(names: &[&str]) -> CategoryChoice {
        CategoryChoice::Names(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn names_come_from_the_flag_a_list_or_a_csv() {
        let flag = CategoryChoice::from_flag(Some(OsStr::new("a cat, a dog"))).unwrap();
        assert_eq!(flag, chosen(&["a cat", "a dog"]));
        assert_eq!(names("a cat\n\n a dog \n", ".txt").unwrap(), chosen(&["a cat", "a dog"]));
        assert_eq!(names("id,name\n0,a cat\n1,\"dogs, big\"\n", ".csv").unwrap(), chosen(&["a cat", "dogs, big"]));
        assert_eq!(CategoryChoice::from_flag(None).unwrap(), CategoryChoice::Bundle);
    }

    #[test]
    fn empty_and_missing_lists_are_refused() {
        assert!(names("\n \n", ".txt").is_err());
        assert!(names("id,name\n0,\n", ".csv").unwrap_err().to_string().contains("has no name"));
        assert!(CategoryChoice::from_flag(Some(OsStr::new(" , "))).is_err());
        let missing = CategoryChoice::from_flag(Some(OsStr::new("none.txt"))).unwrap_err();
        assert!(missing.to_string().contains("no such file"));
    }
}
