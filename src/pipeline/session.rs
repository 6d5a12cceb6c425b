//! The state of one stream, from frames to events: sampler, gate, window, scores, event tracker.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::engine::{Embedding, Engine};
use super::gate::{Gate, GateCounts, GateDecision, GateOutput, GateSpec, Visibility};
use super::sampler::{Sampler, TraceReader};
use crate::error::Result;
use crate::events::{BoundaryRule, EventReport, EventSpec, Observation, Tracker};
use crate::preprocess::{CropAt, LumaGrid, Preprocessor, RegionSpec};
use crate::recognition::{FrameStamp, Interaction, Recognizer, Scores};
use crate::source::Frame;
use crate::units::Seconds;

/// The settings of one stream.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// The camera's name, a part of every event's id.
    pub camera: String,
    /// The region that is analysed, and how it becomes square.
    pub region: RegionSpec,
    /// When a category becomes an event.
    pub events: EventSpec,
    /// When a frame is not encoded.
    pub gate: GateSpec,
    /// Which frames are sampled.
    pub selection: FrameSelection,
    /// The largest factor by which a governor may stretch the stride, at least 1. A stretched stride must not count as
    /// a gap in the stream.
    pub max_stretch: f64,
}

impl Default for SessionSpec {
    fn default() -> Self {
        Self {
            camera: "camera".into(),
            region: RegionSpec::default(),
            events: EventSpec::default(),
            gate: GateSpec::default(),
            selection: FrameSelection::Stride,
            max_stretch: 1.0,
        }
    }
}

/// Which frames of a stream are sampled.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum FrameSelection {
    /// The first frame at or after each multiple of the model's stride.
    #[default]
    Stride,
    /// The same, until a stream time.
    StrideUntil(Seconds),
    /// The frames of a recorded trace; steps get the times of the trace.
    Trace(PathBuf),
}

/// The state of one stream. After the first frame its own code allocates nothing, unless the size of the pictures changes.
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

/// The result of one sampled frame.
#[derive(Debug)]
pub struct Step<'a> {
    /// The frame's number and its stream time.
    pub stamp: FrameStamp,
    /// Whether the frame was encoded, or why not.
    pub decision: GateDecision,
    /// Scores of the window.
    pub scores: &'a Scores,
    tracker: &'a Tracker,
    /// Reports of events that started, were updated or ended.
    pub events: &'a [EventReport],
    /// Time spent per stage.
    pub timings: StepTimings,
}

impl Step<'_> {
    /// The level of a category: its smoothed confidence, or 0 if the background is stronger.
    pub fn level(&self, category: usize) -> f32 {
        self.tracker.level(category)
    }
}

/// Time spent in the stages of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTimings {
    /// Comparing the picture with the last encoded one.
    pub gate: Duration,
    /// Preprocessing and encoding; 0 if the gate skipped them.
    pub encode: Duration,
    /// Window, scores and events.
    pub recognise: Duration,
}

impl StepTimings {
    /// All stages together.
    pub fn total(&self) -> Duration {
        self.gate + self.encode + self.recognise
    }
}

impl Session {
    /// Creates the state of an unread stream.
    ///
    /// # Errors
    /// A setting out of its range, or one that does not fit the bundle, with its path such as `events.on`.
    pub fn new(engine: &Engine, spec: &SessionSpec) -> Result<Self> {
        let recognizer = engine.recognizer()?;
        // How the start and end of an event are found within a window.
        let boundary_rule = match recognizer.spec().interaction {
            Interaction::Vcs => BoundaryRule::Saliency,
            Interaction::Dp => BoundaryRule::Middle,
        };
        let stride = engine.model.stride_s;
        let events =
            spec.events.resolve(&engine.background(), stride * spec.max_stretch).map_err(|e| e.within("events"))?;
        let sampler = match &spec.selection {
            FrameSelection::Stride => Sampler::every(stride)?,
            FrameSelection::StrideUntil(end) => Sampler::every(stride)?.until(*end),
            FrameSelection::Trace(path) => Sampler::repeat(TraceReader::open(path)?)?,
        };
        spec.gate.check().map_err(|e| e.within("gate"))?;
        let names = recognizer.vocabulary().names();
        let tracker = Tracker::new(&events, names, &spec.camera, boundary_rule).map_err(|e| e.within("events"))?;
        Ok(Self {
            gap_s: events.gap_s(),
            sampler,
            preprocessor: engine.preprocessor(spec.region)?,
            grid: LumaGrid::default(),
            gate: Gate::new(spec.gate),
            embedding: Embedding::default(),
            tracker,
            recognizer,
            last: None,
            steps: 0,
        })
    }

