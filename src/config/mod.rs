//! Settings: layers of TOML tables, resolved into the specs of the library.
//!
//! Each setting is defined once, in the spec of the library module that uses it, with its default and its range. A
//! board profile, the service's configuration file, a thresholds file and the flags of a command are tables of the same
//! keys, which are layered ([`Layers`](layers::Layers)). The merged table is read into the specs, and an invalid value
//! is reported with the flag or the line that gave it.

mod advice;
mod camera;
mod command;
mod effective;
mod layers;
mod profile;
mod secret;
mod service;
mod spec_table;
#[cfg(test)]
mod tests;

pub use advice::advise;
pub use camera::CameraSettings;
pub use command::CommandSettings;
pub use effective::{builtin_default, effective_settings};
pub use profile::{MachineNeeds, Profile};
pub use secret::Credentials;
pub use service::{ServiceSettings, read_service_settings};
