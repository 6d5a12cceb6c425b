//! The temporal header: a window of embeddings, each seen in the light of the others.

use super::EncoderOptions;
use super::load::load;
use super::runner::Runner;
use super::shapes::{Dim, Numbers, Shape};
use crate::error::Result;

/// BIKE's `Transf` header, run over a whole window.
pub struct TemporalHeader {
    runner: Runner,
}

impl TemporalHeader {
    /// Loads a graph `[1, T, D]` to `[1, T, D]` for T = `window` and D = `dim`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with what is wrong with the graph and the remedy, a graph made for another window
    /// among them.
    pub fn load(onnx: &[u8], window: usize, dim: usize, options: EncoderOptions) -> Result<Self> {
        let shape = [Dim::Fixed(1), Dim::Asked { name: "the window", value: window }, Dim::Fixed(dim)];
        Ok(Self { runner: load(onnx, &Shape { numbers: Numbers::F32, input: &shape, output: &shape }, options)? })
    }

    /// Turns embeddings `[T, D]`, oldest first, into `out`, `[T, D]`; neither is normalised.
    ///
    /// # Errors
    /// As [`super::FrameEncoder::encode`].
    pub fn apply(&mut self, frames: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(frames, out)
    }
}
