//! What the command line means: flags checked against the bundle and turned into plain values.

mod camera;
mod categories;
mod events;
mod model;
mod sampling;
pub mod service;
mod size;

pub use camera::live_options;
pub use categories::CategoryChoice;
pub use events::{event_spec, read_event_settings};
pub use model::{ModelSettings, PictureSettings, preprocess};
pub use sampling::{SamplingPlan, View};
pub use size::parse_size;
