//! What this machine has, read from the kernel's own files.

mod cpu;
mod machine;
mod usage;

pub use machine::{Camera, Machine};
pub use usage::{peak_rss_bytes, process_cpu, thread_cpu};
