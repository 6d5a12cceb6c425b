//! A window of frame embeddings becomes scores, saliency and attributes.
//!
//! BIKE's method (Wu et al., CVPR 2023, arXiv 2301.00182; reference code whwu95/BIKE at e8f6a8b), arranged for
//! streams: a [`Recognizer`] is pushed one embedding a frame and asked for [`Scores`] whenever they are wanted. What
//! can be kept from step to step is kept: without a temporal header a new frame costs its own similarities with
//! words and categories, one column of a matrix. With a header all T outputs change, so T columns are computed, in
//! one pass over the tables; no frame is ever encoded twice.
//!
//! - `vocabulary`: what to answer with
//! - `words`: how categories' word embeddings are stored
//! - `window`: the ring of frames
//! - `spotting`: concept spotting, and the plain dot product; `mixed`: words that are mixed from rows
//! - `attributes`: phrases, the attribute sentence and its scores
//! - `sentences`: attribute sentences of a text tower, kept for when they come again
//! - `fusion`: softmax, ranks, fusion
//! - `recognizer`: all of these together
//! - `views`: several views of one clip

mod attributes;
mod fusion;
mod mixed;
mod nearest;
mod recognizer;
mod sentences;
mod spec;
mod spotting;
mod views;
mod vocabulary;
mod window;
mod words;

pub use attributes::{Attribute, Compose, Phrases};
pub use fusion::{softmax, top_n};
pub(crate) use nearest::nearest;
pub use recognizer::{Header, Recognizer, Scores};
pub use sentences::Sentences;
pub use spec::{AttributeScores, Interaction, MAX_ATTRIBUTES, RecognitionSpec};
pub use views::ViewAverage;
pub use vocabulary::{CategorySet, Lexicon, Vocabulary};
pub use window::{FrameStamp, MAX_WINDOW};
pub use words::{Mixture, Spread, WordTable};

use crate::error::Error;
use crate::table::normalise;

/// Mean of vectors `[n, D]` at length 1 into `out`, `[D]`; `None` where it has no direction.
fn mean_direction(vectors: &[f32], out: &mut [f32]) -> Option<()> {
    // Divided before they are added, so that no sum of finite numbers overflows.
    let share = out.len() as f32 / vectors.len().max(1) as f32;
    out.fill(0.0);
    for vector in vectors.chunks_exact(out.len().max(1)) {
        out.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x * share);
    }
    normalise(out)
}

/// A fault of the bundle in use; the caller that opened it knows its name.
fn bundle_fault(problem: impl Into<String>) -> Error {
    Error::bundle("in use", problem)
}
