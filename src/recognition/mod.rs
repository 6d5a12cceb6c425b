//! Computes scores, saliency and attributes from a window of frame embeddings.
//!
//! This is BIKE's method (Wu et al., CVPR 2023, arXiv 2301.00182; reference code whwu95/BIKE at e8f6a8b), adapted to
//! streams: a [`Recognizer`] takes one embedding per frame and computes [`Scores`] on request. Results that remain
//! valid are reused from step to step. Without a temporal header a new frame costs only its own similarities with words
//! and categories, which are one column of a matrix. With a header all T outputs change, so T columns are computed in
//! one pass over the tables. No frame is encoded twice.
//!
//! - `spec`: settings and their ranges
//! - `category_set`: the tables of categories and phrases
//! - `vocabulary`: categories chosen by name; `names`: spellings of names
//! - `window`: the ring of frames
//! - `spotting`: the video branch
//! - `attributes`: the attribute branch
//! - `scores`: softmax, fusion, ranks, views
//! - `recognizer`: both branches over a window

mod attributes;
mod category_set;
mod names;
mod recognizer;
mod scores;
mod spec;
mod spotting;
mod vocabulary;
mod window;

pub use attributes::{Attribute, Phrases, SentenceCache, SentenceEncoder};
pub use category_set::{CategorySet, Lexicon, Mixture, WordLayout, WordTable};
pub use names::{find_name, spoken_name};
pub use recognizer::{Header, Recognizer};
pub use scores::{Scores, ViewAverage, top_n};
pub use spec::{Interaction, MAX_ATTRIBUTES, RecognitionSpec, Scoring, SentenceMethod};
pub use vocabulary::Vocabulary;
pub(crate) use vocabulary::similar_names;
pub use window::{FrameStamp, MAX_WINDOW};
