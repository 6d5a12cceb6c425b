//! A bundle in words, for `bundle inspect`.

use std::io::{self, Write};

use super::Bundle;
use super::manifest::{AttributeEncoder, AttributeScores, AttributeSource, Header, Interaction};
use crate::table::{Dtype, Table};

/// Writes what a bundle is, holds and can do.
///
/// # Errors
/// As writing.
pub fn describe(bundle: &Bundle, out: &mut dyn Write) -> io::Result<()> {
    let manifest = &bundle.manifest;
    let model = &manifest.model;
    let mut line = |name: &str, value: String| writeln!(out, "{name:<12}{value}");
    line("bundle", format!("{} {} ({})", manifest.name, manifest.version, bundle.place()))?;
    line("licence", manifest.licence.clone())?;
    if !manifest.provenance.is_empty() {
        line("from", manifest.provenance.clone())?;
    }
    let size = manifest.preprocess.crop;
    line("encoder", format!("{size}x{size} pixels to D = {}", model.embedding_dim))?;
    let header = match model.header {
        Header::None => "no temporal header",
        Header::Transf => "temporal header (Transf)",
    };
    let interaction = match model.interaction {
        Interaction::Vcs => format!("video concept spotting, tau {}", model.tau),
        Interaction::Dp => "dot product".to_owned(),
    };
    line("window", format!("T = {}, {header}, {interaction}, stride {:.3} s", model.window, manifest.stride_s()))?;
    line("scores", format!("lambda {}, logit scale {}", model.lambda, model.logit_scale))?;
    let categories = bundle.categories();
    line(
        "categories",
        format!(
            "{} ({} of background), {} word rows each, {}",
            categories.names.len(),
            manifest.defaults.background.len(),
            (categories.words.rows_per_category(categories.names.len()) * 10.0).round() / 10.0,
            dtype(&categories.category)
        ),
    )?;
    match bundle.lexicon() {
        Some(lexicon) => {
            let seen_by = match (model.attribute_encoder, model.attribute_source) {
                (AttributeEncoder::Own, _) => "an encoder of their own",
                (AttributeEncoder::Same, AttributeSource::Plain) => "the frame encoder (not fine-tuned)",
                (AttributeEncoder::Same, AttributeSource::FineTuned) => {
                    "the frame encoder (fine-tuned; the paper's is not)"
                }
            };
            line("lexicon", format!("{} phrases, {}", lexicon.phrases.len(), dtype(&lexicon.retrieval)))?;
            let how = match manifest.attribute_scores() {
                AttributeScores::Composer => "a composer",
                AttributeScores::Mean => "the mean of the phrases",
                AttributeScores::Tower => "the text tower",
            };
            line("attributes", format!("{} by {seen_by}, sentence by {how}", model.attributes_top_k))?;
        }
        None => line("lexicon", "none: no attributes".to_owned())?,
    }
    let text = match bundle.text() {
        Some(_) => format!("a tower: any text can be a category, as \"{}\"", model.prompts.join("\", \"")),
        None => "no tower: categories and phrases of the bundle alone".to_owned(),
    };
    line("text", text)?;
    for (name, value) in &manifest.quality {
        line("quality", format!("{name} {value}"))?;
    }
    for (name, bytes) in bundle.file_sizes() {
        line("file", format!("{name:<28} {:>10.1} kB", bytes as f64 / 1e3))?;
    }
    Ok(())
}

fn dtype(table: &Table) -> &'static str {
    match table.dtype() {
        Dtype::F32 => "f32",
        Dtype::F16 => "f16",
        Dtype::I8 => "int8",
    }
}
