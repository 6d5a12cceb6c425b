//! A bundle's graphs: as bytes, and loaded.

use super::Bundle;
use crate::encoder::{Composer, EncoderOptions, FrameEncoder, TemporalHeader};
use crate::error::{Error, Result};
use crate::table::Bytes;

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
    pub fn load_visual(&self, threads: usize) -> Result<FrameEncoder> {
        let model = &self.manifest.model;
        self.frame_encoder("visual.onnx", self.visual(), "embedding_dim", model.embedding_dim, threads)
    }

    /// Loads the frame encoder of the attribute space, where it has one of its own.
    ///
    /// # Errors
    /// As [`Bundle::load_visual`].
    pub fn load_attribute_visual(&self, threads: usize) -> Result<Option<FrameEncoder>> {
        let width = self.manifest.attribute_dim();
        self.attribute_visual()
            .map(|onnx| self.frame_encoder("attribute_visual.onnx", onnx, "attribute_dim", width, threads))
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

    fn options(&self, file: &str, threads: usize) -> EncoderOptions {
        EncoderOptions::new(threads, self.place().to_string(), file)
    }

    fn frame_encoder(
        &self,
        file: &str,
        onnx: &[u8],
        field: &str,
        width: usize,
        threads: usize,
    ) -> Result<FrameEncoder> {
        let encoder = FrameEncoder::load(onnx, self.options(file, threads))?;
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
