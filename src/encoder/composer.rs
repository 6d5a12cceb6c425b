//! The composer: attribute phrases to the embedding of their sentence, in place of a text tower.

use super::EncoderOptions;
use super::load::load;
use super::runner::Runner;
use super::shapes::{Dim, Numbers, Shape};
use crate::error::Result;

/// Makes sentence embeddings from phrase embeddings.
pub struct Composer {
    runner: Runner,
}

impl Composer {
    /// Loads a graph `[1, k, D]` to `[1, D]` for k = `phrases` and D = `dim`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with what is wrong with the graph and the remedy.
    pub fn load(onnx: &[u8], phrases: usize, dim: usize, options: EncoderOptions) -> Result<Self> {
        let count = Dim::Asked { name: "the number of phrases", value: phrases };
        let shape = Shape {
            numbers: Numbers::F32,
            input: &[Dim::Fixed(1), count, Dim::Fixed(dim)],
            output: &[Dim::Fixed(1), Dim::Fixed(dim)],
        };
        Ok(Self { runner: load(onnx, &shape, options)? })
    }

    /// Makes the sentence embedding `out`, `[D]`, from phrases `[k, D]`, best first.
    ///
    /// # Errors
    /// As [`super::FrameEncoder::encode`].
    pub fn compose(&mut self, phrases: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(phrases, out)
    }
}
