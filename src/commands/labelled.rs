//! Lists of labelled clips, in the forms people have them.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Longest list that is read, in bytes.
const MAX_LIST: u64 = 256 << 20;

/// A clip and the category it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The clip.
    pub path: PathBuf,
    /// Position of its category.
    pub category: usize,
}

/// A clip and the categories it shows, any of which is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The clip.
    pub path: PathBuf,
    /// Positions of its categories; empty where it shows none of them.
    pub categories: Vec<usize>,
}

/// Reads a list: a folder a class, a CSV with `path,label`, or lines `path frames label` / `path label`.
///
/// # Errors
/// [`Error::Input`] naming the line that cannot be used.
pub fn read(list: &Path, root: Option<&Path>, categories: &[String]) -> Result<Vec<Labelled>> {
    let one = |path, label: &str| Ok(Labelled { path, category: category_of(label, categories)? });
    read_as(list, root, &one)
}

/// Reads a list in the same forms, where a label may also be several with `;` between them, or `-` or nothing for a clip
/// that shows none of the categories. A folder is a list of that name in it, `clips.csv`, where it holds one.
///
/// # Errors
/// [`Error::Input`] naming the line that cannot be used.
pub fn read_marked(list: &Path, root: Option<&Path>, categories: &[String]) -> Result<Vec<Marked>> {
    let within = list.join(LIST_IN_FOLDER);
    let list = if within.is_file() { &within } else { list };
    let several = |path, label: &str| {
        let labels = label.split(';').map(str::trim).filter(|label| !label.is_empty() && *label != "-");
        let categories = labels.map(|label| category_of(label, categories)).collect::<Result<_, String>>()?;
        Ok(Marked { path, categories })
    };
    read_as(list, root, &several)
}

/// A list that lies beside its clips.
const LIST_IN_FOLDER: &str = "clips.csv";

/// Makes an entry of a path and a label, or says what is wrong with the label.
type Entry<'a, T> = dyn Fn(PathBuf, &str) -> Result<T, String> + 'a;

fn read_as<T>(list: &Path, root: Option<&Path>, entry: &Entry<'_, T>) -> Result<Vec<T>> {
    let found = if list.is_dir() { folder_a_class(list, entry)? } else { text_list(list, root, entry)? };
    if found.is_empty() {
        return Err(Error::input(list.display().to_string(), "it lists no clips"));
    }
    Ok(found)
}

fn folder_a_class<T>(list: &Path, entry: &Entry<'_, T>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for class in sorted_entries(list)? {
        if !class.is_dir() {
            continue;
        }
        let name = class.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for path in sorted_entries(&class)? {
            found.push(entry(path, &name).map_err(|p| Error::input(class.display().to_string(), p))?);
        }
    }
    Ok(found)
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| Error::input(folder.display().to_string(), e.to_string());
    let mut entries = std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
        .collect::<Result<Vec<_>>>()?;
    entries.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    entries.sort();
    Ok(entries)
}

fn text_list<T>(list: &Path, root: Option<&Path>, entry: &Entry<'_, T>) -> Result<Vec<T>> {
    let shown = list.display().to_string();
    let bytes = std::fs::metadata(list).map_err(|e| Error::input(&shown, e.to_string()))?.len();
    if bytes > MAX_LIST {
        return Err(Error::input(shown, format!("{bytes} bytes is too long for a list (256 MiB)")));
    }
    let text = std::fs::read_to_string(list)
        .map_err(|e| Error::input(&shown, format!("{e}; a list is UTF-8 text, a clip a line")))?;
    let root = root.or(list.parent()).unwrap_or(Path::new("")).to_owned();
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let csv = lines.peek().and_then(|(_, line)| CsvColumns::from_header(line));
    if csv.is_some() {
        lines.next();
    }
    let labelled = |line| {
        let split = csv.as_ref().map_or_else(|| split_words(line), |columns| columns.split(line));
        let (path, label) = split.ok_or("not `path label`, `path frames label` or the CSV's columns")?;
        entry(root.join(path), label)
    };
    lines
        .map(|(number, line)| {
            labelled(line).map_err(|problem: String| Error::input(&shown, format!("line {}: {problem}", number + 1)))
        })
        .collect()
}

