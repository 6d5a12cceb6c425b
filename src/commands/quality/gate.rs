//! What the gate saves, and what it changes.

use serde::Serialize;

use crate::pipeline::{Step, Verdict};
use crate::recognition::top_n;

/// Counts over pairs of steps, one with the gate and one without.
#[derive(Default)]
pub(super) struct GateTally {
    encoded: u64,
    same: u64,
    still_steps: u64,
    still_encoded: u64,
    /// Whether the newest step was encoded.
    newest_encoded: bool,
    /// By how much the confidence of the ungated answer differs, a step.
    moved: Vec<f32>,
}

/// What the gate saves, and what it changes.
#[derive(Serialize)]
pub(super) struct GateReport {
    pub steps: usize,
    pub encoded: u64,
    /// Steps while a picture was held.
    pub still_steps: u64,
    pub still_encoded: u64,
    /// Share of the steps that keep their top answer; null without steps.
    pub same_answer: Option<f64>,
    /// How far the confidence of the top answer moved.
    pub most_moved: f32,
    pub moved_p99: f32,
}

impl GateTally {
    /// A step with the gate and the same one without.
    pub fn step(&mut self, with: &Step<'_>, without: &Step<'_>) {
        let top = |step: &Step<'_>| top_n(&step.scores.confidence, 1).first().copied();
        self.newest_encoded = with.verdict == Verdict::Encode;
        self.encoded += u64::from(self.newest_encoded);
        if let (Some((gated, _)), Some((answer, confidence))) = (top(with), top(without)) {
            self.same += u64::from(gated == answer);
            self.moved.push((with.scores.confidence[answer] - confidence).abs());
        }
    }

    /// Whether the newest step was of a held picture.
    pub fn held(&mut self, held: bool) {
        self.still_steps += u64::from(held);
        self.still_encoded += u64::from(held && self.newest_encoded);
    }

    pub fn report(&mut self) -> GateReport {
        self.moved.sort_by(f32::total_cmp);
        let at = |share: f64| {
            let place = (self.moved.len().max(1) - 1) as f64 * share;
            self.moved.get(place.ceil() as usize).copied().unwrap_or(0.0)
        };
        let steps = self.moved.len();
        GateReport {
            steps,
            encoded: self.encoded,
            still_steps: self.still_steps,
            still_encoded: self.still_encoded,
            same_answer: (steps > 0).then(|| self.same as f64 / steps as f64),
            most_moved: at(1.0),
            moved_p99: at(0.99),
        }
    }
}
