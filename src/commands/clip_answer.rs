//! One clip, BIKE's way: sample frames, encode each once, score every view, average.

use std::time::{Duration, Instant};

use super::pipeline::Pipeline;
use crate::config::{SamplingPlan, View};
use crate::error::{Error, Result};
use crate::live::{Embedding, Spent};
use crate::recognition::{FrameStamp, Scores, ViewAverage, top_n};
use crate::sink::{Answer, AttributeAnswer, BundleName, Raw, SaliencyPoint, Timing};
use crate::source::{Clip, Seconds, Visit, open_clip};

/// Scores of a clip, averaged over its views, and the frames behind them.
pub struct ClipScores {
    /// n, decodable frames.
    pub frames: u64,
    /// Seconds, where the clip says.
    pub duration_s: Option<Seconds>,
    /// Mean over views.
    pub average: ViewAverage,
    /// What was lost on the way.
    pub warnings: Vec<String>,
    windows: Vec<View>,
    embedded: Embedded,
    decode: Duration,
    total: Duration,
}

/// The sampled frames, each encoded once a crop.
struct Embedded {
    /// Sorted frame indices.
    indices: Vec<u64>,
    times: Vec<Seconds>,
    /// `[frames][crops]`
    embeddings: Vec<Vec<Embedding>>,
}

impl Embedded {
    fn get(&self, frame: u64, crop: usize) -> Result<(FrameStamp, &Embedding)> {
        let at = self.indices.binary_search(&frame).map_err(|_| missing(frame))?;
        let (Some(time), Some(crops)) = (self.times.get(at), self.embeddings.get(at)) else {
            return Err(missing(frame));
        };
        let embedding = crops.get(crop).ok_or_else(|| missing(frame))?;
        Ok((FrameStamp { time: *time, index: frame }, embedding))
    }
}

fn missing(frame: u64) -> Error {
    Error::Internal(format!("frame {frame} was sampled and not decoded"))
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
    let mut clip = open_clip(input, &pipeline.picture.source)?;
    let (frames, windows, embedded) = loop {
        let frames = clip.frame_count()?;
        if frames == 0 {
            return Err(Error::input(super::shown(input), "no frame in it can be decoded"));
        }
        let windows = plan.windows(frames, pipeline.engine.model.window);
        match embed_frames(pipeline, clip.as_mut(), plan, &windows, tick)? {
            Some(embedded) => break (frames, windows, embedded),
            // Damaged where its container does not say so: fewer frames, so others are to be sampled.
            None => log::debug!("{}: sampling anew over the frames that can be decoded", super::shown(input)),
        }
    };
    let decode = began.elapsed().saturating_sub(pipeline.engine.spent.preprocess + pipeline.engine.spent.encode);
    let mut average = ViewAverage::new();
    for window in &windows {
        fill_window(pipeline, &embedded, window)?;
        average.add(score_window(pipeline)?)?;
    }
    let warnings = clip.warnings().to_vec();
    let duration_s = clip.info().duration_s;
    Ok(ClipScores { frames, duration_s, average, warnings, windows, embedded, decode, total: began.elapsed() })
}

/// `None` where the clip turned out to hold fewer frames than it said.
fn embed_frames(
    pipeline: &mut Pipeline,
    clip: &mut dyn Clip,
    plan: &SamplingPlan,
    windows: &[View],
    tick: &mut dyn FnMut(usize, usize),
) -> Result<Option<Embedded>> {
    let mut indices: Vec<u64> = windows.iter().flat_map(|view| view.frames.iter().copied()).collect();
    indices.sort_unstable();
    indices.dedup();
    let (mut times, mut embeddings) = (Vec::new(), Vec::new());
    let (mut done, all) = (0, indices.len() * plan.crops.len());
    let visit = clip.visit(&indices, &mut |frame| {
        times.push(frame.time);
        let mut crops = vec![Embedding::default(); plan.crops.len()];
        for (at, embedding) in plan.crops.iter().zip(&mut crops) {
            pipeline.embed(&frame.picture, *at, embedding)?;
            done += 1;
            tick(done, all);
        }
        embeddings.push(crops);
        Ok(())
    })?;
    Ok(match visit {
        Visit::Done => Some(Embedded { indices, times, embeddings }),
        Visit::Recounted => None,
    })
}

fn fill_window(pipeline: &mut Pipeline, embedded: &Embedded, window: &View) -> Result<()> {
    pipeline.recognizer.clear();
    for &frame in &window.frames {
        let (stamp, embedding) = embedded.get(frame, window.crop)?;
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
            .map(|&(k, confidence)| crate::sink::Result {
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
            decode: millis(self.decode),
            preprocess: millis(spent.preprocess),
            encode: millis(spent.encode),
            recognise: millis(spent.recognise),
            total: millis(spent.load + self.total + began.elapsed()),
        };
        pipeline.engine.spent.load = Duration::ZERO;
        Ok(Answer {
            schema: Answer::SCHEMA,
            input,
            frames: self.frames,
            duration_s: self.duration_s.map(|s| (s * 1e3).round() / 1e3),
            bundle: BundleName { name: manifest.name.clone(), version: manifest.version.clone() },
            results,
            attributes,
            saliency,
            raw,
            warnings: self.warnings.clone(),
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
        let mut weights = vec![0.0_f64; self.embedded.indices.len()];
        let mut found: Vec<(u32, f32)> = Vec::new();
        let mut most = 0;
        for window in &self.windows {
            fill_window(pipeline, &self.embedded, window)?;
            let scores = score_window(pipeline)?;
            for (stamp, weight) in scores.frames.iter().zip(scores.saliency.row(winner)) {
                if let Ok(at) = self.embedded.indices.binary_search(&stamp.index) {
                    weights[at] += f64::from(*weight) / self.windows.len() as f64;
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
        let points = self.embedded.indices.iter().zip(&self.embedded.times).zip(weights);
        let saliency =
            points.map(|((&frame, &t), weight)| SaliencyPoint { t: (t * 1e3).round() / 1e3, frame, weight }).collect();
        Ok((saliency, attributes))
    }

    fn raw(&self, pipeline: &Pipeline) -> Raw {
        let embedding = |view: &View, frame| {
            self.embedded.get(frame, view.crop).map(|(_, embedding)| embedding.video.clone()).unwrap_or_default()
        };
        Raw {
            labels: pipeline.recognizer.vocabulary().names().to_vec(),
            s_v: self.average.s_v(),
            s_a: self.average.s_a(),
            frame_indices: self.windows.iter().map(|view| view.frames.clone()).collect(),
            frame_embeddings: self
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
