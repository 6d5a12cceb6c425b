//! The service's configuration: one TOML file over a board's profile over the defaults (docs/service.md).
//!
//! [`mod@file`] is what may be written, [`read`] finds and lays one over the other, [`check`] turns it into values that the
//! service can use, and [`describe()`] says what was understood.

mod camera;
mod check;
mod describe;
mod file;
mod place;
mod profile;
mod read;
mod secret;
mod settings;
#[cfg(test)]
mod tests;

pub use camera::CameraConfig;
pub use describe::describe;
pub use file::{CameraFile, EVERY_SECTION, ServiceFile};
pub use profile::{Needs, Profile, profile_names};
pub use read::{parse_config, read_config};
pub use secret::{Address, Credentials};
pub use settings::{LogLevel, MetricsConfig, OutputConfig, ServiceConfig};
