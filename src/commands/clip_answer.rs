//! One clip, BIKE's way: sample frames, encode each once, score every view, average.

use std::time::{Duration, Instant};

use super::clip_frames::{Seen, see};
use super::pipeline::Pipeline;
use crate::config::{SamplingPlan, View};
use crate::error::Result;
use crate::pipeline::Spent;
use crate::recognition::{Scores, ViewAverage, top_n};
use crate::output::{Answer, AttributeAnswer, BundleName, Raw, SaliencyPoint, Timing};

/// Scores of a clip, averaged over its views, and the frames behind them.
pub struct ClipScores {
    /// Mean over views.
    pub average: ViewAverage,
    /// The frames behind it.
    pub seen: Seen,
    total: Duration,
}

/// Reads and scores a clip. `tick` is told after each encoded crop: done, of how many.
///
/// # Errors
/// A clip that cannot be read, with no frame in it, or a picture that the flags do not fit.
pub fn score_clip(
    pipeline: &mut Pipeline,
    input: &std::ffi::OsStr,
    plan: &SamplingPlan,
    tick: &mut dyn FnMut(usize, usize),
) -> Result<ClipScores> {
    let began = Instant::now();
    pipeline.engine.spent = Spent { load: pipeline.engine.spent.load, ..Spent::default() };
    let seen = see(pipeline, input, plan, tick)?;
    pipeline.engine.spent.preprocess = seen.clip.preprocess;
    let mut average = ViewAverage::new();
    for window in &seen.clip.windows {
        fill_window(pipeline, &seen, window)?;
        average.add(score_window(pipeline)?)?;
    }
    Ok(ClipScores { average, seen, total: began.elapsed() })
}

fn fill_window(pipeline: &mut Pipeline, seen: &Seen, window: &View) -> Result<()> {
    pipeline.recognizer.clear();
    for &frame in &window.frames {
        let (stamp, embedding) = seen.get(frame, window.crop)?;
        pipeline.push(stamp, embedding)?;
    }
    Ok(())
}

fn score_window(pipeline: &mut Pipeline) -> Result<&Scores> {
    let began = Instant::now();
    let spent = &mut pipeline.engine.spent.recognise;
    let scores = pipeline.recognizer.scores()?;
    *spent += began.elapsed();
    Ok(scores)
}

impl ClipScores {
    /// The answer for people and programs: `top` results, the winner's saliency, attributes.
    ///
    /// # Errors
    /// As scoring; windows are scored again for the winner's saliency where there are several.
    pub fn answer(&self, pipeline: &mut Pipeline, input: String, top: usize, raw: bool) -> Result<Answer> {
        let began = Instant::now();
        let (confidence, score) = (self.average.confidence(), self.average.score());
        let ranking = top_n(&confidence, top);
        let names = pipeline.recognizer.vocabulary().names();
        let (s_v, s_a) = (self.average.s_v(), self.average.s_a());
        let results = ranking
            .iter()
            .map(|&(k, confidence)| crate::output::Result {
                label: names[k].clone(),
                confidence,
                score: score[k],
                score_video: s_v[k],
                score_attributes: s_a.get(k).copied(),
            })
            .collect();
        let raw = raw.then(|| self.raw(pipeline));
        let (saliency, attributes) = self.why(pipeline, ranking.first().map(|(k, _)| *k))?;
        let manifest = &pipeline.engine.bundle.manifest;
        let spent = pipeline.engine.spent;
        let timing_ms = Timing {
            load: millis(spent.load),
            decode: millis(self.seen.clip.decode),
            preprocess: millis(spent.preprocess),
            encode: millis(spent.encode),
            recognise: millis(spent.recognise),
            total: millis(spent.load + self.total + began.elapsed()),
        };
        pipeline.engine.spent.load = Duration::ZERO;
        Ok(Answer {
            schema: Answer::SCHEMA,
            input,
            frames: self.seen.clip.frames,
            duration_s: self.seen.clip.duration_s.map(|s| (s * 1e3).round() / 1e3),
            bundle: BundleName { name: manifest.name.clone(), version: manifest.version.clone() },
            results,
            attributes,
            saliency,
            raw,
            warnings: self.seen.clip.warnings.clone(),
            timing_ms,
        })
    }

    /// The winner's saliency over all sampled frames (each view has an equal share) and the attributes that were
    /// found in any view, best similarity first.
    fn why(
        &self,
        pipeline: &mut Pipeline,
        winner: Option<usize>,
    ) -> Result<(Vec<SaliencyPoint>, Vec<AttributeAnswer>)> {
        let Some(winner) = winner else { return Ok((vec![], vec![])) };
        let mut weights = vec![0.0_f64; self.seen.indices.len()];
        let mut found: Vec<(u32, f32)> = Vec::new();
        let mut most = 0;
        let windows = &self.seen.clip.windows;
        for window in windows {
            // A lone window is still there with its scores.
            if windows.len() > 1 {
                fill_window(pipeline, &self.seen, window)?;
            }
            let scores = score_window(pipeline)?;
            for (stamp, weight) in scores.frames.iter().zip(scores.saliency.row(winner)) {
                if let Ok(at) = self.seen.indices.binary_search(&stamp.index) {
                    weights[at] += f64::from(*weight) / windows.len() as f64;
                }
            }
            most = scores.attributes.len();
            for &(phrase, similarity) in &scores.attributes {
                match found.iter_mut().find(|(known, _)| *known == phrase) {
                    Some((_, best)) => *best = best.max(similarity),
                    None => found.push((phrase, similarity)),
                }
            }
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found.truncate(most);
        let lexicon = pipeline.engine.bundle.lexicon();
        let phrase = |i: u32| lexicon.and_then(|l| l.phrases.get(i as usize)).cloned().unwrap_or_default();
        let attributes = found
            .into_iter()
            .map(|(i, similarity)| AttributeAnswer { phrase: phrase(i), similarity: similarity.into() })
            .collect();
        let points = self.seen.indices.iter().zip(&self.seen.times).zip(weights);
        let saliency =
            points.map(|((&frame, &t), weight)| SaliencyPoint { t: (t * 1e3).round() / 1e3, frame, weight }).collect();
        Ok((saliency, attributes))
    }

    fn raw(&self, pipeline: &Pipeline) -> Raw {
        let embedding = |view: &View, frame| {
            self.seen.get(frame, view.crop).map(|(_, embedding)| embedding.video.clone()).unwrap_or_default()
        };
        Raw {
            labels: pipeline.recognizer.vocabulary().names().to_vec(),
            s_v: self.average.s_v(),
            s_a: self.average.s_a(),
            frame_indices: self.seen.clip.windows.iter().map(|view| view.frames.clone()).collect(),
            frame_embeddings: self
                .seen
                .clip
                .windows
                .iter()
                .map(|view| view.frames.iter().map(|&frame| embedding(view, frame)).collect())
                .collect(),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
