//! Where answers go: a table for people, JSON Lines for programs.

mod answer;
mod bars;
mod event_file;
mod event_line;
mod json;
mod round;
mod table;
mod whole_file;

pub use answer::{Answer, AttributeAnswer, BundleName, Raw, Result, SaliencyPoint, Timing};
pub use bars::{bar, sparkline};
pub use event_file::{EventFile, FileCounts};
pub use event_line::{EventLine, EventSource, Wall};
pub use json::{JsonLines, output_error};
pub use round::{brief, rounded};
pub use table::Terminal;
pub use whole_file::{Lasting, write_whole};
