//! The state of one stream, from frames to events: sampler, gate, window, scores, event tracker.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::follow::{Follow, FollowSpec, MAX_REGIONS, RegionFinder};
use super::gate::{GateCounts, GateDecision, GateSpec};
use super::sampler::{Sampler, TraceReader};
use super::stream_view::StreamView;
use crate::error::Result;
use crate::events::{BoundaryRule, EventReport, EventSpec, TrackedCategories, Tracker};
use crate::picture::{Picture, Rect};
use crate::preprocess::{LumaGrid, Preprocessor, RegionSpec};
use crate::recognition::{FrameStamp, Interaction, Scores};
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
    /// Whether moving regions are analysed in place of the whole picture.
    pub follow: FollowSpec,
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
            follow: FollowSpec::default(),
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

/// The state of one stream. After the first frame its own code allocates nothing, unless the size of the pictures changes
/// or regions are followed.
pub struct Session {
    gap_s: Seconds,
    sampler: Sampler,
    preprocessor: Preprocessor,
    region: RegionSpec,
    /// Brightness, by which the gate of a view decides.
    grid: LumaGrid,
    follow: FollowSpec,
    finder: RegionFinder,
    /// The main view, then those of other regions, then the whole picture if it is analysed beside regions.
    views: Vec<StreamView>,
    /// Reports of all views, if there are several.
    reports: Vec<EventReport>,
    last: Option<FrameStamp>,
    steps: u64,
}

/// The result of one sampled frame.
#[derive(Debug)]
pub struct Step<'a> {
    /// The frame's number and its stream time.
    pub stamp: FrameStamp,
    /// The views of the stream, with those that did not analyse this frame.
    views: &'a [StreamView],
    /// Reports of events that started, were updated or ended, in all views.
    pub events: &'a [EventReport],
    /// Time spent per stage.
    pub timings: StepTimings,
}

/// The result of one sampled frame in one view.
#[derive(Debug)]
pub struct ViewStep<'a> {
    /// Its part of the upright picture, pixels; `None` for all that is analysed.
    pub region: Option<Rect>,
    /// Whether the frame was encoded, or why not.
    pub decision: GateDecision,
    /// Scores of the window.
    pub scores: &'a Scores,
    tracker: &'a Tracker,
}

impl<'a> ViewStep<'a> {
    fn of(view: &'a StreamView) -> Self {
        Self { region: view.region(), decision: view.decision(), scores: view.scores(), tracker: view.tracker() }
    }
}

