//! The networks of a bundle: frame encoder, temporal header, composer and text tower.

mod device;
mod runner;

pub use device::{Compute, Device};
pub use runner::EncoderOptions;
use runner::NetworkRunner;

use super::onnx::limits;
use super::onnx::shapes::{Dim, InputType, Signature};
use crate::error::Result;

/// The number of positions of a text in CLIP.
const CLIP_POSITIONS: usize = 77;

/// The frame encoder, which turns one normalised crop at a time into an embedding.
pub struct FrameEncoder {
    runner: NetworkRunner,
    size: usize,
    dim: usize,
}

impl FrameEncoder {
    /// Loads a graph `[1, 3, S, S]` to `[1, D]`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with the problem of the graph and the remedy.
    pub fn load(onnx: &[u8], options: EncoderOptions) -> Result<Self> {
        let side = Dim::Free { name: "S", max: limits::SIDE };
        let signature = Signature {
            input_type: InputType::F32,
            input: &[Dim::Fixed(1), Dim::Fixed(3), side, side],
            output: &[Dim::Fixed(1), Dim::Free { name: "D", max: limits::WIDTH }],
        };
        let runner = NetworkRunner::load(onnx, &signature, options)?;
        let (size, dim) = (runner.input_shape()[2], runner.output_shape()[1]);
        Ok(Self { runner, size, dim })
    }

    /// Returns S, the side of a crop in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns D, the width of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Encodes a crop `[3, S, S]` (RGB, normalised) into `out`, `[D]`, not normalised.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] if the network fails or its output is not finite, [`crate::Error::Internal`] for
    /// slices of the wrong length.
    pub fn encode(&mut self, pixels: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(pixels, out)
    }
}

/// The temporal header, BIKE's `Transf`, which mixes the embeddings of a window.
pub struct TemporalHeader {
    runner: NetworkRunner,
}

impl TemporalHeader {
    /// Loads a graph `[1, T, D]` to `[1, T, D]` for T = `window` and D = `dim`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with the problem of the graph and the remedy, for example if it was exported for
    /// another window.
    pub fn load(onnx: &[u8], window: usize, dim: usize, options: EncoderOptions) -> Result<Self> {
        let shape = [Dim::Fixed(1), Dim::Required { name: "the window", value: window }, Dim::Fixed(dim)];
        let signature = Signature { input_type: InputType::F32, input: &shape, output: &shape };
        Ok(Self { runner: NetworkRunner::load(onnx, &signature, options)? })
    }

    /// Turns embeddings `[T, D]`, oldest first, into `out`, `[T, D]`. Neither is normalised.
    ///
    /// # Errors
    /// As [`FrameEncoder::encode`].
    pub fn apply(&mut self, frames: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(frames, out)
    }
}

/// The composer, which turns the embeddings of lexicon phrases into that of their sentence, without a text tower.
pub struct Composer {
    runner: NetworkRunner,
}

impl Composer {
    /// Loads a graph `[1, k, D]` to `[1, D]` for k = `phrases` and D = `dim`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with the problem of the graph and the remedy.
    pub fn load(onnx: &[u8], phrases: usize, dim: usize, options: EncoderOptions) -> Result<Self> {
        let count = Dim::Required { name: "the number of phrases", value: phrases };
        let signature = Signature {
            input_type: InputType::F32,
            input: &[Dim::Fixed(1), count, Dim::Fixed(dim)],
            output: &[Dim::Fixed(1), Dim::Fixed(dim)],
        };
        Ok(Self { runner: NetworkRunner::load(onnx, &signature, options)? })
    }

    /// Computes the sentence embedding `out`, `[D]`, of phrases `[k, D]`, best first.
    ///
    /// # Errors
    /// As [`FrameEncoder::encode`].
    pub fn compose(&mut self, phrases: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(phrases, out)
    }
}

/// The text tower, a transformer that turns tokens into embeddings.
pub struct TextTower {
    runner: NetworkRunner,
}

/// How texts stand in the input of a text tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextInput {
    /// One text, as in CLIP: tokens `[1, 77]`.
    One,
    /// Several texts next to each other, `[3, N]`: tokens, positions in their own text, and the number of the text, 0 for
    /// padding. Positions of different texts have no influence on each other.
    Several,
}

impl TextTower {
    /// Loads a graph `[1, 77]` i64 to `[1, 77, D]`, or `[3, N]` i64 to `[1, N, D]`, for D = `dim`.
    ///
    /// # Errors
    /// [`crate::Error::Bundle`] with the problem of the graph and the remedy.
    pub fn load(onnx: &[u8], dim: usize, input: TextInput, options: EncoderOptions) -> Result<Self> {
        let (rows, positions) = match input {
            TextInput::One => (Dim::Fixed(1), Dim::Fixed(CLIP_POSITIONS)),
            TextInput::Several => (Dim::Fixed(3), Dim::Free { name: "N", max: limits::TEXT_POSITIONS }),
        };
        let signature = Signature {
            input_type: InputType::I64,
            input: &[rows, positions],
            output: &[Dim::Fixed(1), positions, Dim::Fixed(dim)],
        };
        let runner = NetworkRunner::load(onnx, &signature, options)?;
        if runner.input_shape()[1] != runner.output_shape()[1] {
            let (input, output) = (runner.input_shape(), runner.output_shape());
            return Err(runner.error(format!("its input is {input:?} and its output {output:?}, but N must be equal")));
        }
        Ok(Self { runner })
    }

    /// Returns the number of positions, N.
    pub fn positions(&self) -> usize {
        self.runner.input_shape()[1]
    }

    /// Returns the number of rows of the input, 1 or 3.
    pub fn input_rows(&self) -> usize {
        self.runner.input_shape()[0]
    }

    /// Embeds an input `[rows, N]` into `words`, `[N, D]`, one row per position, not normalised.
    ///
    /// # Errors
    /// As [`FrameEncoder::encode`], also for tokens that the graph does not know.
    pub fn encode(&mut self, input: &[i64], words: &mut [f32]) -> Result<()> {
        self.runner.run(input, words)
    }
}

/// One of the two heads of a trained attribute branch, for sentences or for categories.
pub struct AttributeHead {
    runner: NetworkRunner,
}

impl AttributeHead {
    /// Loads a graph `[1, D]` to `[1, D]` for D = `dim`.
    ///
    /// # Errors
    /// As [`TextTower::load`].
    pub fn load(onnx: &[u8], dim: usize, options: EncoderOptions) -> Result<Self> {
        let row = [Dim::Fixed(1), Dim::Fixed(dim)];
        let signature = Signature { input_type: InputType::F32, input: &row, output: &row };
        Ok(Self { runner: NetworkRunner::load(onnx, &signature, options)? })
    }

    /// Turns an embedding of the text tower, `[D]`, into one that the attribute branch compares, `[D]`, not normalised.
    ///
    /// # Errors
    /// As [`FrameEncoder::encode`].
    pub fn apply(&mut self, embedding: &[f32], out: &mut [f32]) -> Result<()> {
        self.runner.run(embedding, out)
    }
}
