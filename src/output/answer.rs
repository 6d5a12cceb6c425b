//! What is said about a clip; the JSON of `classify --json`, schema 1 (docs/output.md).

use serde::Serialize;

/// The answer to one clip.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Version of this form.
    pub schema: u32,
    /// The clip, as it was named.
    pub input: String,
    /// n, its decodable frames.
    pub frames: u64,
    /// From the first frame's start to the last one's end, seconds.
    pub duration_s: Option<f64>,
    /// The model.
    pub bundle: BundleName,
    /// Best first.
    pub results: Vec<Result>,
    /// Best first.
    pub attributes: Vec<AttributeAnswer>,
    /// Of the first result, by time.
    pub saliency: Vec<SaliencyPoint>,
    /// Frames that were sampled by window, as the reference numbers them from 0.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
    /// What was lost on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Milliseconds a stage.
    pub timing_ms: Timing,
}

/// Which model answered.
#[derive(Clone, Debug, Serialize)]
pub struct BundleName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One category's standing.
#[derive(Clone, Debug, Serialize)]
pub struct Result {
    /// The category.
    pub label: String,
    /// Probability among the categories, 0..=1, mean over views.
    pub confidence: f64,
    /// The reference's score: softmax without a scale, both branches fused, mean over views. For ranks alone.
    pub score: f64,
    /// S_V, cosine, mean over views.
    pub score_video: f64,
    /// S_A, cosine, mean over views; absent where attributes play no part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_attributes: Option<f64>,
}

/// One attribute.
#[derive(Clone, Debug, Serialize)]
pub struct AttributeAnswer {
    /// The lexicon's phrase.
    pub phrase: String,
    /// Cosine with the clip.
    pub similarity: f64,
}

/// How much a frame says for the winner.
#[derive(Clone, Debug, Serialize)]
pub struct SaliencyPoint {
    /// Seconds from the clip's start.
    pub t: f64,
    /// The frame, counted from 0.
    pub frame: u64,
    /// Share of the weight; all add up to 1.
    pub weight: f64,
}

/// Everything behind the answer, with `--raw`.
#[derive(Clone, Debug, Serialize)]
pub struct Raw {
    /// Names of all K categories, the order of the numbers below.
    pub labels: Vec<String>,
    /// S_V, cosines, `[K]`, mean over views.
    pub s_v: Vec<f64>,
    /// S_A, cosines, `[K]`, mean over views; empty without attributes.
    pub s_a: Vec<f64>,
    /// Sampled frames a window, `[views, T]`.
    pub frame_indices: Vec<Vec<u64>>,
    /// Embeddings before any header, `[views, T, D]`.
    pub frame_embeddings: Vec<Vec<Vec<f32>>>,
}

/// Where the time went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Timing {
    /// Opening the bundle; 0 for all but the first clip.
    pub load: f64,
    /// Counting and decoding frames.
    pub decode: f64,
    /// Picture to crop.
    pub preprocess: f64,
    /// Crop to embedding.
    pub encode: f64,
    /// Embeddings to scores.
    pub recognise: f64,
    /// All of it.
    pub total: f64,
}

impl Answer {
    /// Version of the form.
    pub const SCHEMA: u32 = 1;
}
