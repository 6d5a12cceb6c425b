//! Reads and checks bundle.toml, which describes a bundle (docs/bundle.md).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::archive::is_plain_name;
use super::limits;
use crate::preprocess::PreprocessSpec;
use crate::recognition::{Interaction, RecognitionSpec, SentenceMethod};
use crate::text::Pooling;
use crate::units::Seconds;

/// The length of the clips that BIKE's models were trained on.
const CLIP_S: Seconds = 10.0;

/// The format version that this build reads.
pub const FORMAT: u32 = 1;

/// The contents of bundle.toml.
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
    /// One line about its origin: sources, tools and date.
    #[serde(default)]
    pub provenance: String,
    /// How the model computes.
    pub model: Model,
    /// How frames are prepared for the model.
    pub preprocess: Preprocess,
    /// How text.onnx is used.
    #[serde(default, skip_serializing_if = "Text::is_clip")]
    pub text: Text,
    /// Defaults for settings that the user does not set.
    #[serde(default)]
    pub defaults: Defaults,
    /// Quality figures, measured when the bundle was made.
    #[serde(default)]
    pub quality: BTreeMap<String, f64>,
    /// Every file except bundle.toml.
    pub files: BTreeMap<String, FileEntry>,
}

/// How a model computes. The symbols are those of docs/bundle.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// D, the width of embeddings.
    pub embedding_dim: usize,
    /// Da, the width of attribute embeddings; required with a lexicon.
    pub attribute_dim: Option<usize>,
    /// T, frames in a window.
    pub window: usize,
    /// Temporal header.
    pub header: HeaderKind,
    /// How frames and categories are compared.
    pub interaction: Interaction,
    /// Temperature of concept spotting.
    pub tau: f32,
    /// Scale of cosines in the softmax of the confidences.
    pub logit_scale: f32,
    /// Weight of the video branch when fused with attributes; with 1 attributes are listed but do not score.
    pub lambda: f32,
    /// k, phrases in the attribute sentence.
    #[serde(default = "default_top_k")]
    pub attributes_top_k: usize,
    /// Which encoder embeds frames for attributes.
    #[serde(default)]
    pub attribute_encoder: AttributeEncoder,
    /// Whether the frame encoder that embeds frames for attributes is fine-tuned; has no effect for a separate encoder.
    #[serde(default)]
    pub attribute_source: AttributeSource,
    /// How the attribute sentence is embedded; [`Manifest::attribute_scores`] gives the default.
    pub attribute_scores: Option<SentenceMethod>,
    /// Sentences with `{}` in place of a name; required with text.onnx. Category embeddings are averaged over them;
    /// words and attribute sentences use only the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
}

fn default_top_k() -> usize {
    5
}

/// The temporal header of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderKind {
    /// No header: embeddings are used unchanged.
    None,
    /// BIKE's six attention blocks over a window, temporal.onnx.
    Transf,
}

/// The encoder that embeds frames for attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeEncoder {
    /// The frame encoder.
    #[default]
    Same,
    /// attribute_visual.onnx.
    Own,
}

/// The kind of the attribute encoder, if it is the frame encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributeSource {
    /// The fine-tuned video encoder.
    #[default]
    FineTuned,
    /// An encoder that was not fine-tuned, as in the paper.
    Plain,
}

/// How a frame is prepared. Interpolation is bicubic with antialiasing, as in Pillow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Shorter side after resizing, in pixels.
    pub resize: u32,
    /// S, side of the square crop, in pixels.
    pub crop: u32,
    /// Means that are subtracted from RGB values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviations by which the differences are divided.
    pub std: [f32; 3],
}

/// How the text tower is used; the defaults are CLIP's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Text {
    /// The tokenizer whose table is tokenizer.txt.
    pub tokenizer: TokenizerKind,
    /// How the embedding of a text is made from those of its tokens.
    pub pooling: Pooling,
    /// The sentence of attributes, with `{}` in their place; the first of `model.prompts` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute_prompt: Option<String>,
}

impl Text {
    fn is_clip(&self) -> bool {
        *self == Self::default()
    }
}

/// A tokenizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// CLIP's byte-pair encoding; tokenizer.txt has its merges.
    #[default]
    Clip,
    /// BERT's uncased WordPiece; tokenizer.txt has its pieces.
    Wordpiece,
}

