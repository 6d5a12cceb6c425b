//! Writes answers and events: a table for people, JSON Lines for programs, rotated files for the service.

mod answer;
mod event_file;
mod event_line;
mod json;
mod spec;
mod table;

pub use answer::{Answer, AttributeAnswer, BundleName, RankedCategory, Raw, SaliencyPoint, Timing};
pub use event_file::{EventFile, FileCounts};
pub use event_line::{ClockState, EventLine, EventSource, Region, Wall};
pub use json::{JsonLines, output_error};
pub use spec::{FileSpec, OutputSpec};
pub use table::Terminal;
