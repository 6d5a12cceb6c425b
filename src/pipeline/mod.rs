//! Puts the stages together: a loaded bundle, one loop from frames to events, and BIKE's protocol for clips.
//!
//! An [`Engine`] holds the large parts: the bundle and its encoders. A [`Session`] holds the state of one stream: the
//! sampler, the [`Gate`], the window and the event tracker. A [`StreamRunner`] joins a session with its source, and
//! [`drive()`] is the loop over its frames. Results depend only on frames and their timestamps, so the same frames
//! always give the same events. The clock of this machine only decides when a live source counts as silent. A
//! [`ClipClassifier`] scores whole clips as the paper does.

pub mod bike_sampling;
mod changes;
mod clip;
mod clip_encoding;
mod clip_views;
mod drive;
mod engine;
mod follow;
mod gate;
mod model;
mod sampler;
mod session;
mod stats;
mod stream_view;

pub use clip::{ClipClassifier, ClipScores, ClipSpec, Explanation};
pub use clip_encoding::{ClipReport, EncodedClip};
pub use clip_views::{ClipSampling, ClipView};
pub use drive::{Captured, Observer, Progress, StreamRunner, StreamSource, Update, drive};
pub use engine::{Embedding, Engine, LazyTextEncoder, StageTimings};
pub use follow::{Follow, FollowSpec, MAX_REGIONS, RegionFinder};
pub use gate::{Gate, GateCounts, GateDecision, GateOutput, GateSpec, Visibility};
pub use model::{Model, ModelSpec, SentenceChoice, Workload, read_categories};
pub use sampler::{Sampler, TracePoint, TraceReader, TraceWriter};
pub use session::{FrameSelection, Session, SessionSpec, Step, StepTimings, ViewStep};
pub use stats::{Percentiles, Stats, StatsReport};
