//! Reports on a bundle: its description (`bundle inspect`) and the outcome of every check (`bundle verify`).

use std::io::{self, Write};

use super::files::{BundleRef, Container, check_hashes, listed_files};
use super::manifest::{AttributeEncoder, AttributeSource, HeaderKind};
use super::open::{Bundle, check_background, read_categories, read_lexicon, read_manifest};
use crate::encoder::FrameEncoder;
use crate::error::Error;
use crate::io::printable;
use crate::recognition::{Interaction, SentenceMethod};
use crate::table::{Dtype, Table};

/// Writes a description of a bundle, its model and its files, for `bike-edge bundle inspect`.
///
/// # Errors
/// Returns an error if writing fails.
pub fn describe(bundle: &Bundle, out: &mut dyn Write) -> io::Result<()> {
    let manifest = &bundle.manifest;
    let model = &manifest.model;
    let mut line = |name: &str, value: String| writeln!(out, "{name:<12}{value}");
    line("bundle", format!("{} {} ({})", manifest.name, manifest.version, bundle.location()))?;
    line("licence", manifest.licence.clone())?;
    if !manifest.provenance.is_empty() {
        line("from", manifest.provenance.clone())?;
    }
    let size = manifest.preprocess.crop;
    line("encoder", format!("{size}x{size} pixels to D = {}", model.embedding_dim))?;
    let header = match model.header {
        HeaderKind::None => "no temporal header",
        HeaderKind::Transf => "temporal header (Transf)",
    };
    let interaction = match model.interaction {
        Interaction::Vcs => format!("video concept spotting, tau {}", model.tau),
        Interaction::Dp => "dot product".to_owned(),
    };
    line(
        "window",
        format!("T = {}, {header}, {interaction}, stride {:.3} s", model.window, manifest.default_stride(model.window)),
    )?;
    line("scores", format!("lambda {}, logit scale {}", model.lambda, model.logit_scale))?;
    let categories = bundle.categories();
    line(
        "categories",
        format!(
            "{} ({} background), {} word rows each, {}",
            categories.names.len(),
            manifest.defaults.background.len(),
            (categories.words.rows_per_category(categories.names.len()) * 10.0).round() / 10.0,
            dtype(&categories.category)
        ),
    )?;
    match bundle.lexicon() {
        Some(lexicon) => {
            let encoder = match (model.attribute_encoder, model.attribute_source) {
                (AttributeEncoder::Own, _) => "a separate encoder",
                (AttributeEncoder::Same, AttributeSource::Plain) => "the frame encoder (not fine-tuned)",
                (AttributeEncoder::Same, AttributeSource::FineTuned) => {
                    "the frame encoder (fine-tuned, unlike the paper's)"
                }
            };
            line("lexicon", format!("{} phrases, {}", lexicon.phrases.len(), dtype(&lexicon.retrieval)))?;
            let how = match manifest.attribute_scores() {
                SentenceMethod::Composer => "a composer",
                SentenceMethod::Mean => "the mean of the phrases",
                SentenceMethod::Tower => "the text tower",
            };
            line("attributes", format!("{} by {encoder}, sentence by {how}", model.attributes_top_k))?;
        }
        None => line("lexicon", "none: no attributes".to_owned())?,
    }
    let text = match bundle.has_text_tower() {
        true => format!("a tower: any text can be a category, prompted as \"{}\"", model.prompts.join("\", \"")),
        false => "no tower: only categories and phrases of the bundle".to_owned(),
    };
    line("text", text)?;
    for (name, value) in &manifest.quality {
        line("quality", printable(&format!("{name} {value}")))?;
    }
    for (name, bytes) in bundle.file_sizes() {
        line("file", format!("{name:<28} {:>10.1} kB", bytes as f64 / 1e3))?;
    }
    Ok(())
}

/// Returns the name of a table's storage type.
fn dtype(table: &Table) -> &'static str {
    match table.dtype() {
        Dtype::F32 => "f32",
        Dtype::F16 => "f16",
        Dtype::I8 => "int8",
    }
}

