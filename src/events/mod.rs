//! Scores over time become events: what went on, from when to when, how sure (docs/events.md).
//!
//! Pure: stream time alone, nothing read or written, so that the same scores always give the same events. A
//! [`Tracker`] smooths each category's confidence, opens an event where it rises above `on`, closes it where it falls
//! below `off` or the background group is stronger, and tells [`Event`]s of kind new, update and end.

mod event;
mod settings;
mod spec;
mod tracker;

pub use event::{Event, EventId, EventKind, Salient};
pub use settings::{CategorySettings, EventSettings};
pub use spec::{CategorySpec, EventSpec};
pub use tracker::{Edges, MAX_OPEN, Seen, Tracker};
