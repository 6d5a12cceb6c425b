//! One view of a stream: a part of each picture with its own gate, window and events.

use super::engine::{Embedding, Engine};
use super::gate::{Gate, GateCounts, GateDecision, GateSpec, Visibility};
use crate::error::Result;
use crate::events::{EventReport, Observation, Tracker};
use crate::picture::{Picture, Rect};
use crate::preprocess::{CropAt, LumaGrid, Preprocessor};
use crate::recognition::{FrameStamp, Recognizer, Scores};

/// A view: the whole picture, or a region that is followed.
pub(super) struct StreamView {
    gate: Gate,
    embedding: Embedding,
    recognizer: Recognizer,
    tracker: Tracker,
    /// The region of the newest frame, in pixels of the upright picture; `None` for all that is analysed.
    region: Option<Rect>,
    /// Whether the newest frame was encoded.
    decision: GateDecision,
    /// Whether the newest sampled frame is in the window.
    is_active: bool,
}

impl std::fmt::Debug for StreamView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamView")
            .field("region", &self.region)
            .field("decision", &self.decision)
            .finish_non_exhaustive()
    }
}

impl StreamView {
    /// Creates a view without frames.
    pub fn new(gate: GateSpec, recognizer: Recognizer, tracker: Tracker) -> Self {
        Self {
            gate: Gate::new(gate),
            embedding: Embedding::default(),
            recognizer,
            tracker,
            region: None,
            decision: GateDecision::Encode,
            is_active: false,
        }
    }

    /// Chooses the region of the next frame and decides whether it is encoded.
    ///
    /// # Errors
    /// A region outside the picture.
    pub fn decide(
        &mut self,
        preprocessor: &mut Preprocessor,
        picture: &Picture<'_>,
        region: Option<Rect>,
        stamp: FrameStamp,
        grid: &mut LumaGrid,
    ) -> Result<Visibility> {
        if region != self.region {
            // The last encoded picture showed another part.
            self.gate.reset();
            self.region = region;
        }
        if self.gate.enabled() {
            preprocessor.luma(picture, grid)?;
        }
        let decided = self.gate.decide(grid, stamp.time);
        self.decision = decided.decision;
        Ok(decided.visibility)
    }

    /// Encodes the region of a frame, unless the gate skips it.
    ///
    /// # Errors
    /// A network whose output is not finite.
    pub fn encode(
        &mut self,
        engine: &mut Engine,
        preprocessor: &mut Preprocessor,
        picture: &Picture<'_>,
    ) -> Result<()> {
        if self.decision != GateDecision::Encode {
            return Ok(());
        }
        let encoded = engine.embed(preprocessor, picture, CropAt::Centre, &mut self.embedding);
        // On failure the stored embedding does not belong to this frame.
        encoded.inspect_err(|_| self.gate.reset())
    }

    /// Adds the embedding to the window, scores it, and tracks events.
    ///
    /// # Errors
    /// A bundle that fails.
    pub fn recognise(&mut self, stamp: FrameStamp, visibility: Visibility) -> Result<()> {
        self.recognizer.push(stamp, &self.embedding.video, self.embedding.separate_attribute())?;
        let scores = self.recognizer.scores()?;
        let observation = match visibility {
            Visibility::Clear => Observation::Scores(scores),
            Visibility::Dark | Visibility::Flat => Observation::NothingVisible,
        };
        self.tracker.set_region(self.region);
        self.tracker.step(stamp, observation);
        self.is_active = true;
        Ok(())
    }

    /// Forgets the frames before a gap, which are not evidence for those after it. The tracker detects the gap itself.
    pub fn skip_gap(&mut self) {
        self.recognizer.clear();
        self.gate.reset();
    }

    /// Ends all open events and clears the window. Returns the events that ended.
    pub fn finish(&mut self) -> &[EventReport] {
        self.skip_gap();
        self.is_active = false;
        self.tracker.finish()
    }

    /// Whether the newest sampled frame is in the window.
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// The region of the newest frame.
    pub fn region(&self) -> Option<Rect> {
        self.region
    }

    /// Whether the newest frame was encoded, or why not.
    pub fn decision(&self) -> GateDecision {
        self.decision
    }

    /// The scores of the window.
    pub fn scores(&self) -> &Scores {
        self.recognizer.latest_scores()
    }

    /// The events of the view.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// How many frames were encoded and how many were skipped.
    pub fn gate_counts(&self) -> GateCounts {
        self.gate.counts()
    }
}
