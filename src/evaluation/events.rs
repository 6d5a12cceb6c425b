//! Measures precision and recall of events and the effect of the gate, on streams concatenated from labelled clips.

use serde::Serialize;

use super::concatenated::{ConcatenatedStream, ConcatenationSpec};
use super::labels::LabelledClip;
use super::matching::{Detection, Measures, Segment, match_events};
use crate::error::Result;
use crate::events::EventReport;
use crate::pipeline::{Engine, GateSpec, Observer, Session, SessionSpec, StreamRunner, StreamSource, Update, drive};
use crate::pipeline::{GateDecision, Step};
use crate::recognition::top_n;
use crate::source::{SourceOptions, Stream};
use crate::units::{Seconds, percentile};

/// How events are measured.
#[derive(Clone, Debug)]
pub struct EventEvaluation {
    /// The settings of the stream; its gate is replaced.
    pub session: SessionSpec,
    /// How clips are opened.
    pub source: SourceOptions,
    /// How clips are joined.
    pub concatenation: ConcatenationSpec,
    /// Number of streams, each with all clips in a different order.
    pub rounds: u64,
    /// Seed of the orders.
    pub seed: u64,
}

/// Results for all streams.
#[derive(Clone, Debug, Serialize)]
pub struct EventEvaluationReport {
    /// Length of all streams together, seconds.
    pub stream_s: Seconds,
    /// How well events match.
    pub events: Measures,
    /// The effect of the gate.
    pub gate: GateReport,
    /// Losses while reading, one sentence each.
    pub warnings: Vec<String>,
}

/// Concatenates streams, runs them with and without the gate, and compares the results.
///
/// # Errors
/// A setting that does not fit, or a network that fails. Clips that cannot be read are skipped with a warning.
pub fn evaluate_events(
    engine: &mut Engine,
    clips: &[LabelledClip],
    evaluation: &EventEvaluation,
) -> Result<EventEvaluationReport> {
    let mut effect = GateEffect::default();
    let (mut segments, mut detections, mut warnings): (Vec<Segment>, Vec<Detection>, Vec<String>) = Default::default();
    let mut stream_s = 0.0;
    let clips = without_background(engine, clips);
    for round in 0..evaluation.rounds {
        let mut clips = clips.clone();
        shuffle(&mut clips, evaluation.seed.wrapping_add(round));
        let stream = || ConcatenatedStream::new(clips.clone(), evaluation.concatenation, evaluation.source.clone());
        let (mut stream, mut ungated) = (stream(), stream());
        let with = run(engine, &mut stream, &evaluation.session, true)?;
        let without = run(engine, &mut ungated, &evaluation.session, false)?;
        effect.add(&with.steps, &without.steps, &stream);
        // The streams are placed one after another on the time axis, so that all are matched together.
        segments.extend(stream.segments().iter().map(|segment| Segment {
            start: segment.start + stream_s,
            end: segment.end + stream_s,
            ..segment.clone()
        }));
        detections.extend(with.detections.iter().map(|detection| Detection {
            start: detection.start + stream_s,
            end: detection.end + stream_s,
            ..*detection
        }));
        stream_s += stream.segments().last().map_or(0.0, |segment| segment.end);
        for warning in stream.warnings() {
            if !warnings.contains(warning) {
                warnings.push(warning.clone());
            }
        }
    }
    Ok(EventEvaluationReport {
        stream_s,
        events: match_events(&segments, &detections),
        gate: effect.report(),
        warnings,
    })
}

/// A clip that shows only background shows no event.
fn without_background(engine: &Engine, clips: &[LabelledClip]) -> Vec<LabelledClip> {
    let is_event = |category: &usize| !engine.background().contains(category);
    let without = |clip: &LabelledClip| LabelledClip {
        path: clip.path.clone(),
        categories: clip.categories.iter().copied().filter(is_event).collect(),
    };
    clips.iter().map(without).collect()
}

/// Collects the steps and events of a stream.
#[derive(Default)]
struct Recorder {
    steps: Vec<RecordedStep>,
    detections: Vec<Detection>,
}

