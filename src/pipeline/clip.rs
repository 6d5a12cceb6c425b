//! BIKE's protocol for a clip: sample frames, encode each frame once, score every view, average the scores.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use super::clip_encoding::{EncodedClip, encode_clip};
use super::clip_views::{ClipSampling, ClipView};
use super::engine::{Engine, StageTimings};
use crate::error::Result;
use crate::preprocess::{Preprocessor, RegionSpec};
use crate::recognition::{FrameStamp, Recognizer, Scores, ViewAverage, top_n};
use crate::source::SourceOptions;

/// How clips are read and sampled.
#[derive(Clone, Debug, Default)]
pub struct ClipSpec {
    /// How files are opened.
    pub source: SourceOptions,
    /// The region that is analysed, and how it becomes square.
    pub region: RegionSpec,
    /// Which frames are sampled.
    pub sampling: ClipSampling,
}

/// Scores recorded clips.
pub struct ClipClassifier {
    engine: Engine,
    spec: ClipSpec,
    recognizer: Recognizer,
    preprocessor: Preprocessor,
}

/// Scores of a clip, averaged over its views, and the frames behind them.
pub struct ClipScores {
    /// Means over the views.
    pub average: ViewAverage,
    /// The encoded frames.
    pub encoded: EncodedClip,
    /// Time spent per stage; `load` is that of the engine, `cpu` is not measured.
    pub timings: StageTimings,
    /// Total time without loading.
    pub total: Duration,
}

/// Which frames and attributes support the winning category of a clip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Each sampled frame and its share of the winner's weight; the shares add up to 1. Each view has an equal share.
    pub saliency: Vec<(FrameStamp, f64)>,
    /// The best attributes of all views, as many as of one view, each with its best cosine, best first: the number of the lexicon phrase and its cosine.
    pub attributes: Vec<(u32, f32)>,
}

impl ClipClassifier {
    /// Prepares an engine for clips.
    ///
    /// # Errors
    /// A setting out of its range, or one that does not fit the bundle.
    pub fn new(engine: Engine, spec: ClipSpec) -> Result<Self> {
        spec.sampling.check(spec.region.fit)?;
        let recognizer = engine.recognizer()?;
        let preprocessor = engine.preprocessor(spec.region)?;
        Ok(Self { engine, spec, recognizer, preprocessor })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Reads and scores a clip. Calls `progress` after each encoded crop: done and total crops.
    ///
    /// # Errors
    /// A clip that cannot be read or has no frames, a region outside its pictures, or a network that fails.
    pub fn classify(&mut self, input: &OsStr, progress: &mut dyn FnMut(usize, usize)) -> Result<ClipScores> {
        let started = Instant::now();
        let load = self.engine.timings.load;
        self.engine.timings = StageTimings { load, ..StageTimings::default() };
        let Self { engine, preprocessor, spec, .. } = self;
        let encoded = encode_clip(engine, preprocessor, input, &spec.source, &spec.sampling, progress)?;
        let mut average = ViewAverage::new();
        for view in &encoded.clip.views {
            self.fill_window(&encoded, view)?;
            average.add(self.score_window()?)?;
        }
        let timings = StageTimings { preprocess: encoded.clip.preprocess, ..self.engine.timings };
        Ok(ClipScores { average, encoded, timings, total: started.elapsed() })
    }

    /// Explains the category of the highest confidence.
    ///
    /// # Errors
    /// As for [`Self::classify`]: views are scored again if there are several.
    pub fn explain(&mut self, scores: &ClipScores) -> Result<Explanation> {
        let Some((winner, _)) = top_n(&scores.average.confidence(), 1).first().copied() else {
            return Ok(Explanation::default());
        };
        let encoded = &scores.encoded;
        let views = &encoded.clip.views;
        let mut weights = vec![0.0_f64; encoded.indices.len()];
        let mut attributes: Vec<(u32, f32)> = Vec::new();
        let mut attribute_count = 0;
        for view in views {
            // A single view is still in the window.
            if views.len() > 1 {
                self.fill_window(encoded, view)?;
            }
            let scores = self.score_window()?;
            for (stamp, weight) in scores.frames.iter().zip(scores.saliency.row(winner)) {
                if let Ok(at) = encoded.indices.binary_search(&stamp.index) {
                    weights[at] += f64::from(*weight) / views.len() as f64;
                }
            }
            attribute_count = scores.attributes.len();
            for &(phrase, similarity) in &scores.attributes {
                match attributes.iter_mut().find(|(other, _)| *other == phrase) {
                    Some((_, best)) => *best = best.max(similarity),
                    None => attributes.push((phrase, similarity)),
                }
            }
        }
        attributes.sort_by(|a, b| b.1.total_cmp(&a.1));
        // As many as of a single view.
        attributes.truncate(attribute_count);
        let stamps = encoded.indices.iter().zip(&encoded.times).map(|(&index, &time)| FrameStamp { time, index });
        Ok(Explanation { saliency: stamps.zip(weights).collect(), attributes })
    }

    fn fill_window(&mut self, encoded: &EncodedClip, view: &ClipView) -> Result<()> {
        let started = Instant::now();
        self.recognizer.clear();
        for &frame in &view.frames {
            let (stamp, embedding) = encoded.get(frame, view.crop)?;
            self.recognizer.push(stamp, &embedding.video, embedding.separate_attribute())?;
        }
        self.engine.timings.recognise += started.elapsed();
        Ok(())
    }

    fn score_window(&mut self) -> Result<&Scores> {
        let started = Instant::now();
        let scores = self.recognizer.scores()?;
        self.engine.timings.recognise += started.elapsed();
        Ok(scores)
    }
}
