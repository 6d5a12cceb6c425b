//! Writes answers and events: a table for the terminal, JSON Lines for programs, rotated files for the service.

mod answer;
mod destinations;
mod event_file;
mod event_line;
mod json;
mod table;

pub use answer::{Answer, AttributeAnswer, BundleName, RankedCategory, Raw, SaliencyPoint, Timing};
pub use destinations::OutputSpec;
pub use event_file::{EventFile, FileSpec, LineCounts};
pub use event_line::{ClockState, EventLine, EventSource, Wall};
pub use json::{JsonLines, output_error};
pub use table::Terminal;
