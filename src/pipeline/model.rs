//! The model's settings: which bundle runs, how, and with which categories.

use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::manifest::Manifest;
use crate::encoder::{Compute, Device};
use crate::error::{Error, Result};
use crate::io::read_text;
use crate::recognition::{RecognitionSpec, Scoring, SentenceMethod};
use crate::units::{Seconds, check_range};

/// Largest default for [`ModelSpec::threads`]; more threads gain little when frames are encoded one at a time.
const DEFAULT_MAX_THREADS: usize = 4;

/// The default of [`ModelSpec::scoring`] for streams; docs/measurements/events.md has the comparison.
const STREAM_SCORING: Scoring = Scoring::Share;

/// Which model runs and how: the section `[model]` of a configuration. What is not set comes from the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSpec {
    /// A bundle's folder or packed file; `embedded` is the one inside the program.
    pub bundle: PathBuf,
    /// Categories to choose from; empty for the bundle's. A name is a category or a lexicon phrase of the bundle, or
    /// any text if the bundle has a text tower.
    pub categories: Vec<String>,
    /// The same from a text file with one name per line, or a CSV file with the columns `id,name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories_file: Option<PathBuf>,
    /// Categories that mean "nothing of interest"; the bundle's if omitted. They never start an event. For streams they
    /// are always among the categories that are scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Vec<String>>,
    /// What the confidence of a category is compared with. If omitted, all categories for clips; for streams the
    /// background, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scoring: Option<Scoring>,
    /// T, the number of frames in a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Weight of the video branch against the attribute branch, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f32>,
    /// Temperature of concept spotting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f32>,
    /// What makes attribute sentences.
    pub attributes: SentenceChoice,
    /// CPU threads; by default one per core, at most 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// The device that encodes frames.
    pub device: Device,
    /// Seconds between sampled frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride_s: Option<Seconds>,
}

/// How the sentence of a window's attributes is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SentenceChoice {
    /// As the bundle specifies.
    #[default]
    Auto,
    /// The text tower: exact, and runs for each new set of phrases.
    Tower,
    /// The composer, a fast replacement for the text tower.
    Composer,
    /// The mean of the phrases' embeddings.
    Mean,
}

impl Default for ModelSpec {
    fn default() -> Self {
        Self {
            bundle: "embedded".into(),
            categories: Vec::new(),
            categories_file: None,
            background: None,
            scoring: None,
            window: None,
            lambda: None,
            tau: None,
            attributes: SentenceChoice::Auto,
            threads: None,
            device: Device::Auto,
            stride_s: None,
        }
    }
}

/// What a model is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Whole clips, which are ranked by category as in the paper.
    Clips,
    /// Streams, in which events are found. The background categories are always scored.
    Streams,
}

/// A [`ModelSpec`] together with the values of its bundle.
#[derive(Clone, Debug)]
pub struct Model {
    /// Names of the categories to choose from; `None` for the bundle's.
    pub categories: Option<Vec<String>>,
    /// Names of the background categories.
    pub background: Vec<String>,
    /// Whether background categories are scored even if they are not among the categories.
    pub adds_background: bool,
    /// How embeddings are compared.
    pub recognition: RecognitionSpec,
    /// CPU threads, at least 1.
    pub threads: usize,
    /// The device that encodes frames.
    pub device: Device,
    /// Seconds between sampled frames.
    pub stride_s: Seconds,
}

impl Model {
    /// The compute settings of frame encoders.
    pub fn compute(&self) -> Compute {
        Compute { threads: self.threads, device: self.device }
    }
}

impl ModelSpec {
    /// Checks what can be checked without the bundle.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value out of its range.
    pub fn check(&self) -> Result<()> {
        if self.bundle.as_os_str().is_empty() {
            return Err(Error::setting("bundle", "it is empty", "give a bundle's folder or file, or `embedded`"));
        }
        let background = self.background.as_deref().unwrap_or_default();
        for (key, names) in [("categories", &self.categories[..]), ("background", background)] {
            if let Some(name) = names.iter().find(|name| name.trim().is_empty()) {
                return Err(Error::setting(key, format!("`{name}` is an empty name"), "remove it"));
            }
        }
        if let (Some(_), false) = (&self.categories_file, self.categories.is_empty()) {
            let problem = "categories are given too";
            return Err(Error::setting("categories_file", problem, "give either the file or the names"));
        }
        if let Some(file) = self.categories_file.as_ref().filter(|file| !file.is_file()) {
            let problem = format!("there is no file {}", file.display());
            return Err(Error::setting("categories_file", problem, "name a file with one category per line"));
        }
        if let Some(window) = self.window {
            check_range("window", window, RecognitionSpec::WINDOW, "a number of frames")?;
        }
        if let Some(lambda) = self.lambda {
            check_range("lambda", lambda, RecognitionSpec::LAMBDA, "a weight")?;
        }
        if let Some(tau) = self.tau {
            check_range("tau", tau, RecognitionSpec::TAU, "a temperature")?;
        }
        if let Some(threads) = self.threads {
            check_range("threads", threads, 1..=256, "a number")?;
        }
        if let Some(stride) = self.stride_s {
            super::sampler::check_stride(stride)?;
        }
        Ok(())
    }

