//! One camera's way from frames to events, with encoders that several cameras share.
//!
//! An [`Engine`] holds what is large: the bundle and its encoders. A [`Session`] holds what belongs to one camera: how
//! its pictures are cut, its window, its gate and its events. A frame is sampled or not by its time
//! ([`Sampler`]), passes the [`Gate`], is encoded once, moves the window, and what the window shows goes to the tracker.
//! What comes out depends on frames and their times alone, never on the clock of the machine, so that the same frames
//! always give the same events. A [`Camera`] feeds a session from a live source, [`Stats`] say what it costs.

mod any_text;
mod camera;
mod engine;
mod gate;
mod sampler;
mod session;
mod stats;
mod trace;

pub use camera::{Camera, Flow, Told};
pub use engine::{Embedding, Engine, Spent, recognizer};
pub use gate::{Gate, GateCounts, GateSpec, Judgement, Sight, Verdict};
pub use sampler::Sampler;
pub use session::{Session, SessionSpec, Step, Took};
pub use stats::{Spread, Stats, StatsReport};
pub use trace::{TracePoint, TraceReader, TraceWriter};
