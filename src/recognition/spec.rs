//! How embeddings are compared: a model's settings, and what the user changed of them.

use super::window::MAX_WINDOW;
use crate::error::{Error, Result};

/// The most phrases in an attribute sentence.
pub const MAX_ATTRIBUTES: usize = 16;

/// How frames and categories are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interaction {
    /// Video concept spotting: frames are weighted by how well they show a category's words.
    Vcs,
    /// Dot product: all frames count the same.
    Dp,
}

/// How an attribute sentence's embedding is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeScores {
    /// A small network over the phrases' embeddings.
    Composer,
    /// Their mean, less the mean of the whole lexicon where that is known.
    Mean,
    /// The text tower reads the sentence itself.
    Tower,
}

/// How embeddings are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognitionSpec {
    /// T, frames in the window, 1 to [`MAX_WINDOW`].
    pub window: usize,
    /// How frames and categories are compared.
    pub interaction: Interaction,
    /// Temperature of concept spotting; 0.01 for BIKE's checkpoints.
    pub tau: f32,
    /// Weight of the video branch when fused with attributes; 1 leaves attributes out of the scores.
    pub lambda: f32,
    /// Scale of cosines before the softmax that makes confidences of them.
    pub logit_scale: f32,
    /// Phrases in the attribute sentence, 1 to [`MAX_ATTRIBUTES`].
    pub top_k: usize,
    /// How the attribute sentence is made.
    pub attribute_scores: AttributeScores,
}

impl RecognitionSpec {
    /// # Errors
    /// Where a number is out of its range.
    pub fn check(&self) -> Result<()> {
        let problem = if !(1..=MAX_WINDOW).contains(&self.window) {
            format!("window {} is not between 1 and {MAX_WINDOW} frames", self.window)
        } else if !(1e-4..=1e4).contains(&self.tau) {
            format!("tau {} is not between 0.0001 and 10000", self.tau)
        } else if !(0.0..=1.0).contains(&self.lambda) {
            format!("lambda {} is not between 0 and 1", self.lambda)
        } else if !(1e-4..=1e4).contains(&self.logit_scale) {
            format!("logit_scale {} is not between 0.0001 and 10000", self.logit_scale)
        } else if !(1..=MAX_ATTRIBUTES).contains(&self.top_k) {
            format!("attributes_top_k {} is not between 1 and {MAX_ATTRIBUTES}", self.top_k)
        } else {
            return Ok(());
        };
        Err(Error::Usage(format!("{problem}; mend the flag or the bundle's [model]")))
    }
}
