//! Describes and measures this machine, and lowers the sampling rate when it is hot or overloaded.

mod clock;
mod governor;
mod machine;
mod measure;

pub use clock::{clock_is_synchronised, rfc3339};
pub use governor::{ChangeReason, Governor, GovernorSpec, Measurement, StrideChange};
pub use machine::{Machine, VideoDevice, board_model};
pub use measure::{ThermalZones, current_rss_bytes, peak_rss_bytes, process_cpu, thread_cpu};
