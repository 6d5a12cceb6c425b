//! The configuration checked, in the types that the service uses.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::camera::CameraConfig;
use crate::cli::args::ModelArgs;
use crate::events::EventSettings;
use crate::health::GovernorSpec;
use crate::pipeline::GateSpec;

/// What the service runs by.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The file, as it is named in messages.
    pub file: String,
    /// The board profile under it.
    pub profile: String,
    /// What is logged.
    pub log: LogLevel,
    /// The model, as the command line would say it.
    pub model: ModelArgs,
    /// Seconds between sampled frames; the bundle's where it is not said.
    pub stride_s: Option<f64>,
    /// The cameras, at least one, each with a name of its own.
    pub cameras: Vec<CameraConfig>,
    /// When a category becomes an event.
    pub events: EventSettings,
    /// When a frame is not encoded.
    pub gate: GateSpec,
    /// When fewer frames are looked at.
    pub governor: GovernorSpec,
    /// Where the thermal zones are.
    pub thermal: PathBuf,
    /// Where events go.
    pub output: OutputConfig,
    /// Where figures go, if anywhere.
    pub metrics: Option<MetricsConfig>,
    /// Where what must outlive a restart is kept; `None` takes $STATE_DIRECTORY, and without that keeps nothing.
    pub state: Option<PathBuf>,
    /// Seconds between words to systemd on how things stand.
    pub status_s: f64,
    /// Seconds without a frame of any camera after which the service ends, to be started anew; 0 for never.
    pub exit_without_frames_s: f64,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl LogLevel {
    /// As the log crate has it.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
        }
    }
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputConfig {
    /// A line each on stdout.
    Stdout,
    /// A line each in a file that is rotated.
    File {
        /// The newest file; older ones are `path.1`, `path.2` and so on.
        path: PathBuf,
        /// A file is full at so many bytes.
        max_bytes: u64,
        /// Files kept, the newest included.
        files: usize,
    },
}

/// Where figures go.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsConfig {
    /// The text file, for node_exporter's textfile collector or any reader.
    pub path: PathBuf,
    /// Seconds between two writings.
    pub every_s: f64,
}
