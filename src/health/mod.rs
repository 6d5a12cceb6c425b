//! What this machine has, read from the kernel's own files.

mod cpu;
mod governor;
mod machine;
mod thermal;
mod usage;

pub use governor::{Change, Governor, GovernorSpec, Measured, Why};
pub use machine::{Camera, Machine, board_model};
pub use thermal::ThermalZones;
pub use usage::{current_rss_bytes, peak_rss_bytes, process_cpu, thread_cpu};
