//! Measures answers and events on labelled clips, and finds event thresholds from them.

mod concatenated;
mod events;
mod labels;
mod matching;
mod ranks;
mod thresholds;

pub use concatenated::{ConcatenatedStream, ConcatenationSpec};
pub use events::{EventEvaluation, EventEvaluationReport, GateReport, evaluate_events};
pub use labels::{LabelledClip, read_labelled_clips};
pub use matching::{Detection, MIN_OVERLAP, Measures, Segment, match_events};
pub use ranks::{ClipFailure, ClipRank, RankBy, RankReport, rank_clips};
pub use thresholds::{Calibration, ClipLevels, clip_levels, thresholds_file};
