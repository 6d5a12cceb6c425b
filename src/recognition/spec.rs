//! The settings of recognition and their ranges.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::window::MAX_WINDOW;
use crate::error::Result;
use crate::units::check_range;

/// Largest number of phrases in an attribute sentence.
pub const MAX_ATTRIBUTES: usize = 16;

/// How frames and categories are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interaction {
    /// Video concept spotting: frames are weighted by how well they match a category's words.
    Vcs,
    /// Dot product with the mean frame: all frames have the same weight.
    Dp,
}

/// How an attribute sentence is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SentenceMethod {
    /// By the composer (composer.onnx), from the phrases' embeddings.
    Composer,
    /// As the mean of the phrases' embeddings, minus the mean of the whole lexicon if the bundle has it.
    Mean,
    /// By the text tower (text.onnx), from the phrases themselves.
    Tower,
}

/// What the confidence of a category is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// All categories: confidences are shares, which add up to 1.
    #[default]
    Share,
    /// The background categories alone: each confidence is independent of the other categories, and several can be
    /// high at once.
    Independent,
}

/// How embeddings are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognitionSpec {
    /// T, frames in the window, within [`Self::WINDOW`].
    pub window: usize,
    /// How frames and categories are compared.
    pub interaction: Interaction,
    /// Temperature of concept spotting, within [`Self::TAU`]; 0.01 for BIKE's checkpoints.
    pub tau: f32,
    /// Weight of the video branch when fused with attributes, within [`Self::LAMBDA`]; 1 excludes attributes from
    /// the scores.
    pub lambda: f32,
    /// Scale of cosines in the softmax that gives confidences, within [`Self::LOGIT_SCALE`].
    pub logit_scale: f32,
    /// What the confidence of a category is compared with.
    pub scoring: Scoring,
    /// Phrases in the attribute sentence, within [`Self::TOP_K`].
    pub top_k: usize,
    /// How the attribute sentence is embedded.
    pub sentence_method: SentenceMethod,
}

impl RecognitionSpec {
    /// Range of `window`, in a manifest and in settings.
    pub const WINDOW: RangeInclusive<usize> = 1..=MAX_WINDOW;
    /// Range of `tau`, in a manifest and in settings.
    pub const TAU: RangeInclusive<f32> = 1e-4..=1e4;
    /// Range of `lambda`, in a manifest and in settings.
    pub const LAMBDA: RangeInclusive<f32> = 0.0..=1.0;
    /// Range of `logit_scale`, in a manifest and in settings.
    pub const LOGIT_SCALE: RangeInclusive<f32> = 1e-4..=1e4;
    /// Range of `top_k`, which a manifest calls `attributes_top_k`.
    pub const TOP_K: RangeInclusive<usize> = 1..=MAX_ATTRIBUTES;

    /// Checks the range of every number.
    ///
    /// # Errors
    /// Returns [`Error::Setting`](crate::Error::Setting) for the first number that is out of its range.
    pub fn check(&self) -> Result<()> {
        check_range("window", self.window, Self::WINDOW, "a number of frames")?;
        check_range("tau", self.tau, Self::TAU, "a temperature")?;
        check_range("lambda", self.lambda, Self::LAMBDA, "a weight")?;
        check_range("logit_scale", self.logit_scale, Self::LOGIT_SCALE, "a scale")?;
        check_range("attributes_top_k", self.top_k, Self::TOP_K, "a number")
    }
}
