//! The model's settings: which bundle runs, how, and with which categories.

use std::path::Path;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::manifest::Manifest;
use crate::encoder::{Compute, Device};
use crate::error::{Error, Result};
use crate::io::read_text;
use crate::recognition::{RecognitionSpec, SentenceMethod};
use crate::units::{Seconds, check_range};

/// Largest default for [`ModelSpec::threads`]; more threads gain little when frames are encoded one at a time.
const DEFAULT_MAX_THREADS: usize = 4;

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

/// A [`ModelSpec`] together with the values of its bundle.
#[derive(Clone, Debug)]
pub struct Model {
    /// Names of the categories to choose from; `None` for the bundle's.
    pub categories: Option<Vec<String>>,
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
        if let Some(name) = self.categories.iter().find(|name| name.trim().is_empty()) {
            return Err(Error::setting("categories", format!("`{name}` is an empty name"), "remove it"));
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
    pub fn effective(&self, manifest: &Manifest) -> Self {
        let own = &manifest.model;
        let window = self.window.unwrap_or(own.window);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
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
    pub fn resolve(&self, manifest: &Manifest) -> Result<Model> {
        self.check()?;
        let effective = self.effective(manifest);
        let missing = || Error::Internal("a setting of the model has no value".into());
        let own = &manifest.model;
        let recognition = RecognitionSpec {
            window: effective.window.ok_or_else(missing)?,
            interaction: own.interaction,
            tau: effective.tau.ok_or_else(missing)?,
            lambda: effective.lambda.ok_or_else(missing)?,
            logit_scale: own.logit_scale,
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
        _ => lines.map(str::to_owned).collect(),
    };
    if names.is_empty() {
        return Err(Error::input(file, "it lists no categories; write one name per line"));
    }
    Ok(names)
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
    fn empty_and_missing_lists_are_refused() {
        assert!(names("\n \n", ".txt").is_err());
        assert!(names("id,name\n0,\n", ".csv").unwrap_err().to_string().contains("has no name"));
        assert!(read_categories(Path::new("none.txt")).is_err());
    }
}