/// Defaults for settings that the user does not set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Seconds between sampled frames of a stream; [`Manifest::default_stride`] gives the default.
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
    /// Parses and checks bundle.toml. The files that it lists are not read.
    ///
    /// # Errors
    /// Returns a sentence with the field, the problem and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The version is checked first, because the fields of a later format would be reported as errors.
        let version: FormatOnly = toml::from_str(text).map_err(|e| describe(&e, text))?;
        match version.format {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "bundle.toml: format is {other}, and this bike-edge reads format {FORMAT}; use a bike-edge that \
                     reads format {other} or export the bundle again"
                ));
            }
            None => return Err(format!("bundle.toml: format is missing; write `format = {FORMAT}` in its first line")),
        }
        let manifest: Self = toml::from_str(text).map_err(|e| describe(&e, text))?;
        manifest.check().map_err(|problem| format!("bundle.toml: {problem}"))?;
        Ok(manifest)
    }

    /// Returns whether the file is listed.
    pub fn lists(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }

    /// Returns whether the bundle has a lexicon.
    pub fn has_lexicon(&self) -> bool {
        self.lists("lexicon.safetensors")
    }

    /// Returns Da, which is D by default.
    pub fn attribute_dim(&self) -> usize {
        self.model.attribute_dim.unwrap_or(self.model.embedding_dim)
    }

    /// Returns the default of the seconds between sampled frames, for windows of `window` frames. The stride in the
    /// manifest applies only to the bundle's own window; otherwise a window spans 10 s, the length of the clips that
    /// BIKE's models were trained on.
    pub fn default_stride(&self, window: usize) -> Seconds {
        let own = self.defaults.stride_s.filter(|_| window == self.model.window);
        own.unwrap_or(CLIP_S / window as Seconds)
    }

    /// Returns how attribute sentences are embedded. The default is the composer if there is one, or else the mean.
    pub fn attribute_scores(&self) -> SentenceMethod {
        let composer = self.lists("composer.onnx");
        let default = if composer { SentenceMethod::Composer } else { SentenceMethod::Mean };
        self.model.attribute_scores.unwrap_or(default)
    }
}

/// Formats a TOML error as one sentence with its line.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', " ");
    let before = error.span().and_then(|span| text.get(..span.start));
    let location = before.map_or(String::new(), |before| {
        let line = before.matches('\n').count();
        let shown: String = text.lines().nth(line).unwrap_or("").trim().escape_debug().take(80).collect();
        format!(" line {}, `{shown}`", line + 1)
    });
    format!("bundle.toml{location}: {message}; docs/bundle.md lists the fields")
}

impl Manifest {
    /// Checks the range of every field, and which fields and files require each other.
    fn check(&self) -> Result<(), String> {
        self.check_head()?;
        self.check_model()?;
        self.check_preprocess()?;
        self.check_defaults()?;
        self.check_files()?;
        self.check_prompts()?;
        self.check_parts()
    }

    fn check_prompts(&self) -> Result<(), String> {
        let prompts = &self.model.prompts;
        if prompts.len() > limits::PROMPTS {
            let max = limits::PROMPTS;
            return Err(format!("model.prompts has {} prompts, but at most {max} are allowed", prompts.len()));
        }
        let check = |field: &str, prompt: &str| {
            check_line(field, prompt, limits::NAME_BYTES)?;
            match prompt.matches("{}").count() {
                1 => Ok(()),
                _ => Err(format!("{field} needs {{}} once, in place of the name")),
            }
        };
        for (i, prompt) in prompts.iter().enumerate() {
            check(&format!("model.prompts[{i}]"), prompt)?;
        }
        self.text.attribute_prompt.as_ref().map_or(Ok(()), |prompt| check("text.attribute_prompt", prompt))
    }

    fn check_head(&self) -> Result<(), String> {
        for (field, text) in [("name", &self.name), ("version", &self.version), ("licence", &self.licence)] {
            check_line(field, text, 128)?;
            if text.trim().is_empty() {
                return Err(format!("{field} is empty; fill it in"));
            }
        }
        check_line("provenance", &self.provenance, 4096)
    }

    fn check_model(&self) -> Result<(), String> {
        let model = &self.model;
        check_range("model.embedding_dim", model.embedding_dim, 1..=limits::WIDTH)?;
        check_range("model.window", model.window, RecognitionSpec::WINDOW)?;
        check_range("model.attributes_top_k", model.attributes_top_k, RecognitionSpec::TOP_K)?;
        if let Some(width) = model.attribute_dim {
            check_range("model.attribute_dim", width, 1..=limits::WIDTH)?;
        }
        check_range("model.tau", model.tau, RecognitionSpec::TAU)?;
        check_range("model.logit_scale", model.logit_scale, RecognitionSpec::LOGIT_SCALE)?;
        check_range("model.lambda", model.lambda, RecognitionSpec::LAMBDA)
    }

    fn check_preprocess(&self) -> Result<(), String> {
        let preprocess = &self.preprocess;
        check_range("preprocess.crop", preprocess.crop, 16..=1024)?;
        check_range("preprocess.resize", preprocess.resize, 16..=PreprocessSpec::MAX_RESIZE)?;
        if preprocess.resize < preprocess.crop {
            return Err(format!(
                "preprocess.resize is {}, less than preprocess.crop = {}; it must be at least that",
                preprocess.resize, preprocess.crop
            ));
        }
        for i in 0..3 {
            check_range(&format!("preprocess.mean[{i}]"), preprocess.mean[i], 0.0..=1.0)?;
            check_range(&format!("preprocess.std[{i}]"), preprocess.std[i], 1e-3..=10.0)?;
        }
        Ok(())
    }