/// `path label` or `path frames label`; a path may hold spaces.
fn split_words(line: &str) -> Option<(&str, &str)> {
    let (rest, label) = line.trim().rsplit_once(char::is_whitespace)?;
    let rest = rest.trim_end();
    match rest.rsplit_once(char::is_whitespace) {
        Some((path, frames)) if frames.parse::<u64>().is_ok() => Some((path.trim_end(), label)),
        _ => Some((rest, label)),
    }
}

/// Where a CSV keeps the two columns we read.
struct CsvColumns {
    path: usize,
    label: usize,
    count: usize,
}

impl CsvColumns {
    fn from_header(line: &str) -> Option<Self> {
        let columns = csv_fields(line.trim_start_matches('\u{feff}'));
        let at = |name: &str| columns.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
        Some(Self { path: at("path")?, label: at("label")?, count: columns.len() })
    }

    fn split<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let fields = csv_fields(line);
        (fields.len() == self.count).then(|| (fields[self.path].trim(), fields[self.label].trim()))
    }
}

/// Fields of a line; quoted ones may hold commas, quotes within quotes are not known here.
fn csv_fields(line: &str) -> Vec<&str> {
    let (mut fields, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                fields.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&line[start..]);
    fields.into_iter().map(|field| field.trim().trim_matches('"')).collect()
}

fn category_of(label: &str, categories: &[String]) -> Result<usize, String> {
    if let Some(at) = categories.iter().position(|name| name.eq_ignore_ascii_case(label)) {
        return Ok(at);
    }
    match label.parse::<usize>() {
        Ok(at) if at < categories.len() => Ok(at),
        Ok(at) => Err(format!("label {at} is past the last category, {}", categories.len() - 1)),
        Err(_) => {
            Err(format!("`{label}` is no category; see `bike-edge bundle inspect --categories` or give --categories"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories() -> Vec<String> {
        ["walking a dog", "cooking"].map(str::to_owned).to_vec()
    }

    fn list_of(text: &str) -> Result<Vec<Labelled>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), Some(Path::new("root")), &categories())
    }

    fn labelled(path: &str, category: usize) -> Labelled {
        Labelled { path: Path::new("root").join(path), category }
    }

    #[test]
    fn lines_of_the_reference_are_read() {
        let found = list_of("a/b 300 1\n\nmy clip.mp4 0\nc 12 9 0\n").unwrap();
        assert_eq!(found, [labelled("a/b", 1), labelled("my clip.mp4", 0), labelled("c 12", 0)]);
    }

    #[test]
    fn a_csv_is_read_by_its_header() {
        let found = list_of("id,label,path\n1,cooking,\"a,b.mp4\"\n2,0,c.mp4\n").unwrap();
        assert_eq!(found, [labelled("a,b.mp4", 1), labelled("c.mp4", 0)]);
    }

    #[test]
    fn a_clip_may_show_several_categories_or_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("clips.csv"), "path,label\na.mp4,Cooking; 0\nb.mp4,\nc.mp4,-\n").unwrap();
        let found = read_marked(folder.path(), None, &categories()).unwrap();
        let shown: Vec<_> =
            found.iter().map(|m| (m.path.file_name().unwrap().to_str().unwrap(), &m.categories[..])).collect();
        assert_eq!(shown, [("a.mp4", &[1, 0][..]), ("b.mp4", &[]), ("c.mp4", &[])]);
        std::fs::write(folder.path().join("clips.csv"), "path,label\na.mp4,cooking;flying\n").unwrap();
        let problem = read_marked(folder.path(), None, &categories()).unwrap_err().to_string();
        assert!(problem.contains("clips.csv: line 2: `flying` is no category"), "{problem}");
    }

    #[test]
    fn folders_are_classes() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["cooking/b.mp4", "cooking/a.mp4", "Walking a dog/c.mp4"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = read(folder.path(), None, &categories()).unwrap();
        let shown: Vec<_> = found.iter().map(|l| (l.path.file_name().unwrap().to_str().unwrap(), l.category)).collect();
        assert_eq!(shown, [("c.mp4", 0), ("a.mp4", 1), ("b.mp4", 1)]);
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named() {
        let message = list_of("a 1\nb 2\n").unwrap_err().to_string();
        assert!(message.contains("line 2: label 2 is past the last category, 1"), "{message}");
        assert!(list_of("a flying\n").unwrap_err().to_string().contains("`flying` is no category"));
        assert!(list_of("\n").unwrap_err().to_string().contains("lists no clips"));
        assert!(list_of("alone\n").is_err());
    }
}
