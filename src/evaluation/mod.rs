//! How well events fit what was shown: streams glued from labelled clips, and the events found in them.

mod glue;
mod held;
mod judge;

pub use glue::{Glue, Glued, Piece};
pub use judge::{Found, LEAST_OVERLAP, Measures, Shown, judge};