impl Step<'_> {
    /// The highest level of a category in any view: its smoothed confidence, or 0 if the background is stronger.
    pub fn level(&self, category: usize) -> f32 {
        self.views().map(|view| view.tracker.level(category)).fold(0.0, f32::max)
    }

    /// The views of the frame, the main one first.
    pub fn views(&self) -> impl Iterator<Item = ViewStep<'_>> {
        self.views.iter().filter(|view| view.is_active()).map(ViewStep::of)
    }

    /// The main view.
    pub fn main(&self) -> ViewStep<'_> {
        // There is always one, and it analyses every frame.
        ViewStep::of(&self.views[0])
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
        let stride = engine.model.stride_s;
        let scoring = engine.model.recognition.scoring;
        let events = spec
            .events
            .resolve(scoring, engine.categories().len(), stride * spec.max_stretch)
            .map_err(|e| e.within("events"))?;
        let sampler = match &spec.selection {
            FrameSelection::Stride => Sampler::every(stride)?,
            FrameSelection::StrideUntil(end) => Sampler::every(stride)?.until(*end),
            FrameSelection::Trace(path) => Sampler::repeat(TraceReader::open(path)?)?,
        };
        spec.gate.check().map_err(|e| e.within("gate"))?;
        spec.follow.check()?;
        let view = |number: usize| {
            let recognizer = engine.recognizer()?;
            // How the start and end of an event are found within a window.
            let boundary_rule = match recognizer.spec().interaction {
                Interaction::Vcs => BoundaryRule::Saliency,
                Interaction::Dp => BoundaryRule::Middle,
            };
            let categories = TrackedCategories { names: engine.categories(), background: engine.background(), scoring };
            // Ids of events differ between the views.
            let camera = if number == 0 { spec.camera.clone() } else { format!("{}#{number}", spec.camera) };
            let tracker = Tracker::new(&events, &categories, &camera, boundary_rule).map_err(|e| e.within("events"))?;
            Ok(StreamView::new(spec.gate, recognizer, tracker))
        };
        let views = match spec.follow.follow {
            Follow::Off => 1,
            Follow::Region => spec.follow.follow_regions,
            Follow::Both => spec.follow.follow_regions + 1,
        };
        Ok(Self {
            gap_s: events.gap_s(),
            sampler,
            preprocessor: engine.preprocessor(spec.region)?,
            region: spec.region,
            grid: LumaGrid::default(),
            follow: spec.follow,
            finder: RegionFinder::new(spec.follow, spec.region),
            views: (0..views).map(view).collect::<Result<_>>()?,
            reports: Vec::new(),
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
            self.views.iter_mut().for_each(StreamView::skip_gap);
            self.finder.reset();
        }
        self.reports.clear();
        let mut timings = StepTimings::default();
        let started = Instant::now();
        let regions = self.regions(&frame.picture, stamp.time)?;
        timings.gate += started.elapsed();
        for (view, region) in self.views.iter_mut().zip(&regions) {
            let Some(region) = region else {
                if view.is_active() {
                    self.reports.extend_from_slice(view.finish());
                }
                continue;
            };
            let started = Instant::now();
            self.preprocessor.set_region(RegionSpec { roi: region.or(self.region.roi), ..self.region });
            let visibility = view.decide(&mut self.preprocessor, &frame.picture, *region, stamp, &mut self.grid)?;
            let decided = Instant::now();
            view.encode(engine, &mut self.preprocessor, &frame.picture)?;
            let encoded = Instant::now();
            view.recognise(stamp, visibility)?;
            timings.gate += decided - started;
            timings.encode += encoded - decided;
            timings.recognise += encoded.elapsed();
            if regions.len() > 1 {
                self.reports.extend_from_slice(view.tracker().reports());
            }
        }
        self.last = Some(stamp);
        self.steps += 1;
        Ok(Some(self.step(stamp, timings)))
    }

    /// Returns the region of each view in a picture: the inner `None` is all that is analysed, the outer `None` means that
    /// the view analyses nothing.
    fn regions(
        &mut self,
        picture: &Picture<'_>,
        time: Seconds,
    ) -> Result<heapless::Vec<Option<Option<Rect>>, { MAX_REGIONS + 1 }>> {
        let mut views = heapless::Vec::new();
        if self.follow.follow == Follow::Off {
            // The push succeeds, because the list is empty.
            let _ = views.push(Some(None));
            return Ok(views);
        }
        for region in self.finder.update(picture, time)? {
            let _ = views.push(Some(Some(region)));
        }
        views.resize(self.follow.follow_regions, None).unwrap_or_default();
        match self.follow.follow {
            Follow::Both => drop(views.push(Some(None))),
            _ if views[0].is_none() => views[0] = Some(None),
            _ => {}
        }
        Ok(views)
    }

    fn step(&self, stamp: FrameStamp, timings: StepTimings) -> Step<'_> {
        let events = if self.views.len() > 1 { &self.reports } else { self.views[0].tracker().reports() };
        Step { stamp, views: &self.views, events, timings }
    }

    /// Ends all open events and clears the windows: the stream ended, or no frame came for more than `gap_s`. Returns the
    /// events that ended.
    pub fn finish(&mut self) -> &[EventReport] {
        self.last = None;
        self.finder.reset();
        if self.views.len() == 1 {
            return self.views[0].finish();
        }
        self.reports.clear();
        for view in &mut self.views {
            self.reports.extend_from_slice(view.finish());
        }
        &self.reports
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

    /// How many frames were encoded and how many were skipped, in all views.
    pub fn gate_counts(&self) -> GateCounts {
        let mut counts = GateCounts::default();
        self.views.iter().for_each(|view| counts += view.gate_counts());
        counts
    }

    /// Number of open events that have been reported.
    pub fn open_events(&self) -> usize {
        self.views.iter().map(|view| view.tracker().open_events()).sum()
    }

    /// How often an event was not opened because [`MAX_OPEN`](crate::events::MAX_OPEN) events were open.
    pub fn not_opened(&self) -> u64 {
        self.views.iter().map(|view| view.tracker().not_opened()).sum()
    }
}
