//! The answer for a clip; the JSON of `classify --json`, schema 1 (docs/output.md).

use serde::Serialize;

/// The answer for one clip.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The version of this format.
    pub schema: u32,
    /// The clip as given by the user, without credentials.
    pub input: String,
    /// The number of decodable frames.
    pub frames: u64,
    /// The time from the start of the first frame to the end of the last one, seconds.
    pub duration_s: Option<f64>,
    /// The model.
    pub bundle: BundleName,
    /// The best categories, best first.
    pub results: Vec<RankedCategory>,
    /// The nearest attributes, most similar first.
    pub attributes: Vec<AttributeAnswer>,
    /// The saliency of the sampled frames for the best category, by time.
    pub saliency: Vec<SaliencyPoint>,
    /// The raw numbers of the answer, with `--raw`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
    /// What was lost while the clip was read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The time that each stage took.
    pub timing_ms: Timing,
}

/// The model that gave an answer.
#[derive(Clone, Debug, Serialize)]
pub struct BundleName {
    /// The name of the bundle.
    pub name: String,
    /// The version of the bundle.
    pub version: String,
}

/// A category with its scores.
#[derive(Clone, Debug, Serialize)]
pub struct RankedCategory {
    /// The category.
    pub label: String,
    /// The probability among the categories, 0..=1, mean over views.
    pub confidence: f64,
    /// BIKE's score: softmax without a scale, both branches fused, mean over views. Only its ranks are meaningful.
    pub score: f64,
    /// S_V of the video branch: a cosine, unlike `score`; mean over views.
    pub score_video: f64,
    /// S_A of the attribute branch: a cosine; mean over views; absent if the model runs without attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_attributes: Option<f64>,
}

/// An attribute with its similarity.
#[derive(Clone, Debug, Serialize)]
pub struct AttributeAnswer {
    /// The lexicon phrase.
    pub phrase: String,
    /// The cosine between the phrase and the clip or window.
    pub similarity: f64,
}

/// A frame with its saliency.
#[derive(Clone, Debug, Serialize)]
pub struct SaliencyPoint {
    /// Stream time, seconds.
    pub t: f64,
    /// The frame number, from 0.
    pub frame: u64,
    /// The frame's share of the weight; the shares add up to 1.
    pub weight: f64,
}

/// The raw numbers of an answer.
#[derive(Clone, Debug, Serialize)]
pub struct Raw {
    /// The names of all K categories, in the order of the numbers below.
    pub labels: Vec<String>,
    /// S_V, cosines, `[K]`, mean over views.
    pub s_v: Vec<f64>,
    /// S_A, cosines, `[K]`, mean over views; empty without attributes.
    pub s_a: Vec<f64>,
    /// The numbers of the sampled frames, from 0, `[views, T]`.
    pub frame_indices: Vec<Vec<u64>>,
    /// The embeddings of the sampled frames before any temporal header, `[views, T, D]`.
    pub frame_embeddings: Vec<Vec<Vec<f32>>>,
}

/// The time that each stage took, milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Timing {
    /// Loading the bundle; 0 for all clips except the first.
    pub load: f64,
    /// Counting and decoding frames.
    pub decode: f64,
    /// Cropping and normalising.
    pub preprocess: f64,
    /// Encoding crops.
    pub encode: f64,
    /// Scoring embeddings.
    pub recognise: f64,
    /// The whole clip.
    pub total: f64,
}

impl Answer {
    /// The version of the format.
    pub const SCHEMA: u32 = 1;
}
