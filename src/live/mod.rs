//! One camera's way from frames to events, with encoders that several cameras share.
//!
//! An [`Engine`] holds what is large: the bundle and its encoders. A [`Session`] holds what belongs to one camera: how
//! its pictures are cut, its window, its gate and its events. A frame is sampled or not by its time
//! ([`Sampler`]), passes the [`Gate`], is encoded once, moves the window, and what the window shows goes to the tracker.
//! The clock of the machine is never asked here, so that the same frames always give the same events.

mod engine;
mod gate;
mod sampler;
mod session;
mod trace;

pub use engine::{Embedding, Engine, Spent, recognizer};
pub use gate::{Gate, GateCounts, GateSpec, Verdict};
pub use sampler::Sampler;
pub use session::{Session, SessionSpec, Step, Took};
pub use trace::{TracePoint, TraceReader, TraceWriter};
