//! Where answers go: a table for people, JSON Lines for programs.

mod answer;
mod bars;
mod json;
mod table;

pub use answer::{Answer, AttributeAnswer, BundleName, Raw, Result, SaliencyPoint, Timing};
pub use bars::{bar, sparkline};
pub use json::{JsonLines, output_error};
pub use table::Terminal;
