//! Lists of labelled clips, in common formats.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::read_text;
use crate::recognition::find_name;

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
/// columns `path` and `label` (separated by commas, semicolons or tabs), a folder that contains such a list named `clips.csv`, or a folder with one folder of clips per
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
    let text = text.trim_start_matches('\u{feff}');
    let root = root.or(list.parent()).unwrap_or(Path::new("")).to_owned();
    let clip = |path: &str, label: &str| {
        let labels = label.split(';').map(str::trim).filter(|label| !label.is_empty() && *label != "-");
        let categories = labels.map(|label| find_category(label, categories)).collect::<Result<_, String>>()?;
        Ok(LabelledClip { path: root.join(path), categories })
    };
    let failed = |line: u64, problem: String| Error::input(&file, format!("line {line}: {problem}"));
    if let Some(table) = Table::with_header(text) {
        let rows = table.rows(text).map(|(line, row)| {
            let fields = row.and_then(|fields| clip(&fields.0, &fields.1));
            fields.map_err(|problem| failed(line, problem))
        });
        return rows.collect();
    }
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let clips = lines.map(|(line, number)| {
        let words = split_words(line).ok_or_else(|| NO_COLUMNS.to_owned());
        let by_words = words.and_then(|(path, label)| clip(path, label));
        // A line without a header may also be `path;label`.
        let delimited = || split_delimited(line).find_map(|(path, label)| clip(&path, &label).ok());
        by_words.or_else(|problem| delimited().ok_or(problem)).map_err(|problem| failed(number, problem))
    });
    clips.collect()
}

/// The problem of a line without a path and a label.
const NO_COLUMNS: &str = "not `path label`, `path frames label` or the CSV's columns";

/// Characters that separate the columns of a table.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Splits `path label` or `path frames label`; a path may contain spaces.
fn split_words(line: &str) -> Option<(&str, &str)> {
    let (rest, label) = line.trim().rsplit_once(char::is_whitespace)?;
    let rest = rest.trim_end();
    match rest.rsplit_once(char::is_whitespace) {
        Some((path, frames)) if frames.parse::<u64>().is_ok() => Some((path.trim_end(), label)),
        _ => Some((rest, label)),
    }
}

/// Splits `path;label` or `path;frames;label` by each of the delimiters.
fn split_delimited(line: &str) -> impl Iterator<Item = (String, String)> {
    let records = DELIMITERS.iter().filter_map(|&delimiter| csv_reader(line, delimiter).records().next()?.ok());
    records
        .filter(|record| matches!(record.len(), 2 | 3))
        .filter_map(|record| Some((record.get(0)?.to_owned(), record.get(record.len() - 1)?.to_owned())))
}

fn csv_reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes())
}

/// A CSV file with a header: its delimiter, and the positions of the two columns that are read.
struct Table {
    delimiter: u8,
    path: usize,
    label: usize,
    columns: usize,
}

impl Table {
    fn with_header(text: &str) -> Option<Self> {
        DELIMITERS.iter().find_map(|&delimiter| {
            let header = csv_reader(text, delimiter).records().next()?.ok()?;
            let at = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
            Some(Self { delimiter, path: at("path")?, label: at("label")?, columns: header.len() })
        })
    }

    /// Path and label of each row after the header, with the number of its line.
    fn rows<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (u64, Result<(String, String), String>)> + 'a {
        let records = csv_reader(text, self.delimiter).into_records().skip(1);
        records.map(|record| {
            let record = match record {
                Ok(record) => record,
                Err(e) => return (e.position().map_or(0, csv::Position::line), Err(e.to_string())),
            };
            let line = record.position().map_or(0, csv::Position::line);
            let fields = (record.len() == self.columns).then(|| (&record[self.path], &record[self.label]));
            let fields = fields.map(|(path, label)| (path.to_owned(), label.to_owned()));
            (line, fields.ok_or_else(|| NO_COLUMNS.to_owned()))
        })
    }
}

fn find_category(label: &str, categories: &[String]) -> Result<usize, String> {
    if let Some(at) = find_name(label, categories) {
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
    fn delimiters_and_quotes_of_other_programs_are_read() {
        let expected = [clip("a, b.mp4", 1), clip("c \"d\".mp4", 0)];
        for text in [
            "\u{feff}\"path\",\"label\"\r\n\"a, b.mp4\",\"cooking\"\r\n\"c \"\"d\"\".mp4\",\"walking a dog\"\r\n",
            "path;label\na, b.mp4;cooking\n\"c \"\"d\"\".mp4\";0\n",
            "\"Label\"\t\"Path\"\ncooking\ta, b.mp4\n0\t\"c \"\"d\"\".mp4\"\n",
            "a, b.mp4;cooking\n\"c \"\"d\"\".mp4\";100;walking a dog\n",
        ] {
            assert_eq!(read_list(text).unwrap(), expected, "{text}");
        }
        let problem = read_list("path;label\na.mp4;cooking\nb.mp4\n").unwrap_err().to_string();
        assert!(problem.contains("line 3: not `path label`"), "{problem}");
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
