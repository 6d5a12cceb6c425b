//! One camera's way: sample, gate, encode, window, scores, events.

use std::time::{Duration, Instant};

use super::engine::{Embedding, Engine};
use super::gate::{Gate, GateCounts, GateSpec, Judgement, Sight, Verdict};
use super::sampler::Sampler;
use crate::error::Result;
use crate::events::{Edges, Event, EventSpec, Seen, Tracker};
use crate::preprocess::{CropAt, Fit, LumaGrid, Preprocessor, Roi};
use crate::recognition::{FrameStamp, Interaction, Recognizer, Scores};
use crate::source::{Frame, Seconds};

/// What belongs to one camera.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// Its name, a part of every event's id.
    pub camera: String,
    /// How its pictures become square.
    pub fit: Fit,
    /// The part of its upright pictures that is looked at.
    pub roi: Option<Roi>,
    /// When a category becomes an event.
    pub events: EventSpec,
    /// When a frame is not encoded.
    pub gate: GateSpec,
}

/// One camera's way from frames to events. After the first frame nothing is allocated here, unless the size of its
/// pictures changes.
pub struct Session {
    gap_s: Seconds,
    sampler: Sampler,
    preprocessor: Preprocessor,
    grid: LumaGrid,
    gate: Gate,
    embedding: Embedding,
    recognizer: Recognizer,
    tracker: Tracker,
    last: Option<FrameStamp>,
    steps: u64,
}

/// What became of a sampled frame.
#[derive(Debug)]
pub struct Step<'a> {
    /// The frame, with the time that counts.
    pub stamp: FrameStamp,
    /// What the gate said.
    pub verdict: Verdict,
    /// What the window shows.
    pub scores: &'a Scores,
    /// What is to be told.
    pub events: &'a [Event],
    /// How long each stage took.
    pub took: Took,
}

/// How long the stages of a step took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// Looking for changes.
    pub gate: Duration,
    /// Cutting and encoding; 0 where that was skipped.
    pub encode: Duration,
    /// Window, scores and events.
    pub recognise: Duration,
}

impl Session {
    /// A session that has seen nothing.
    ///
    /// # Errors
    /// Settings out of their range, or categories that the model does not answer with.
    pub fn new(engine: &Engine, spec: &SessionSpec, sampler: Sampler) -> Result<Self> {
        let recognizer = engine.recognizer()?;
        let edges = match recognizer.spec().interaction {
            Interaction::Vcs => Edges::Salient,
            Interaction::Dp => Edges::Middle,
        };
        let tracker = Tracker::new(&spec.events, recognizer.vocabulary().names(), &spec.camera, edges)?;
        Ok(Self {
            gap_s: spec.events.gap_s,
            sampler,
            preprocessor: engine.preprocessor(spec.fit, spec.roi)?,
            grid: LumaGrid::default(),
            gate: Gate::new(spec.gate),
            embedding: Embedding::default(),
            recognizer,
            tracker,
            last: None,
            steps: 0,
        })
    }

    /// No frame before this time is sampled; `None` where no more will be.
    pub fn next_time(&self) -> Option<Seconds> {
        self.sampler.next_time()
    }

    /// Takes a frame if it is to be sampled. Frames come in the order of their times.
    ///
    /// # Errors
    /// A region of interest outside the picture, a bundle that fails, or a trace that does not fit.
    pub fn take(&mut self, engine: &mut Engine, frame: &Frame<'_>) -> Result<Option<Step<'_>>> {
        let Some(stamp) = self.sampler.take(FrameStamp { time: frame.time, index: frame.index })? else {
            return Ok(None);
        };
        if self.last.is_some_and(|last| stamp.time - last.time > self.gap_s) {
            // What was seen before the break says nothing of what is seen after it; the tracker knows by itself.
            self.recognizer.clear();
            self.gate.forget();
        }
        let began = Instant::now();
        let Judgement { verdict, sight } = self.judge(frame, stamp)?;
        let judged = Instant::now();
        if verdict == Verdict::Encode {
            let encoded = engine.embed(&mut self.preprocessor, &frame.picture, CropAt::Centre, &mut self.embedding);
            // The embedding is not this frame's then.
            encoded.inspect_err(|_| self.gate.forget())?;
        }
        let encoded = Instant::now();
        self.recognizer.push(stamp, &self.embedding.video, self.embedding.own_attribute())?;
        let scores = self.recognizer.scores()?;
        let seen = match sight {
            Sight::Clear => Seen::Scores(scores),
            Sight::Dark | Sight::Flat => Seen::Nothing,
        };
        let events = self.tracker.step(stamp, seen);
        self.last = Some(stamp);
        self.steps += 1;
        let took = Took { gate: judged - began, encode: encoded - judged, recognise: encoded.elapsed() };
        Ok(Some(Step { stamp, verdict, scores, events, took }))
    }

    /// Ends what goes on and forgets all frames: the stream is over, or has been silent for more than `gap_s`.
    pub fn finish(&mut self) -> &[Event] {
        self.recognizer.clear();
        self.gate.forget();
        self.last = None;
        self.tracker.finish()
    }

    /// Changes the stride, as a hot board asks for.
    ///
    /// # Errors
    /// As [`Sampler::set_stride`].
    pub fn set_stride(&mut self, stride: Seconds) -> Result<()> {
        self.sampler.set_stride(stride)
    }

    /// Names of the categories.
    pub fn names(&self) -> &[String] {
        self.tracker.names()
    }

    /// The camera's name.
    pub fn camera(&self) -> &str {
        self.tracker.camera()
    }

    /// As [`Tracker::level`].
    pub fn level(&self, category: usize) -> f32 {
        self.tracker.level(category)
    }

    /// Frames sampled.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The newest sampled frame since the beginning or the last [`Session::finish`].
    pub fn last(&self) -> Option<FrameStamp> {
        self.last
    }

    /// Seconds without a frame after which a stream counts as broken off.
    pub fn gap_s(&self) -> Seconds {
        self.gap_s
    }

    /// What the gate said so far.
    pub fn gate_counts(&self) -> GateCounts {
        self.gate.counts()
    }

    /// Events that go on and have been told.
    pub fn open_events(&self) -> usize {
        self.tracker.open()
    }

    fn judge(&mut self, frame: &Frame<'_>, stamp: FrameStamp) -> Result<Judgement> {
        if self.gate.enabled() {
            self.preprocessor.luma(&frame.picture, &mut self.grid)?;
        }
        Ok(self.gate.judge(&self.grid, stamp.time))
    }
}
