//! A line of `watch --steps`.

use std::time::SystemTime;

use serde::Serialize;

use super::Names;
use crate::pipeline::{Step, Verdict};
use crate::recognition::top_n;
use crate::output::{AttributeAnswer, SaliencyPoint, brief, rounded};
use crate::source::Seconds;

/// What the window shows at a step, schema 1 (docs/output.md).
#[derive(Serialize)]
pub(super) struct StepLine<'a> {
    schema: u32,
    input: &'a str,
    /// When the line was made, UTC; the only field that differs between two runs over the same frames.
    wall: String,
    /// Stream time of the newest frame, seconds.
    t: Seconds,
    frame: u64,
    /// False until the window holds T frames: scores are then over the frames there are.
    full: bool,
    /// Whether the frame was encoded, or why not.
    gate: Verdict,
    label: &'a str,
    confidence: f64,
    results: Vec<Standing<'a>>,
    attributes: Vec<AttributeAnswer>,
    saliency: Vec<SaliencyPoint>,
}

#[derive(Serialize)]
struct Standing<'a> {
    label: &'a str,
    confidence: f64,
    score_video: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_attributes: Option<f64>,
}

impl<'a> StepLine<'a> {
    /// The line of a step with the `top` best answers.
    pub fn new(step: &Step<'_>, names: &'a Names, input: &'a str, top: usize) -> Self {
        let scores = step.scores;
        let ranking = top_n(&scores.confidence, top);
        let label = |k: usize| names.categories.get(k).map_or("", String::as_str);
        let standing = |&(k, confidence): &(usize, f32)| Standing {
            label: label(k),
            confidence: brief(confidence),
            score_video: brief(scores.s_v[k]),
            score_attributes: scores.s_a.get(k).copied().map(brief),
        };
        let (winner, confidence) = ranking.first().copied().unwrap_or((0, 0.0));
        let attribute = |&(i, similarity): &(u32, f32)| {
            let phrase = names.phrases().get(i as usize).cloned().unwrap_or_default();
            AttributeAnswer { phrase, similarity: brief(similarity) }
        };
        let columns = scores.frames.iter().zip(scores.saliency.row(winner));
        let point = |t: Seconds, frame, weight| SaliencyPoint { t: rounded(t), frame, weight: brief(weight) };
        Self {
            schema: 1,
            input,
            wall: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            t: rounded(step.stamp.time),
            frame: step.stamp.index,
            full: scores.full,
            gate: step.verdict,
            label: label(winner),
            confidence: brief(confidence),
            results: ranking.iter().map(standing).collect(),
            attributes: scores.attributes.iter().map(attribute).collect(),
            saliency: columns.map(|(stamp, &weight)| point(stamp.time, stamp.index, weight)).collect(),
        }
    }
}
