//! What may be written in the file, with its defaults. board/bike-edge.toml shows and explains every key.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::settings::LogLevel;
use crate::events::EventSettings;

/// Sections of the file, by name; `camera` may be there several times.
pub const EVERY_SECTION: [&str; 10] =
    ["log", "model", "camera_defaults", "camera", "events", "gate", "governor", "output", "metrics", "health"];

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ServiceFile {
    pub profile: String,
    pub thresholds: Option<PathBuf>,
    pub log: LogFile,
    pub model: ModelFile,
    pub camera_defaults: CameraDefaults,
    pub camera: Vec<CameraFile>,
    pub events: EventSettings,
    pub gate: GateFile,
    pub governor: GovernorFile,
    pub output: OutputFile,
    pub metrics: MetricsFile,
    pub health: HealthFile,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct LogFile {
    pub level: LogLevel,
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ModelFile {
    pub bundle: PathBuf,
    pub categories: Vec<String>,
    pub categories_file: Option<PathBuf>,
    pub threads: Option<usize>,
    pub device: String,
    pub attributes: String,
    pub lambda: Option<f32>,
    pub tau: Option<f32>,
    pub window: Option<usize>,
    pub stride_s: Option<f64>,
}

/// What `[[camera]]` and `[camera_defaults]` have in common is written twice, as serde cannot refuse unknown keys of
/// flattened parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct CameraDefaults {
    pub size: Option<String>,
    pub format: Option<String>,
    pub rate: Option<f64>,
    pub fit: FitName,
    pub rotate: u32,
    pub timeout_s: f64,
}

/// `[[camera]]`, `[camera_defaults]` laid under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct CameraFile {
    pub name: String,
    pub source: Option<String>,
    pub url_file: Option<PathBuf>,
    pub url_credential: Option<String>,
    pub size: Option<String>,
    pub format: Option<String>,
    pub rate: Option<f64>,
    pub roi: Option<String>,
    pub masks: Vec<String>,
    pub fit: FitName,
    pub rotate: u32,
    pub timeout_s: f64,
}

/// How a picture becomes square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum FitName {
    #[default]
    Crop,
    Pad,
    Stretch,
}

/// `[gate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct GateFile {
    pub enabled: bool,
    pub still_mean: f32,
    pub still_most: f32,
    pub refresh_s: f64,
    pub dark: f32,
    pub flat: f32,
    pub blind_mean: f32,
}

/// `[governor]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct GovernorFile {
    pub enabled: bool,
    pub hot_c: f64,
    pub cool_c: f64,
    pub behind: f64,
    pub room: f64,
    pub slowest: f64,
    pub every_s: f64,
    pub calm_s: f64,
    pub thermal: PathBuf,
}

/// `[output]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct OutputFile {
    pub kind: OutputKind,
    pub path: Option<PathBuf>,
    pub max_size: String,
    pub files: usize,
}

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum OutputKind {
    Stdout,
    File,
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct MetricsFile {
    pub path: Option<PathBuf>,
    pub every_s: f64,
}

/// `[health]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct HealthFile {
    pub state: Option<PathBuf>,
    pub status_s: f64,
    pub exit_without_frames_s: f64,
}

impl Default for ServiceFile {
    fn default() -> Self {
        Self {
            profile: "auto".into(),
            thresholds: None,
            log: LogFile::default(),
            model: ModelFile::default(),
            camera_defaults: CameraDefaults::default(),
            camera: Vec::new(),
            events: EventSettings::default(),
            gate: GateFile::default(),
            governor: GovernorFile::default(),
            output: OutputFile::default(),
            metrics: MetricsFile::default(),
            health: HealthFile::default(),
        }
    }
}

impl Default for LogFile {
    fn default() -> Self {
        Self { level: LogLevel::Info }
    }
}

impl Default for ModelFile {
    fn default() -> Self {
        Self {
            bundle: "embedded".into(),
            categories: Vec::new(),
            categories_file: None,
            threads: None,
            device: "auto".into(),
            attributes: "auto".into(),
            lambda: None,
            tau: None,
            window: None,
            stride_s: None,
        }
    }
}

/// Without a byte or a frame for so long a source is opened again.
const TIMEOUT_S: f64 = 10.0;

impl Default for CameraDefaults {
    fn default() -> Self {
        Self { size: None, format: None, rate: None, fit: FitName::Crop, rotate: 0, timeout_s: TIMEOUT_S }
    }
}

impl Default for CameraFile {
    fn default() -> Self {
        Self {
            name: String::new(),
            source: None,
            url_file: None,
            url_credential: None,
            size: None,
            format: None,
            rate: None,
            roi: None,
            masks: Vec::new(),
            fit: FitName::Crop,
            rotate: 0,
            timeout_s: TIMEOUT_S,
        }
    }
}

impl Default for GateFile {
    fn default() -> Self {
        let crate::pipeline::GateSpec { enabled, still_mean, still_most, refresh_s, dark, flat, blind_mean } =
            Default::default();
        Self { enabled, still_mean, still_most, refresh_s, dark, flat, blind_mean }
    }
}

impl Default for GovernorFile {
    fn default() -> Self {
        let spec = crate::health::GovernorSpec::default();
        Self {
            enabled: spec.enabled,
            hot_c: spec.hot_c,
            cool_c: spec.cool_c,
            behind: spec.behind,
            room: spec.room,
            slowest: spec.slowest,
            every_s: spec.every_s,
            calm_s: spec.calm_s,
            thermal: "/sys/class/thermal".into(),
        }
    }
}

impl Default for OutputFile {
    fn default() -> Self {
        Self { kind: OutputKind::Stdout, path: None, max_size: "16M".into(), files: 8 }
    }
}

impl Default for MetricsFile {
    fn default() -> Self {
        Self { path: None, every_s: 15.0 }
    }
}

impl Default for HealthFile {
    fn default() -> Self {
        Self { state: None, status_s: 10.0, exit_without_frames_s: 0.0 }
    }
}
