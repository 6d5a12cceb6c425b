//! Turns scores over time into events with a start, an end and a confidence (docs/events.md).
//!
//! A [`Tracker`] smooths the confidence of each category, starts an event when the level reaches `on`, ends it when the
//! level falls below `off` or the background group is stronger, and returns [`EventReport`]s of kind new, update and end. It
//! reads no clock and does no I/O: the same scores at the same stream times always give the same events.

mod event;
mod spec;
mod tracker;

pub use event::{EventId, EventKind, EventReport, SalientFrame};
pub use spec::{CategorySpec, EventSpec};
pub use tracker::{BoundaryRule, MAX_OPEN, Observation, TrackedCategories, Tracker};
