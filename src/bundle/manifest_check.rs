//! Ranges of what bundle.toml says, and what its fields ask of each other.

use super::archive::is_plain_name;
use super::limits;
use super::manifest::{AttributeEncoder, AttributeScores, Header, Manifest};

impl Manifest {
    /// Checks every field.
    pub(super) fn check(&self) -> Result<(), String> {
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
            let most = limits::PROMPTS;
            return Err(format!("model.prompts has {} prompts, and {most} are the most allowed", prompts.len()));
        }
        for (i, prompt) in prompts.iter().enumerate() {
            check_line(&format!("model.prompts[{i}]"), prompt, limits::NAME_BYTES)?;
            if prompt.matches("{}").count() != 1 {
                return Err(format!("model.prompts[{i}] needs {{}} once, where the name goes"));
            }
        }
        Ok(())
    }

    fn check_head(&self) -> Result<(), String> {
        for (field, text) in [("name", &self.name), ("version", &self.version), ("licence", &self.licence)] {
            check_line(field, text, 128)?;
            if text.trim().is_empty() {
                return Err(format!("{field} is empty; say what it is"));
            }
        }
        check_line("provenance", &self.provenance, 4096)
    }

    fn check_model(&self) -> Result<(), String> {
        let model = &self.model;
        check_count("model.embedding_dim", model.embedding_dim, limits::WIDTH)?;
        check_count("model.window", model.window, limits::WINDOW)?;
        check_count("model.attributes_top_k", model.attributes_top_k, limits::TOP_K)?;
        if let Some(width) = model.attribute_dim {
            check_count("model.attribute_dim", width, limits::WIDTH)?;
        }
        check_range("model.tau", model.tau, 1e-4, 100.0)?;
        check_range("model.logit_scale", model.logit_scale, 1e-3, 1e4)?;
        check_range("model.lambda", model.lambda, 0.0, 1.0)
    }

    fn check_preprocess(&self) -> Result<(), String> {
        let preprocess = &self.preprocess;
        check_range("preprocess.crop", preprocess.crop as f32, 16.0, 1024.0)?;
        check_range("preprocess.resize", preprocess.resize as f32, 16.0, 2048.0)?;
        if preprocess.resize < preprocess.crop {
            return Err(format!(
                "preprocess.resize is {}, less than preprocess.crop = {}; it must be at least that",
                preprocess.resize, preprocess.crop
            ));
        }
        for i in 0..3 {
            check_range(&format!("preprocess.mean[{i}]"), preprocess.mean[i], -10.0, 10.0)?;
            check_range(&format!("preprocess.std[{i}]"), preprocess.std[i], 1e-3, 10.0)?;
        }
        Ok(())
    }

    fn check_defaults(&self) -> Result<(), String> {
        if let Some(stride) = self.defaults.stride_s {
            check_range("defaults.stride_s", stride as f32, 1e-3, 3600.0)?;
        }
        match self.quality.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => Err(format!("quality.{name} is {value}; leave out what was not measured")),
            None => Ok(()),
        }
    }

    fn check_files(&self) -> Result<(), String> {
        if self.files.len() > limits::FILES {
            return Err(format!("{} files are listed, and {} are the most allowed", self.files.len(), limits::FILES));
        }
        for (name, entry) in &self.files {
            if !is_plain_name(name) || name == "bundle.toml" {
                let shown = name.escape_debug();
                return Err(format!(
                    "files.\"{shown}\" cannot be a file of a bundle; names have letters, digits, `.`, `_` and `-`"
                ));
            }
            if entry.sha256.len() != 64 || !entry.sha256.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(format!("files.\"{name}\".sha256 is not 64 hexadecimal digits; take them from sha256sum"));
            }
            let limit = limits::file_bytes(name);
            if entry.bytes > limit {
                return Err(format!("files.\"{name}\".bytes is {}, and {limit} are the most allowed", entry.bytes));
            }
        }
        Ok(())
    }

    /// Files that fields ask for, and fields that files ask for.
    fn check_parts(&self) -> Result<(), String> {
        let model = &self.model;
        let need = |file: &str, why: &str| match self.lists(file) {
            true => Ok(()),
            false => Err(format!("{file} is not listed under [files], and {why}; add it and its entry")),
        };
        for file in ["visual.onnx", "categories.txt", "categories.safetensors"] {
            need(file, "every bundle needs it")?;
        }
        if model.header == Header::Transf {
            need("temporal.onnx", "model.header = \"transf\" needs it")?;
        }
        if self.lists("lexicon.txt") || self.has_lexicon() {
            need("lexicon.txt", "lexicon.safetensors needs it")?;
            need("lexicon.safetensors", "lexicon.txt needs it")?;
            if model.attribute_dim.is_none() {
                return Err("model.attribute_dim is missing, and a bundle with a lexicon needs it; add it".into());
            }
        }
        match model.attribute_encoder {
            AttributeEncoder::Own => {
                need("attribute_visual.onnx", "model.attribute_encoder = \"own\" needs it")?;
                need("lexicon.safetensors", "model.attribute_encoder = \"own\" needs it")?;
            }
            AttributeEncoder::Same if self.attribute_dim() != model.embedding_dim => {
                return Err(format!(
                    "model.attribute_dim is {} and model.embedding_dim {}, but attribute_encoder = \"same\" needs them \
                     equal; make it \"own\" or export the lexicon for this encoder",
                    self.attribute_dim(),
                    model.embedding_dim
                ));
            }
            AttributeEncoder::Same => {}
        }
        if self.lists("text.onnx") {
            need("tokenizer.txt", "text.onnx needs it")?;
            if model.prompts.is_empty() {
                return Err("model.prompts is missing, and text.onnx needs it: how its tables were prompted, as \
                            [\"This is a video about {}\"]; add it"
                    .into());
            }
        }
        if self.lists("sentence_head.onnx") || self.lists("query_head.onnx") {
            need("text.onnx", "sentence_head.onnx and query_head.onnx go with it")?;
            need("sentence_head.onnx", "query_head.onnx goes with it")?;
            need("query_head.onnx", "sentence_head.onnx goes with it")?;
        }
        match model.attribute_scores {
            Some(AttributeScores::Composer) => {
                need("composer.onnx", "model.attribute_scores = \"composer\" needs it (\"mean\" needs no file)")
            }
            Some(AttributeScores::Tower) => need("text.onnx", "model.attribute_scores = \"tower\" needs it"),
            Some(AttributeScores::Mean) | None => Ok(()),
        }
    }
}

fn check_line(field: &str, text: &str, most: usize) -> Result<(), String> {
    if text.len() > most {
        return Err(format!("{field} has {} bytes, and {most} are the most allowed", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{field} holds a control character; write it as one plain line"));
    }
    Ok(())
}

fn check_count(field: &str, value: usize, most: usize) -> Result<(), String> {
    if !(1..=most).contains(&value) {
        return Err(format!("{field} is {value}; it must be from 1 to {most}"));
    }
    Ok(())
}

fn check_range(field: &str, value: f32, least: f32, most: f32) -> Result<(), String> {
    if !(least..=most).contains(&value) {
        return Err(format!("{field} is {value}; it must be from {least} to {most}"));
    }
    Ok(())
}