impl Observer for Recorder {
    fn update(&mut self, update: Update<'_>) -> Result<()> {
        let events = match update {
            Update::Step { step, .. } => {
                self.steps.push(RecordedStep::new(&step));
                step.events
            }
            Update::EventsEnded { events, .. } => events,
            Update::ConnectionLost(_) => &[],
        };
        self.detections.extend(events.iter().filter_map(ended));
        Ok(())
    }
}

fn run(engine: &mut Engine, stream: &mut ConcatenatedStream, spec: &SessionSpec, gated: bool) -> Result<Recorder> {
    let gate = GateSpec { enabled: gated, ..spec.gate };
    let session = Session::new(engine, &SessionSpec { gate, ..spec.clone() })?;
    let mut recorder = Recorder::default();
    drive(&mut StreamRunner::new(session, StreamSource::Recorded(Box::new(stream))), engine, &mut recorder)?;
    Ok(recorder)
}

fn ended(event: &EventReport) -> Option<Detection> {
    event.end.map(|end| Detection { category: event.category, start: event.start, end })
}

/// Shuffles (Fisher-Yates) with a generator that gives the same numbers on every machine.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, ((state >> 33) % (last as u64 + 1)) as usize);
    }
}

/// One step of a run.
pub(super) struct RecordedStep {
    t: Seconds,
    encoded: bool,
    /// The best category, if there is one.
    answer: Option<usize>,
    confidence: Vec<f32>,
}

impl RecordedStep {
    pub fn new(step: &Step<'_>) -> Self {
        Self {
            t: step.stamp.time,
            encoded: step.main().decision == GateDecision::Encode,
            answer: top_n(&step.main().scores.confidence, 1).first().map(|(category, _)| *category),
            confidence: step.main().scores.confidence.clone(),
        }
    }
}

/// Compares runs with and without the gate.
#[derive(Default)]
pub(super) struct GateEffect {
    encoded: u64,
    same: u64,
    held_steps: u64,
    held_encoded: u64,
    /// Difference in the confidence of the answer without the gate, per step.
    changes: Vec<f32>,
}

/// The encodings that the gate saves, and how much it changes the answers: a part of `eval-events --json`.
#[derive(Clone, Debug, Serialize)]
pub struct GateReport {
    /// Steps compared.
    pub steps: usize,
    /// Steps that were encoded with the gate.
    pub encoded: u64,
    /// Steps in which the clip was paused: its last picture was repeated.
    pub still_steps: u64,
    /// Of them, steps that were encoded.
    pub still_encoded: u64,
    /// Share of the steps with the same top answer; null without steps.
    pub same_answer: Option<f64>,
    /// Largest change in the confidence of the top answer.
    pub most_moved: f32,
    /// 99th percentile of these changes.
    pub moved_p99: f32,
}

impl GateEffect {
    /// Adds the steps of one stream, with the gate and without it.
    pub fn add(&mut self, with: &[RecordedStep], without: &[RecordedStep], stream: &ConcatenatedStream) {
        for (with, without) in with.iter().zip(without) {
            self.encoded += u64::from(with.encoded);
            if let (Some(gated), Some(answer)) = (with.answer, without.answer) {
                self.same += u64::from(gated == answer);
                self.changes.push((with.confidence[answer] - without.confidence[answer]).abs());
            }
            let held = stream.is_held(with.t);
            self.held_steps += u64::from(held);
            self.held_encoded += u64::from(held && with.encoded);
        }
    }

    pub fn report(mut self) -> GateReport {
        self.changes.sort_by(f32::total_cmp);
        let at = |share: f64| percentile(&self.changes, share).unwrap_or(0.0);
        let steps = self.changes.len();
        GateReport {
            steps,
            encoded: self.encoded,
            still_steps: self.held_steps,
            still_encoded: self.held_encoded,
            same_answer: (steps > 0).then(|| self.same as f64 / steps as f64),
            most_moved: at(1.0),
            moved_p99: at(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_differ_by_seed_and_lose_nothing() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted = order(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
