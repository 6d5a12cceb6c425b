//! A line of `watch --steps`.

use std::time::SystemTime;

use bike_edge::health::rfc3339;
use bike_edge::output::{AttributeAnswer, SaliencyPoint};
use bike_edge::picture::Rect;
use bike_edge::pipeline::{GateDecision, ViewStep};
use bike_edge::recognition::{FrameStamp, top_n};
use bike_edge::units::{Seconds, rounded_score, rounded_time};
use serde::Serialize;

/// The scores of the window at a step, schema 1 (docs/output.md).
#[derive(Serialize)]
pub(super) struct StepLine<'a> {
    schema: u32,
    input: &'a str,
    /// When the line was written, UTC. Only this field differs between two runs over the same frames.
    wall: String,
    /// Stream time of the newest frame, seconds.
    t: Seconds,
    frame: u64,
    /// False until the window holds T frames; until then the scores cover only the frames that it holds.
    full: bool,
    /// The part of the upright picture that was analysed: x, y, width and height in pixels; absent for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<[u32; 4]>,
    /// Whether the frame was encoded, or why not.
    gate: GateDecision,
    label: &'a str,
    confidence: f64,
    results: Vec<CategoryScore<'a>>,
    attributes: Vec<AttributeAnswer>,
    saliency: Vec<SaliencyPoint>,
}

#[derive(Serialize)]
struct CategoryScore<'a> {
    label: &'a str,
    confidence: f64,
    score_video: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_attributes: Option<f64>,
}

impl<'a> StepLine<'a> {
    /// Creates the line of a view of the frame `stamp`, with the `top` best categories.
    pub fn new(
        stamp: FrameStamp,
        view: &ViewStep<'_>,
        categories: &'a [String],
        phrases: &'a [String],
        input: &'a str,
        top: usize,
    ) -> Self {
        let scores = view.scores;
        let ranking = top_n(&scores.confidence, top);
        let label = |category: usize| categories.get(category).map_or("", String::as_str);
        let result = |&(category, confidence): &(usize, f32)| CategoryScore {
            label: label(category),
            confidence: rounded_score(confidence),
            score_video: rounded_score(scores.s_v[category]),
            score_attributes: scores.s_a.get(category).copied().map(rounded_score),
        };
        let (winner, confidence) = ranking.first().copied().unwrap_or((0, 0.0));
        let attribute = |&(phrase, similarity): &(u32, f32)| AttributeAnswer {
            phrase: phrases.get(phrase as usize).cloned().unwrap_or_default(),
            similarity: rounded_score(similarity),
        };
        let point =
            |t: Seconds, frame, weight| SaliencyPoint { t: rounded_time(t), frame, weight: rounded_score(weight) };
        let columns = scores.frames.iter().zip(scores.saliency.row(winner));
        Self {
            schema: 1,
            input,
            wall: rfc3339(SystemTime::now()),
            t: rounded_time(stamp.time),
            frame: stamp.index,
            full: scores.full,
            region: view.region.map(|Rect { x, y, w, h }| [x, y, w, h]),
            gate: view.decision,
            label: label(winner),
            confidence: rounded_score(confidence),
            results: ranking.iter().map(result).collect(),
            attributes: scores.attributes.iter().map(attribute).collect(),
            saliency: columns.map(|(stamp, &weight)| point(stamp.time, stamp.index, weight)).collect(),
        }
    }
}