    /// Returns this spec with every value filled in that the bundle or this machine supplies.
    pub fn effective(&self, manifest: &Manifest, workload: Workload) -> Self {
        let background = self.background.as_ref().unwrap_or(&manifest.defaults.background);
        let scoring = match (workload, background.is_empty()) {
            (Workload::Streams, false) => STREAM_SCORING,
            _ => Scoring::Share,
        };
        let own = &manifest.model;
        let window = self.window.unwrap_or(own.window);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            background: Some(background.clone()),
            scoring: Some(self.scoring.unwrap_or(scoring)),
            window: Some(window),
            lambda: Some(self.lambda.unwrap_or(own.lambda)),
            tau: Some(self.tau.unwrap_or(own.tau)),
            threads: Some(self.threads.unwrap_or(cores.min(DEFAULT_MAX_THREADS))),
            stride_s: Some(self.stride_s.unwrap_or_else(|| manifest.default_stride(window))),
            ..self.clone()
        }
    }

    /// Combines these settings with a bundle's.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value out of its range or one that the bundle or this build does not support;
    /// [`Error::Input`] for a list of categories that cannot be read.
    pub fn resolve(&self, manifest: &Manifest, workload: Workload) -> Result<Model> {
        self.check()?;
        let effective = self.effective(manifest, workload);
        let missing = || Error::Internal("a setting of the model has no value".into());
        let own = &manifest.model;
        let scoring = effective.scoring.ok_or_else(missing)?;
        let background = effective.background.ok_or_else(missing)?;
        if scoring == Scoring::Independent && background.is_empty() {
            let problem = "independent confidences are compared with background categories, and there are none";
            return Err(Error::setting(
                "scoring",
                problem,
                "name some: `background`, such as \"an empty room,a street\"",
            ));
        }
        let recognition = RecognitionSpec {
            window: effective.window.ok_or_else(missing)?,
            interaction: own.interaction,
            tau: effective.tau.ok_or_else(missing)?,
            lambda: effective.lambda.ok_or_else(missing)?,
            logit_scale: own.logit_scale,
            scoring,
            top_k: own.attributes_top_k,
            sentence_method: self.sentence_method(manifest)?,
        };
        if self.device != Device::Auto {
            let unusable = |message: String| {
                let (problem, remedy) = message.split_once("; ").unwrap_or((&message, "use auto"));
                Error::setting("device", problem, remedy)
            };
            self.device.check().map_err(unusable)?;
        }
        let categories = match &self.categories_file {
            Some(file) => Some(read_categories(file)?),
            None => Some(self.categories.clone()).filter(|names| !names.is_empty()),
        };
        Ok(Model {
            categories,
            background,
            adds_background: workload == Workload::Streams || scoring == Scoring::Independent,
            recognition,
            threads: effective.threads.ok_or_else(missing)?,
            device: self.device,
            stride_s: effective.stride_s.ok_or_else(missing)?,
        })
    }

    fn sentence_method(&self, manifest: &Manifest) -> Result<SentenceMethod> {
        let (scores, file, remedy) = match self.attributes {
            SentenceChoice::Auto => return Ok(manifest.attribute_scores()),
            SentenceChoice::Mean => return Ok(SentenceMethod::Mean),
            SentenceChoice::Tower => (SentenceMethod::Tower, "text.onnx", "export it with --keep-text, or use auto"),
            SentenceChoice::Composer => (SentenceMethod::Composer, "composer.onnx", "use mean or tower"),
        };
        if manifest.lists(file) {
            return Ok(scores);
        }
        Err(Error::setting("attributes", format!("bundle {} has no {file}", manifest.name), remedy))
    }
}

/// Largest list of categories that is read, in bytes.
const MAX_LIST: u64 = 16 << 20;

