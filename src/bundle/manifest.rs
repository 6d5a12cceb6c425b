//! bundle.toml: what a bundle says about itself (docs/bundle.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format version this build reads.
pub const FORMAT: u32 = 1;

/// bundle.toml.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format, [`FORMAT`].
    pub format: u32,
    /// Short name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// From what, by what and when it was made, in a line.
    #[serde(default)]
    pub provenance: String,
    /// What is computed with it.
    pub model: Model,
    /// How frames are prepared for it.
    pub preprocess: Preprocess,
    /// What to do where the user says nothing.
    #[serde(default)]
    pub defaults: Defaults,
    /// Figures measured when it was made.
    #[serde(default)]
    pub quality: BTreeMap<String, f64>,
    /// Every file but this one.
    pub files: BTreeMap<String, FileEntry>,
}

/// What is computed with a bundle. Symbols are those of docs/bundle.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// D.
    pub embedding_dim: usize,
    /// Da, where there is a lexicon.
    pub attribute_dim: Option<usize>,
    /// T.
    pub window: usize,
    /// Temporal header.
    pub header: Header,
    /// How frames and categories meet.
    pub interaction: Interaction,
    /// Temperature of concept spotting.
    pub tau: f32,
    /// Scale of cosines for confidences.
    pub logit_scale: f32,
    /// Weight of the video branch when fused with attributes; 1 = no attributes.
    pub lambda: f32,
    /// k, phrases in the attribute sentence.
    #[serde(default = "default_top_k")]
    pub attributes_top_k: usize,
    /// Which encoder sees attributes.
    #[serde(default)]
    pub attribute_encoder: AttributeEncoder,
    /// What that encoder is, where it is the same.
    #[serde(default)]
    pub attribute_source: AttributeSource,
    /// How the attribute sentence is made; [`Manifest::attribute_scores`] resolves what is left out.
    pub attribute_scores: Option<AttributeScores>,
    /// Sentences for a name, `{}` where it goes, with text.onnx: what its tables were made with. Embeddings are averaged
    /// over them; words and attribute sentences come from the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
}

fn default_top_k() -> usize {
    5
}

/// Temporal header over a window of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// Embeddings go on as they are.
    None,
    /// BIKE's six attention blocks over the window, temporal.onnx.
    Transf,
}

/// How frames and categories meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interaction {
    /// Video concept spotting.
    Vcs,
    /// Dot product with the mean frame.
    Dp,
}

/// Which encoder sees attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeEncoder {
    /// The frame encoder.
    #[default]
    Same,
    /// attribute_visual.onnx.
    Own,
}

/// What the attribute encoder is, where it is the frame encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributeSource {
    /// The fine-tuned video encoder.
    #[default]
    FineTuned,
    /// An encoder that was not fine-tuned, as in the paper.
    Plain,
}

/// How the attribute sentence's embedding is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeScores {
    /// By composer.onnx.
    Composer,
    /// Mean of the phrases less the mean of all.
    Mean,
    /// By the text tower, text.onnx.
    Tower,
}

/// How a frame is prepared. Interpolation is bicubic with antialiasing, as Pillow does it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Shorter side after resizing, pixels.
    pub resize: u32,
    /// S, side of the square crop, pixels.
    pub crop: u32,
    /// Subtracted from RGB in 0..1.
    pub mean: [f32; 3],
    /// Then divided by.
    pub std: [f32; 3],
}

/// What to do where the user says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Seconds between sampled frames of a stream; [`Manifest::stride_s`] resolves what is left out.
    pub stride_s: Option<f64>,
    /// Categories that mean "nothing of interest".
    #[serde(default)]
    pub background: Vec<String>,
}

/// Size and hash of a listed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: Option<u32>,
}

impl Manifest {
    /// Reads and checks bundle.toml, apart from the files it lists.
    ///
    /// # Errors
    /// One sentence that names the field, what is wrong with it and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The version comes first: what a later format holds would only look like mistakes.
        let version: FormatOnly = toml::from_str(text).map_err(|e| describe(&e, text))?;
        match version.format {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "bundle.toml: format is {other}, and this bike-edge reads format {FORMAT}; use a bike-edge of the \
                     bundle's age or export the bundle again"
                ));
            }
            None => return Err(format!("bundle.toml: format is missing; write `format = {FORMAT}` in its first line")),
        }
        let manifest: Self = toml::from_str(text).map_err(|e| describe(&e, text))?;
        manifest.check().map_err(|problem| format!("bundle.toml: {problem}"))?;
        Ok(manifest)
    }

    /// True where the file is listed.
    pub fn lists(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }

    /// True where there is a lexicon.
    pub fn has_lexicon(&self) -> bool {
        self.lists("lexicon.safetensors")
    }

    /// Da; D where it is left out.
    pub fn attribute_dim(&self) -> usize {
        self.model.attribute_dim.unwrap_or(self.model.embedding_dim)
    }

    /// Seconds between sampled frames of a stream: BIKE's models saw clips of 10 s.
    pub fn stride_s(&self) -> f64 {
        self.defaults.stride_s.unwrap_or(10.0 / self.model.window as f64)
    }

    /// How attribute sentences are made: as said, or by the composer where there is one, or by the mean.
    pub fn attribute_scores(&self) -> AttributeScores {
        let composer = self.lists("composer.onnx");
        let default = if composer { AttributeScores::Composer } else { AttributeScores::Mean };
        self.model.attribute_scores.unwrap_or(default)
    }
}

/// A TOML error as one sentence with its line.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', " ");
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map_or(String::new(), |before| {
        let line = before.matches('\n').count();
        let shown: String = text.lines().nth(line).unwrap_or("").trim().escape_debug().take(80).collect();
        format!(" line {}, `{shown}`", line + 1)
    });
    format!("bundle.toml{place}: {message}; docs/bundle.md lists the fields")
}
