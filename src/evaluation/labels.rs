//! Lists of labelled clips, in common formats.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::read_text;

/// Largest list that is read, in bytes.
const MAX_LIST: u64 = 256 << 20;

/// The name of a list in the folder of its clips.
const LIST_IN_FOLDER: &str = "clips.csv";

/// A clip and the categories that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledClip {
    /// The clip.
    pub path: PathBuf,
    /// Numbers of its categories, any of which is correct; empty if it shows none.
    pub categories: Vec<usize>,
}

/// Reads a list of labelled clips: lines `path frames label` or `path label` as in BIKE's lists, a CSV file with the
/// columns `path,label`, a folder that contains such a list named `clips.csv`, or a folder with one folder of clips per
/// category. A label is the name or number of a category, several of them separated by `;`, or `-` or empty for a clip
/// that shows none of the categories. Paths are relative to `root`, by default the folder of the list.
///
/// # Errors
/// [`Error::Input`] naming the line that cannot be used.
pub fn read_labelled_clips(list: &Path, root: Option<&Path>, categories: &[String]) -> Result<Vec<LabelledClip>> {
    let within = list.join(LIST_IN_FOLDER);
    let list = if within.is_file() { &within } else { list };
    let clips =
        if list.is_dir() { read_category_folders(list, categories)? } else { read_text_list(list, root, categories)? };
    if clips.is_empty() {
        return Err(Error::input(list.display().to_string(), "it lists no clips"));
    }
    Ok(clips)
}

/// Reads a folder with one folder of clips per category.
fn read_category_folders(list: &Path, categories: &[String]) -> Result<Vec<LabelledClip>> {
    let mut clips = Vec::new();
    for folder in sorted_entries(list)?.into_iter().filter(|folder| folder.is_dir()) {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let label = find_category(&name, categories).map_err(|p| Error::input(folder.display().to_string(), p))?;
        clips.extend(sorted_entries(&folder)?.into_iter().map(|path| LabelledClip { path, categories: vec![label] }));
    }
    Ok(clips)
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

fn read_text_list(list: &Path, root: Option<&Path>, categories: &[String]) -> Result<Vec<LabelledClip>> {
    let file = list.display().to_string();
    let text = read_text(list, MAX_LIST, "a list of clips is UTF-8 text with one clip per line")?;
    let root = root.or(list.parent()).unwrap_or(Path::new("")).to_owned();
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let csv = lines.peek().and_then(|(_, line)| CsvColumns::from_header(line));
    if csv.is_some() {
        lines.next();
    }
    let parse = |line| {
        let split = csv.as_ref().map_or_else(|| split_words(line), |columns| columns.split(line));
        let (path, label) = split.ok_or("not `path label`, `path frames label` or the CSV's columns")?;
        let labels = label.split(';').map(str::trim).filter(|label| !label.is_empty() && *label != "-");
        let categories = labels.map(|label| find_category(label, categories)).collect::<Result<_, String>>()?;
        Ok(LabelledClip { path: root.join(path), categories })
    };
    lines
        .map(|(number, line)| {
            parse(line).map_err(|problem: String| Error::input(&file, format!("line {}: {problem}", number + 1)))
        })
        .collect()
}

/// Splits `path label` or `path frames label`; a path may contain spaces.
fn split_words(line: &str) -> Option<(&str, &str)> {
    let (rest, label) = line.trim().rsplit_once(char::is_whitespace)?;
    let rest = rest.trim_end();
    match rest.rsplit_once(char::is_whitespace) {
        Some((path, frames)) if frames.parse::<u64>().is_ok() => Some((path.trim_end(), label)),
        _ => Some((rest, label)),
    }
}

/// Positions of the two columns that are read from a CSV file.
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

/// Splits a line into fields. Quoted fields may contain commas; quotes within quotes are not supported.
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

fn find_category(label: &str, categories: &[String]) -> Result<usize, String> {
    if let Some(at) = categories.iter().position(|name| name.eq_ignore_ascii_case(label)) {
        return Ok(at);
    }
    match label.parse::<usize>() {
        Ok(at) if at < categories.len() => Ok(at),
        Ok(at) => Err(format!("label {at} is past the last category, {}", categories.len() - 1)),
        Err(_) => Err(format!(
            "`{label}` is not a category; see `bike-edge bundle inspect --categories` or give other categories"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories() -> Vec<String> {
        ["walking a dog", "cooking"].map(str::to_owned).to_vec()
    }

    fn read_list(text: &str) -> Result<Vec<LabelledClip>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_labelled_clips(file.path(), Some(Path::new("root")), &categories())
    }

    fn clip(path: &str, category: usize) -> LabelledClip {
        LabelledClip { path: Path::new("root").join(path), categories: vec![category] }
    }

    fn file_names(clips: &[LabelledClip]) -> Vec<(&str, &[usize])> {
        clips.iter().map(|c| (c.path.file_name().unwrap().to_str().unwrap(), &c.categories[..])).collect()
    }

    #[test]
    fn lines_of_the_reference_are_read() {
        let clips = read_list("a/b 300 1\n\nmy clip.mp4 0\nc 12 9 0\n").unwrap();
        assert_eq!(clips, [clip("a/b", 1), clip("my clip.mp4", 0), clip("c 12", 0)]);
    }

    #[test]
    fn a_csv_file_is_read_by_its_header() {
        let clips = read_list("id,label,path\n1,cooking,\"a,b.mp4\"\n2,0,c.mp4\n").unwrap();
        assert_eq!(clips, [clip("a,b.mp4", 1), clip("c.mp4", 0)]);
    }

    #[test]
    fn a_clip_may_show_several_categories_or_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("clips.csv"), "path,label\na.mp4,Cooking; 0\nb.mp4,\nc.mp4,-\n").unwrap();
        let clips = read_labelled_clips(folder.path(), None, &categories()).unwrap();
        assert_eq!(file_names(&clips), [("a.mp4", &[1, 0][..]), ("b.mp4", &[]), ("c.mp4", &[])]);
        std::fs::write(folder.path().join("clips.csv"), "path,label\na.mp4,cooking;flying\n").unwrap();
        let problem = read_labelled_clips(folder.path(), None, &categories()).unwrap_err().to_string();
        assert!(problem.contains("clips.csv: line 2: `flying` is not a category"), "{problem}");
    }

    #[test]
    fn folders_are_categories() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["cooking/b.mp4", "cooking/a.mp4", "Walking a dog/c.mp4"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let clips = read_labelled_clips(folder.path(), None, &categories()).unwrap();
        assert_eq!(file_names(&clips), [("c.mp4", &[0][..]), ("a.mp4", &[1]), ("b.mp4", &[1])]);
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named() {
        let message = read_list("a 1\nb 2\n").unwrap_err().to_string();
        assert!(message.contains("line 2: label 2 is past the last category, 1"), "{message}");
        assert!(read_list("a flying\n").unwrap_err().to_string().contains("`flying` is not a category"));
        assert!(read_list("\n").unwrap_err().to_string().contains("lists no clips"));
        assert!(read_list("alone\n").is_err());
    }
}
