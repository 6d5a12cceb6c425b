//! Every check of a bundle, one line each.

use super::container::{BundleRef, Container};
use super::{Bundle, check_background, check_hashes, listed_files, read_categories, read_lexicon, read_manifest};
use crate::encoder::FrameEncoder;
use crate::error::Error;

/// Makes every check of docs/bundle.md and reports each by name with its outcome; goes on after a failure where that
/// can tell more. Graphs are loaded and run once. True where all passed.
pub fn verify(place: &BundleRef, report: &mut dyn FnMut(&str, Result<(), String>)) -> bool {
    let mut report = Report { sink: report, passed: true };
    let complete = report.parts(place);
    if complete && report.passed {
        report.graphs(place);
    }
    report.passed
}

struct Report<'a> {
    sink: &'a mut dyn FnMut(&str, Result<(), String>),
    passed: bool,
}

impl Report<'_> {
    /// Passes on a check's outcome and hands back what it found.
    fn check<T>(&mut self, name: &str, outcome: Result<T, String>) -> Option<T> {
        let (outcome, found) = match outcome {
            Ok(found) => (Ok(()), Some(found)),
            Err(problem) => (Err(problem), None),
        };
        self.passed &= outcome.is_ok();
        (self.sink)(name, outcome);
        found
    }

    /// Checks of everything but graphs; false where they could not be finished.
    fn parts(&mut self, place: &BundleRef) -> bool {
        let Some(container) = self.check("can be read", Container::open(place)) else { return false };
        let Some((manifest, _)) = self.check("bundle.toml", read_manifest(&container)) else { return false };
        let Some(files) = self.check("listed files", listed_files(&container, &manifest)) else { return false };
        for (name, outcome) in files.keys().zip(check_hashes(&manifest, &files)) {
            self.check(&format!("size and sha256 of {name}"), outcome);
        }
        let categories = self.check("categories", read_categories(&manifest, &files));
        if let Some(categories) = categories {
            self.check("background categories", check_background(&manifest, &categories));
        }
        if manifest.has_lexicon() {
            self.check("lexicon", read_lexicon(&manifest, &files));
        }
        true
    }

    fn graphs(&mut self, place: &BundleRef) {
        let Some(bundle) = self.check("opens", Bundle::open(place).map_err(problem)) else { return };
        let (model, width) = (&bundle.manifest.model, bundle.manifest.model.embedding_dim);
        if let Some(encoder) = self.check("visual.onnx loads", bundle.load_visual(1).map_err(problem)) {
            self.check("visual.onnx runs", run(encoder));
        }
        if let Some(Some(encoder)) =
            optional(self, "attribute_visual.onnx loads", bundle.load_attribute_visual(1).map_err(problem))
        {
            self.check("attribute_visual.onnx runs", run(encoder));
        }
        if let Some(Some(mut header)) =
            optional(self, "temporal.onnx loads", bundle.load_temporal(model.window, 1).map_err(problem))
        {
            let frames = unit_rows(model.window, width);
            let mut out = vec![0.0; frames.len()];
            self.check("temporal.onnx runs", header.apply(&frames, &mut out).map_err(problem));
        }
        if let Some(Some(mut composer)) =
            optional(self, "composer.onnx loads", bundle.load_composer(1).map_err(problem))
        {
            let phrases = unit_rows(model.attributes_top_k, width);
            let mut out = vec![0.0; width];
            self.check("composer.onnx runs", composer.compose(&phrases, &mut out).map_err(problem));
        }
        if bundle.text().is_some() {
            self.check("tokenizer.txt", bundle.load_tokenizer().map(drop));
        }
        if let Some(Some(mut text)) = optional(self, "text.onnx loads", bundle.load_text(1).map_err(problem)) {
            let mut sentence = vec![0.0; width];
            self.check("text.onnx runs", text.category("a name").map(drop).map_err(problem));
            self.check("attribute sentences", text.sentence(&["a phrase"], &mut sentence).map_err(problem));
        }
    }
}

/// Reports only what is there.
fn optional<T>(report: &mut Report<'_>, name: &str, outcome: Result<Option<T>, String>) -> Option<Option<T>> {
    if matches!(outcome, Ok(None)) { None } else { report.check(name, outcome) }
}

/// Encodes a grey picture.
fn run(mut encoder: FrameEncoder) -> Result<(), String> {
    let pixels = vec![0.1; 3 * encoder.size() * encoder.size()];
    let mut out = vec![0.0; encoder.dim()];
    encoder.encode(&pixels, &mut out).map_err(problem)
}

/// Rows of length 1, each along another axis.
fn unit_rows(rows: usize, width: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; rows * width];
    numbers.chunks_exact_mut(width).enumerate().for_each(|(i, row)| row[i % width] = 1.0);
    numbers
}

/// An error's sentence without the bundle's name, which the caller shows once.
fn problem(error: Error) -> String {
    match error {
        Error::Bundle { problem, .. } => problem,
        other => other.to_string(),
    }
}
