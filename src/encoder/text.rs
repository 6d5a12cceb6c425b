//! The text tower: tokens to embeddings, and the heads that a trained attribute branch has behind it.

use super::EncoderOptions;
use super::load::load;
use super::runner::Runner;
use super::shapes::{Dim, Numbers, Shape};
use crate::error::Result;

/// Positions of a text: CLIP's.
pub const TEXT_POSITIONS: usize = 77;

/// CLIP's text transformer.
pub struct TextTower {
    runner: Runner,
}

impl TextTower {
    /// Loads a graph `[1, 77]` i64 to `[1, 77, D]` for D = `dim`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with what is wrong with the graph and the remedy.
    pub fn load(onnx: &[u8], dim: usize, options: EncoderOptions) -> Result<Self> {
        let shape = Shape {
            numbers: Numbers::I64,
            input: &[Dim::Fixed(1), Dim::Fixed(TEXT_POSITIONS)],
            output: &[Dim::Fixed(1), Dim::Fixed(TEXT_POSITIONS), Dim::Fixed(dim)],
        };
        Ok(Self { runner: load(onnx, &shape, options)? })
    }

    /// Embeds tokens `[77]` into `words`, `[77, D]`, a row a position, not normalised.
    ///
    /// # Errors
    /// As [`super::FrameEncoder::encode`]; also for tokens that the graph does not know.
    pub fn encode(&mut self, tokens: &[i64], words: &mut [f32]) -> Result<()> {
        self.runner.run(tokens, words)
    }
}

/// One of the two heads of a trained attribute branch: of sentences, or of categories.
pub struct AttributeHead {
    runner: Runner,
}

impl AttributeHead {
    /// Loads a graph `[1, D]` to `[1, D]` for D = `dim`.
    ///
    /// # Errors
    /// As [`TextTower::load`].
    pub fn load(onnx: &[u8], dim: usize, options: EncoderOptions) -> Result<Self> {
        let row = [Dim::Fixed(1), Dim::Fixed(dim)];
        Ok(Self { runner: load(onnx, &Shape { numbers: Numbers::F32, input: &row, output: &row }, options)? })
    }

    /// Turns an embedding of the text tower, `[D]`, into what the attribute branch compares, `[D]`, not normalised.
    ///
    /// # Errors
    /// As [`super::FrameEncoder::encode`].
    pub fn apply(&mut self, embedding: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(embedding, out)
    }
}
