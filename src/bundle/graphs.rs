//! A bundle's graphs: as bytes, and loaded.

use super::Bundle;
use crate::encoder::{AttributeHead, Composer, Compute, EncoderOptions, FrameEncoder, TemporalHeader, TextTower};
use crate::error::{Error, Result};
use crate::table::Bytes;
use crate::text::{Heads, TextEncoder, Tokenizer};

impl Bundle {
    /// visual.onnx, the frame encoder.
    pub fn visual(&self) -> &[u8] {
        self.file("visual.onnx").map_or(&[], |bytes| bytes)
    }

    /// temporal.onnx, the temporal header.
    pub fn temporal(&self) -> Option<&Bytes> {
        self.file("temporal.onnx")
    }

    /// attribute_visual.onnx, the frame encoder of the attribute space.
    pub fn attribute_visual(&self) -> Option<&Bytes> {
        self.file("attribute_visual.onnx")
    }

    /// composer.onnx, attribute sentences from phrases.
    pub fn composer(&self) -> Option<&Bytes> {
        self.file("composer.onnx")
    }

    /// text.onnx, the text tower.
    pub fn text(&self) -> Option<&Bytes> {
        self.file("text.onnx")
    }

    /// Loads the frame encoder and checks that it is as wide as the manifest says.
    ///
    /// # Errors
    /// [`Error::Bundle`] with what is wrong with the graph and the remedy.
    pub fn load_visual(&self, on: impl Into<Compute>) -> Result<FrameEncoder> {
        let model = &self.manifest.model;
        self.frame_encoder("visual.onnx", self.visual(), "embedding_dim", model.embedding_dim, on.into())
    }

    /// Loads the frame encoder of the attribute space, where it has one of its own.
    ///
    /// # Errors
    /// As [`Bundle::load_visual`].
    pub fn load_attribute_visual(&self, on: impl Into<Compute>) -> Result<Option<FrameEncoder>> {
        let on = on.into();
        let width = self.manifest.attribute_dim();
        self.attribute_visual()
            .map(|onnx| self.frame_encoder("attribute_visual.onnx", onnx, "attribute_dim", width, on))
            .transpose()
    }

    /// Loads the temporal header, where there is one, for windows of `window` frames.
    ///
    /// # Errors
    /// As [`Bundle::load_visual`]; also where the graph was made for another window.
    pub fn load_temporal(&self, window: usize, threads: usize) -> Result<Option<TemporalHeader>> {
        let width = self.manifest.model.embedding_dim;
        let load = |onnx: &Bytes| TemporalHeader::load(onnx, window, width, self.options("temporal.onnx", threads));
        self.temporal().map(load).transpose()
    }

    /// Loads the composer, where there is one.
    ///
    /// # Errors
    /// As [`Bundle::load_visual`].
    pub fn load_composer(&self, threads: usize) -> Result<Option<Composer>> {
        let model = &self.manifest.model;
        let (phrases, width) = (model.attributes_top_k, model.embedding_dim);
        let load = |onnx: &Bytes| Composer::load(onnx, phrases, width, self.options("composer.onnx", threads));
        self.composer().map(load).transpose()
    }

    /// Loads the text tower with its tokenizer and heads, where there is one.
    ///
    /// # Errors
    /// As [`Bundle::load_visual`]; also for a tokenizer that cannot be used, and where categories are seen through a
    /// trained head and the bundle carries none, or the other way round.
    pub fn load_text(&self, threads: usize) -> Result<Option<TextEncoder>> {
        let Some(onnx) = self.text() else { return Ok(None) };
        let problem = |problem: String| Error::bundle(self.place().to_string(), problem);
        let heads = self.load_heads(threads)?;
        if heads.is_some() != self.categories().attribute.is_some() {
            return Err(problem(
                "categories.safetensors has `category_attribute` without sentence_head.onnx and query_head.onnx, or they \
                 are there without it; export the bundle with both"
                    .into(),
            ));
        }
        let tokenizer = self.load_tokenizer().map_err(problem)?;
        let width = self.manifest.model.embedding_dim;
        let tower = TextTower::load(onnx, width, self.options("text.onnx", threads))?;
        let prompts = self.manifest.model.prompts.clone();
        Ok(Some(TextEncoder::new(tokenizer, tower, heads, prompts, width, self.place().to_string())))
    }

    /// Reads tokenizer.txt. Errors are sentences that begin with the file.
    pub(super) fn load_tokenizer(&self) -> Result<Tokenizer, String> {
        let missing = "tokenizer.txt is not listed under [files] of bundle.toml; add its entry";
        let text = self.file("tokenizer.txt").ok_or(missing)?;
        Tokenizer::parse(text).map_err(|problem| format!("tokenizer.txt: {problem}"))
    }

    fn load_heads(&self, threads: usize) -> Result<Option<Heads>> {
        let head = |name: &str| {
            let width = self.manifest.model.embedding_dim;
            let load = |onnx: &Bytes| AttributeHead::load(onnx, width, self.options(name, threads));
            self.file(name).map(load).transpose()
        };
        let heads = head("sentence_head.onnx")?.zip(head("query_head.onnx")?);
        Ok(heads.map(|(sentence, query)| Heads { sentence, query }))
    }

    fn options(&self, file: &str, threads: usize) -> EncoderOptions {
        EncoderOptions::new(threads, self.place().to_string(), file)
    }

    fn frame_encoder(&self, file: &str, onnx: &[u8], field: &str, width: usize, on: Compute) -> Result<FrameEncoder> {
        let options = EncoderOptions { device: on.device, ..self.options(file, on.threads) };
        let encoder = FrameEncoder::load(onnx, options)?;
        let problem = |problem| Err(Error::bundle(self.place().to_string(), problem));
        let crop = self.manifest.preprocess.crop as usize;
        if encoder.dim() != width {
            return problem(format!(
                "{file} makes embeddings of {}, and bundle.toml says model.{field} = {width}; make them agree",
                encoder.dim()
            ));
        }
        if encoder.size() != crop {
            return problem(format!(
                "{file} takes pictures of {} pixels, and bundle.toml says preprocess.crop = {crop}; make them agree",
                encoder.size()
            ));
        }
        Ok(encoder)
    }
}