    /// The stream time before which no frame is sampled; `None` if no more frames will be.
    pub fn next_time(&self) -> Option<Seconds> {
        self.sampler.next_time()
    }

    /// Processes a frame if it is due to be sampled. Frames must come in the order of their times.
    ///
    /// # Errors
    /// A region outside the picture, a bundle that fails, or a trace that does not fit the stream.
    pub fn process(&mut self, engine: &mut Engine, frame: &Frame<'_>) -> Result<Option<Step<'_>>> {
        let Some(stamp) = self.sampler.take(FrameStamp { time: frame.time, index: frame.index })? else {
            return Ok(None);
        };
        if self.last.is_some_and(|last| stamp.time - last.time > self.gap_s) {
            // Frames from before a gap are not evidence for those after it. The tracker detects the gap itself.
            self.recognizer.clear();
            self.gate.reset();
        }
        let started = Instant::now();
        let GateOutput { decision, visibility } = self.decide(frame, stamp)?;
        let decided = Instant::now();
        if decision == GateDecision::Encode {
            let encoded = engine.embed(&mut self.preprocessor, &frame.picture, CropAt::Centre, &mut self.embedding);
            // On failure the stored embedding does not belong to this frame.
            encoded.inspect_err(|_| self.gate.reset())?;
        }
        let encoded = Instant::now();
        self.recognizer.push(stamp, &self.embedding.video, self.embedding.separate_attribute())?;
        let scores = self.recognizer.scores()?;
        let observation = match visibility {
            Visibility::Clear => Observation::Scores(scores),
            Visibility::Dark | Visibility::Flat => Observation::NothingVisible,
        };
        self.tracker.step(stamp, observation);
        self.last = Some(stamp);
        self.steps += 1;
        let timings = StepTimings { gate: decided - started, encode: encoded - decided, recognise: encoded.elapsed() };
        let (tracker, events) = (&self.tracker, self.tracker.reports());
        Ok(Some(Step { stamp, decision, scores, events, timings, tracker }))
    }

    /// Ends all open events and clears the window: the stream ended, or no frame came for more than `gap_s`. Returns
    /// the events that ended.
    pub fn finish(&mut self) -> &[EventReport] {
        self.recognizer.clear();
        self.gate.reset();
        self.last = None;
        self.tracker.finish()
    }

    /// Changes the stride, as the governor does on a hot board.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a stride out of its range.
    pub fn set_stride(&mut self, stride: Seconds) -> Result<()> {
        self.sampler.set_stride(stride)
    }

    /// Number of frames sampled.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The newest sampled frame since the start or the last [`Session::finish`].
    pub fn last(&self) -> Option<FrameStamp> {
        self.last
    }

    /// Seconds without a frame after which open events end.
    pub fn gap_s(&self) -> Seconds {
        self.gap_s
    }

    /// How many frames were encoded and how many were skipped.
    pub fn gate_counts(&self) -> GateCounts {
        self.gate.counts()
    }

    /// Number of open events that have been reported.
    pub fn open_events(&self) -> usize {
        self.tracker.open_events()
    }

    /// How often an event was not opened because [`MAX_OPEN`](crate::events::MAX_OPEN) events were open.
    pub fn not_opened(&self) -> u64 {
        self.tracker.not_opened()
    }

    fn decide(&mut self, frame: &Frame<'_>, stamp: FrameStamp) -> Result<GateOutput> {
        if self.gate.enabled() {
            self.preprocessor.luma(&frame.picture, &mut self.grid)?;
        }
        Ok(self.gate.decide(&self.grid, stamp.time))
    }
}