/// Reads category names from a text file (one per line) or a CSV file whose header has a column `name`.
///
/// # Errors
/// [`Error::Input`] for a file that cannot be read, a line without a name, or a list without names.
pub fn read_categories(path: &Path) -> Result<Vec<String>> {
    let file = path.display().to_string();
    let text = read_text(path, MAX_LIST, "a list of categories is UTF-8 text with one name per line")?;
    let mut lines =
        text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let header: Vec<_> = lines.peek().map_or(vec![], |line| line.split(',').map(str::trim).collect());
    let names: Vec<String> = match header.iter().position(|column| column.eq_ignore_ascii_case("name")) {
        Some(at) if header.len() == 2 => lines
            .skip(1)
            .map(|line| name_column(line, at).ok_or_else(|| no_name(&file, line)))
            .collect::<Result<_>>()?,
        _ => without_numbers(lines.collect()),
    };
    if names.is_empty() {
        return Err(Error::input(file, "it lists no categories; write one name per line"));
    }
    Ok(names)
}

/// Number of lines from which numbers at their start are those of the lines, without a mark such as `1.` or `c001`.
const MIN_NUMBERED: usize = 5;

/// Removes the numbers of a numbered list: `1 ApplyEyeMakeup`, `2. archery`, `c000 Holding some clothes`. They count from 0
/// or 1.
fn without_numbers(lines: Vec<&str>) -> Vec<String> {
    let numbered: Option<Vec<(usize, bool, &str)>> = lines.iter().map(|line| split_number(line)).collect();
    if let Some(numbered) = numbered
        && let Some((first @ (0 | 1), ..)) = numbered.first().copied()
        && numbered.len() >= 2
        && numbered.iter().enumerate().all(|(at, (number, ..))| *number == first + at)
        && (numbered.len() >= MIN_NUMBERED || numbered.iter().all(|(_, marked, _)| *marked))
        // `1 person`, `2 people`, `3 people` are names.
        && numbered.iter().map(|(.., name)| name).collect::<HashSet<_>>().len() == numbered.len()
    {
        return numbered.into_iter().map(|(.., name)| name.to_owned()).collect();
    }
    lines.into_iter().map(str::to_owned).collect()
}

/// Splits a line into its number, whether that has a mark besides the digits, and the name.
fn split_number(line: &str) -> Option<(usize, bool, &str)> {
    let (word, name) = line.split_once(|c: char| c.is_whitespace() || c == ',')?;
    let digits = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let digits = digits.trim_end_matches(['.', ')', ':']);
    let letters = word.chars().take_while(char::is_ascii_alphabetic).count();
    let name = name.trim();
    let number = digits.parse().ok().filter(|_| letters <= 1 && !name.is_empty())?;
    // `F1 racing` is a name, `c001 cooking` is numbered.
    let marked = word.ends_with(['.', ')', ':']) || (letters == 1 && digits.len() >= 3);
    (letters == 0 || marked).then_some((number, marked, name))
}

/// Returns the name of a line with two columns. The name may contain a comma if it is the last column or quoted.
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

    fn names(text: &str, extension: &str) -> Result<Vec<String>> {
        let file = tempfile::Builder::new().suffix(extension).tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_categories(file.path())
    }

    #[test]
    fn names_are_read_from_a_list_or_a_csv_file() {
        assert_eq!(names("a cat\n\n a dog \n", ".txt").unwrap(), ["a cat", "a dog"]);
        assert_eq!(names("id,name\n0,a cat\n1,\"dogs, big\"\n", ".csv").unwrap(), ["a cat", "dogs, big"]);
    }

    #[test]
    fn the_numbers_of_a_numbered_list_are_removed() {
        for (list, expected) in [
            (
                "c000 Holding some clothes\nc001 Putting clothes somewhere\n",
                ["Holding some clothes", "Putting clothes somewhere"],
            ),
            ("1. archery\n2. bench press\n", ["archery", "bench press"]),
            ("1 person walking\n2 people walking\n", ["1 person walking", "2 people walking"]),
            ("F1 racing\nK2 climbing\n", ["F1 racing", "K2 climbing"]),
            ("1. archery\n3. bench press\n", ["1. archery", "3. bench press"]),
            ("archery\n2. bench press\n", ["archery", "2. bench press"]),
        ] {
            assert_eq!(names(list, ".txt").unwrap(), expected);
        }
        let many = "1 ApplyEyeMakeup\n2 ApplyLipstick\n3 Archery\n4 BabyCrawling\n5 BalanceBeam\n";
        assert_eq!(names(many, ".txt").unwrap()[4], "BalanceBeam");
        let people = "0 people\n1 person\n2 people\n3 people\n4 people\n";
        assert_eq!(names(people, ".txt").unwrap()[1], "1 person");
        assert_eq!(names("1. racing\n", ".txt").unwrap(), ["1. racing"]);
    }

    #[test]
    fn empty_and_missing_lists_are_refused() {
        assert!(names("\n \n", ".txt").is_err());
        assert!(names("id,name\n0,\n", ".csv").unwrap_err().to_string().contains("has no name"));
        assert!(read_categories(Path::new("none.txt")).is_err());
    }
}
