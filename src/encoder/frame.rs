//! The frame encoder: a normalised crop to an embedding.

use super::load::load;
use super::runner::Runner;
use super::shapes::{Dim, Numbers, Shape};
use super::{EncoderOptions, limits};
use crate::error::Result;

/// Encodes frames, one at a time.
pub struct FrameEncoder {
    runner: Runner,
    size: usize,
    dim: usize,
}

impl FrameEncoder {
    /// Loads a graph `[1, 3, S, S]` to `[1, D]`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with what is wrong with the graph and the remedy.
    pub fn load(onnx: &[u8], options: EncoderOptions) -> Result<Self> {
        let side = Dim::Free { name: "S", most: limits::SIDE };
        let shape = Shape {
            numbers: Numbers::F32,
            input: &[Dim::Fixed(1), Dim::Fixed(3), side, side],
            output: &[Dim::Fixed(1), Dim::Free { name: "D", most: limits::WIDTH }],
        };
        let runner = load(onnx, &shape, options)?;
        let (size, dim) = (runner.input_shape()[2], runner.output_shape()[1]);
        Ok(Self { runner, size, dim })
    }

    /// S, the side of a crop in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// D, the width of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Encodes a crop `[3, S, S]` (RGB, normalised) into `out`, `[D]`, not normalised.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] where the network fails or its output is not finite, [`crate::Error::Internal`] for
    /// slices of other lengths.
    pub fn encode(&mut self, pixels: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(pixels, out)
    }
}