    fn check_defaults(&self) -> Result<(), String> {
        if let Some(stride) = self.defaults.stride_s {
            check_range("defaults.stride_s", stride, 1e-3..=3600.0)?;
        }
        match self.quality.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => Err(format!("quality.{name} is {value}; remove it if it was not measured")),
            None => Ok(()),
        }
    }

    fn check_files(&self) -> Result<(), String> {
        if self.files.len() > limits::FILES {
            return Err(format!("{} files are listed, but at most {} are allowed", self.files.len(), limits::FILES));
        }
        for (name, entry) in &self.files {
            if !is_plain_name(name) || name == "bundle.toml" {
                let shown = name.escape_debug();
                return Err(format!(
                    "files.\"{shown}\" cannot be a file of a bundle; names consist of letters, digits, `.`, `_` and `-`"
                ));
            }
            if entry.sha256.len() != 64 || !entry.sha256.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(format!("files.\"{name}\".sha256 is not 64 hexadecimal digits; take them from sha256sum"));
            }
            let limit = limits::file_bytes(name);
            if entry.bytes > limit {
                return Err(format!("files.\"{name}\".bytes is {}, but at most {limit} are allowed", entry.bytes));
            }
        }
        Ok(())
    }

    /// Checks that files and fields that require each other are present.
    fn check_parts(&self) -> Result<(), String> {
        let model = &self.model;
        let require = |file: &str, why: &str| match self.lists(file) {
            true => Ok(()),
            false => Err(format!("{file} is not listed under [files], and {why}; add it and its entry")),
        };
        for file in ["visual.onnx", "categories.txt", "categories.safetensors"] {
            require(file, "every bundle needs it")?;
        }
        if model.header == HeaderKind::Transf {
            require("temporal.onnx", "model.header = \"transf\" needs it")?;
        }
        if self.lists("lexicon.txt") || self.has_lexicon() {
            require("lexicon.txt", "lexicon.safetensors needs it")?;
            require("lexicon.safetensors", "lexicon.txt needs it")?;
            if model.attribute_dim.is_none() {
                return Err("model.attribute_dim is missing, and a bundle with a lexicon needs it; add it".into());
            }
        }
        match model.attribute_encoder {
            AttributeEncoder::Own => {
                require("attribute_visual.onnx", "model.attribute_encoder = \"own\" needs it")?;
                require("lexicon.safetensors", "model.attribute_encoder = \"own\" needs it")?;
            }
            AttributeEncoder::Same if self.attribute_dim() != model.embedding_dim => {
                return Err(format!(
                    "model.attribute_dim is {} and model.embedding_dim {}, but attribute_encoder = \"same\" needs them \
                     equal; set it to \"own\" or export the lexicon for this encoder",
                    self.attribute_dim(),
                    model.embedding_dim
                ));
            }
            AttributeEncoder::Same => {}
        }
        if self.lists("text.onnx") {
            require("tokenizer.txt", "text.onnx needs it")?;
            if model.prompts.is_empty() {
                return Err(
                    "model.prompts is missing, and text.onnx needs it; add the prompts of its tables, such as \
                            [\"This is a video about {}\"]"
                        .into(),
                );
            }
        }
        if self.lists("text.safetensors") {
            require("text.onnx", "text.safetensors needs it")?;
        }
        if self.lists("sentence_head.onnx") || self.lists("query_head.onnx") {
            require("text.onnx", "sentence_head.onnx and query_head.onnx need it")?;
            require("sentence_head.onnx", "query_head.onnx needs it")?;
            require("query_head.onnx", "sentence_head.onnx needs it")?;
        }
        match model.attribute_scores {
            Some(SentenceMethod::Composer) => {
                require("composer.onnx", "model.attribute_scores = \"composer\" needs it (\"mean\" needs no file)")
            }
            Some(SentenceMethod::Tower) => require("text.onnx", "model.attribute_scores = \"tower\" needs it"),
            Some(SentenceMethod::Mean) | None => Ok(()),
        }
    }
}

/// Checks that a text is one line of at most `max` bytes.
fn check_line(field: &str, text: &str, max: usize) -> Result<(), String> {
    if text.len() > max {
        return Err(format!("{field} has {} bytes, but at most {max} are allowed", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{field} holds a control character; write it as one line of plain text"));
    }
    Ok(())
}

/// Checks that a number is within its range.
fn check_range<T: PartialOrd + Display>(field: &str, value: T, range: RangeInclusive<T>) -> Result<(), String> {
    if !range.contains(&value) {
        return Err(format!("{field} is {value}; it must be from {} to {}", range.start(), range.end()));
    }
    Ok(())
}