/// Performs every check of docs/bundle.md and reports each with its name and outcome. Continues after a failure if
/// later checks can still be made. Loads every graph and runs it once. Returns whether all checks passed.
pub fn verify(location: &BundleRef, report: &mut dyn FnMut(&str, Result<(), String>)) -> bool {
    let mut report = Report { sink: report, passed: true };
    let complete = report.check_parts(location);
    if complete && report.passed {
        report.check_graphs(location);
    }
    report.passed
}

/// Reports checks to a callback and records whether all passed.
struct Report<'a> {
    sink: &'a mut dyn FnMut(&str, Result<(), String>),
    passed: bool,
}

impl Report<'_> {
    /// Reports a check's outcome and returns its value.
    fn check<T>(&mut self, name: &str, outcome: Result<T, String>) -> Option<T> {
        let (outcome, value) = match outcome {
            Ok(value) => (Ok(()), Some(value)),
            Err(problem) => (Err(problem), None),
        };
        self.passed &= outcome.is_ok();
        (self.sink)(name, outcome);
        value
    }

    /// Checks everything except graphs. Returns false if a failure made further checks impossible.
    fn check_parts(&mut self, location: &BundleRef) -> bool {
        let Some(container) = self.check("can be read", Container::open(location)) else { return false };
        let Some((manifest, _)) = self.check("bundle.toml", read_manifest(&container)) else { return false };
        let Some(files) = self.check("listed files", listed_files(&container, &manifest)) else { return false };
        for (name, outcome) in files.keys().zip(check_hashes(&manifest, &files)) {
            self.check(&format!("size and sha256 of {name}"), outcome);
        }
        let categories = self.check("categories", read_categories(&manifest, &files));
        let lexicon = match manifest.has_lexicon() {
            true => self.check("lexicon", read_lexicon(&manifest, &files)).flatten(),
            false => None,
        };
        if let Some(categories) = categories {
            self.check("background categories", check_background(&manifest, &categories, lexicon.as_ref()));
        }
        true
    }

    /// Loads every graph and runs it once.
    fn check_graphs(&mut self, location: &BundleRef) {
        let Some(bundle) = self.check("opens", Bundle::open(location).map_err(problem)) else { return };
        let (model, width) = (&bundle.manifest.model, bundle.manifest.model.embedding_dim);
        if let Some(encoder) = self.check("visual.onnx loads", bundle.load_visual(1).map_err(problem)) {
            self.check("visual.onnx runs", run_encoder(encoder));
        }
        if let Some(Some(encoder)) =
            optional(self, "attribute_visual.onnx loads", bundle.load_attribute_visual(1).map_err(problem))
        {
            self.check("attribute_visual.onnx runs", run_encoder(encoder));
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
        if bundle.has_text_tower() {
            self.check("tokenizer.txt", bundle.load_tokenizer().map(drop));
            if bundle.file("text.safetensors").is_some() {
                self.check("text.safetensors", bundle.load_text_means().map(drop));
            }
        }
        if let Some(Some(mut text)) = optional(self, "text.onnx loads", bundle.load_text(1).map_err(problem)) {
            let mut sentence = vec![0.0; width];
            self.check(
                "text.onnx runs",
                text.encode_categories(&["a name"], &mut |_, _| {}).map(drop).map_err(problem),
            );
            self.check("attribute sentences", text.encode_sentence(&["a phrase"], &mut sentence).map_err(problem));
        }
    }
}

/// Reports the outcome for a part that may be missing, unless it is missing.
fn optional<T>(report: &mut Report<'_>, name: &str, outcome: Result<Option<T>, String>) -> Option<Option<T>> {
    if matches!(outcome, Ok(None)) { None } else { report.check(name, outcome) }
}

/// Encodes a gray picture.
fn run_encoder(mut encoder: FrameEncoder) -> Result<(), String> {
    let pixels = vec![0.1; 3 * encoder.size() * encoder.size()];
    let mut out = vec![0.0; encoder.dim()];
    encoder.encode(&pixels, &mut out).map_err(problem)
}

/// Returns rows of length 1, each along its own axis.
fn unit_rows(rows: usize, width: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; rows * width];
    numbers.chunks_exact_mut(width).enumerate().for_each(|(i, row)| row[i % width] = 1.0);
    numbers
}

/// Returns an error's sentence without the bundle's name, which the caller shows once.
fn problem(error: Error) -> String {
    match error {
        Error::Bundle { problem, .. } => problem,
        other => other.to_string(),
    }
}
