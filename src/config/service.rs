//! The settings of the service: a configuration file, which overrides a board profile.

use std::path::{Path, PathBuf};

use bike_edge::events::EventSpec;
use bike_edge::health::{GovernorSpec, board_model};
use bike_edge::output::OutputSpec;
use bike_edge::pipeline::{GateSpec, ModelSpec};
use bike_edge::recognition::Scoring;
use bike_edge::units::check_range;
use bike_edge::{Error, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::camera::{CameraSettings, camera_default_keys, camera_keys};
use super::layers::{Layers, Origin};
use super::profile::{AUTO, Profile};
use super::secret::Credentials;
use super::spec_table::{check_event_keys, check_keys, keys_of, read_spec};

/// The largest number of `[[camera]]` sections: more than a board can process.
const MAX_CAMERAS: usize = 32;

/// All settings of the service.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// The board profile.
    pub profile: &'static str,
    /// What is logged.
    pub log: LogLevel,
    /// The model.
    pub model: ModelSpec,
    /// The cameras, at least one, each with a unique name.
    pub cameras: Vec<CameraSettings>,
    /// When a category becomes an event.
    pub events: EventSpec,
    /// When a frame is not encoded.
    pub gate: GateSpec,
    /// When fewer frames are sampled.
    pub governor: GovernorSpec,
    /// Where events go, at least one destination.
    pub outputs: Vec<OutputSpec>,
    /// Where metrics go.
    pub metrics: MetricsSpec,
    /// Status, restart and state of the service.
    pub health: HealthSpec,
    /// Where each value comes from.
    pub layers: Layers,
}

/// Keys that are not in a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TopSpec {
    /// The board profile.
    pub profile: String,
    /// A file that `calibrate` wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogSpec {
    /// The most detailed level that is logged.
    pub level: LogLevel,
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSpec {
    /// The text file, for example for the textfile collector of node_exporter; without it no metrics are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Seconds between writes, 1..=86400.
    pub interval_s: f64,
}

/// `[health]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSpec {
    /// The file of the state that must survive a restart. Default `$STATE_DIRECTORY/state.json`; no file if that
    /// variable is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Seconds between status lines for systemd, 1..=3600.
    pub status_s: f64,
    /// Seconds without a sampled frame from any camera after which the service exits, so that systemd restarts it, up to 86400;
    /// 0 for never.
    pub exit_without_frames_s: f64,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only errors.
    Error,
    /// Errors and warnings.
    Warn,
    /// Also what the service does.
    #[default]
    Info,
    /// Also details.
    Debug,
}

impl Default for TopSpec {
    fn default() -> Self {
        Self { profile: AUTO.into(), thresholds: None }
    }
}

impl Default for MetricsSpec {
    fn default() -> Self {
        Self { path: None, interval_s: 15.0 }
    }
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self { state: None, status_s: 10.0, exit_without_frames_s: 0.0 }
    }
}

impl LogLevel {
    /// The level of the `log` crate.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            Self::Error => log::LevelFilter::Error,
            Self::Warn => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
        }
    }
}

/// The sections of the configuration file and their keys, in the order of the example.
pub(super) fn sections() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("log", keys_of::<LogSpec>()),
        ("model", keys_of::<ModelSpec>()),
        ("camera_defaults", camera_default_keys()),
        ("camera", camera_keys()),
        ("events", keys_of::<EventSpec>()),
        ("gate", keys_of::<GateSpec>()),
        ("governor", keys_of::<GovernorSpec>()),
        ("output", OutputSpec::KEYS.to_vec()),
        ("metrics", keys_of::<MetricsSpec>()),
        ("health", keys_of::<HealthSpec>()),
    ]
}

/// Reads and checks a configuration file and the address files that it names.
///
/// # Errors
/// [`Error::Input`] with file, line and key, the problem and the remedy.
pub fn read_service_settings(path: &Path, credentials: &Credentials) -> Result<ServiceSettings> {
    let mut layers = Layers::default();
    layers.push_file(path, None)?;
    resolve(layers, credentials)
}

/// Checks the text of a configuration file; `name` is its name in messages.
///
/// # Errors
/// As [`read_service_settings`].
#[cfg(test)]
pub(super) fn parse_service_settings(name: &str, text: &str, credentials: &Credentials) -> Result<ServiceSettings> {
    let mut layers = Layers::default();
    layers.push_text(name.into(), text.into(), None)?;
    resolve(layers, credentials)
}

/// Reads the settings of the configuration file `file`, over those of the profile and the thresholds file that it names.
fn resolve(file: Layers, credentials: &Credentials) -> Result<ServiceSettings> {
    let table = file.merged();
    let mut layers = Layers::default();
    let prepared = check_sections(&table).and_then(|()| {
        let top = top_spec(&table)?;
        let profile = Profile::find(&top.profile, board_model().as_deref())?;
        layers.push(Origin::Profile(profile.name), profile.settings);
        if let Some(thresholds) = &top.thresholds {
            check_absolute("thresholds", Some(thresholds))?;
            if !thresholds.is_file() {
                let problem = format!("there is no file {}", thresholds.display());
                return Err(Error::setting("thresholds", problem, "name a file that `bike-edge calibrate` wrote"));
            }
            layers.push_file(thresholds, Some("events"))?;
            if let Some(Value::Table(events)) = layers.merged().get("events") {
                check_event_keys("events", events).map_err(|e| layers.locate(e))?;
            }
        }
        Ok(profile.name)
    });
    let profile = prepared.map_err(|e| file.locate(e))?;
    layers.extend(file);
    let mut settings = settings(profile, &layers.merged(), credentials).map_err(|e| layers.locate(e))?;
    settings.layers = layers;
    Ok(settings)
}

fn settings(profile: &'static str, all: &Table, credentials: &Credentials) -> Result<ServiceSettings> {
    let settings = ServiceSettings {
        profile,
        log: section::<LogSpec>(all, "log")?.level,
        model: section(all, "model")?,
        cameras: cameras(all, credentials)?,
        events: section(all, "events")?,
        gate: section(all, "gate")?,
        governor: section(all, "governor")?,
        outputs: outputs(all)?,
        metrics: section(all, "metrics")?,
        health: section(all, "health")?,
        layers: Layers::default(),
    };
    settings.check()?;
    Ok(settings)
}

impl ServiceSettings {
    /// The largest factor by which the governor may stretch the stride.
    pub fn max_stretch(&self) -> f64 {
        if self.governor.enabled { self.governor.max_stretch } else { 1.0 }
    }

    fn check(&self) -> Result<()> {
        self.model.check().map_err(|e| e.within("model"))?;
        self.gate.check().map_err(|e| e.within("gate"))?;
        self.governor.check().map_err(|e| e.within("governor"))?;
        self.events.check().map_err(|e| e.within("events"))?;
        // The default gap grows with the stride, so that only a gap that was set can be too short.
        if let (Some(stride), Some(_)) = (self.model.stride_s, self.events.gap_s) {
            self.events.resolve(Scoring::Share, 1, stride * self.max_stretch()).map_err(|e| e.within("events"))?;
        }
        for (index, output) in self.outputs.iter().enumerate() {
            output.check().map_err(|e| e.within(&format!("output[{index}]")))?;
        }
        check_absolute("metrics.path", self.metrics.path.as_deref())?;
        check_range("metrics.interval_s", self.metrics.interval_s, 1.0..=86_400.0, "seconds")?;
        check_absolute("health.state", self.health.state.as_deref())?;
        check_range("health.status_s", self.health.status_s, 1.0..=3600.0, "seconds")?;
        let exit_s = self.health.exit_without_frames_s;
        check_range("health.exit_without_frames_s", exit_s, 0.0..=86_400.0, "seconds")
    }
}

/// Refuses sections and keys that do not exist, and sections of the wrong form.
fn check_sections(table: &Table) -> Result<()> {
    let sections = sections();
    let names: Vec<&str> = keys_of::<TopSpec>().into_iter().chain(sections.iter().map(|(name, _)| *name)).collect();
    check_keys("", table, &names)?;
    for (name, keys) in &sections {
        let is_list = matches!(*name, "camera" | "output");
        match (table.get(*name), is_list) {
            (None, _) => {}
            (Some(Value::Table(section)), false) if *name == "events" => check_event_keys(name, section)?,
            (Some(Value::Table(section)), false) => check_keys(name, section, keys)?,
            (Some(Value::Array(items)), true) => {
                for (index, item) in items.iter().enumerate() {
                    let item = item.as_table().ok_or_else(|| wrong_form(name, true))?;
                    check_keys(&format!("{name}[{index}]"), item, keys)?;
                }
            }
            (Some(Value::Table(_) | Value::Array(_)), _) => return Err(wrong_form(name, is_list)),
            (Some(_), _) => {
                let remedy = format!("write [{name}] and its keys below it");
                return Err(Error::setting(*name, "a section is expected", remedy));
            }
        }
    }
    Ok(())
}

fn wrong_form(name: &str, is_list: bool) -> Error {
    if is_list {
        Error::setting(name, "this is a list of sections", format!("write [[{name}]] with two brackets"))
    } else {
        Error::setting(name, "there is only one such section", format!("write [{name}] with one bracket"))
    }
}

fn top_spec(table: &Table) -> Result<TopSpec> {
    let keys = keys_of::<TopSpec>();
    let own: Table = keys.iter().filter_map(|key| Some(((*key).to_owned(), table.get(*key)?.clone()))).collect();
    match own.iter().find(|(_, value)| !value.is_str()) {
        Some((key, value)) => {
            let problem = format!("a text is expected, not a value of type {}", value.type_str());
            Err(Error::setting(key, problem, "put it in quotes"))
        }
        None => read_spec("", &own),
    }
}

/// Reads a section. If it is missing, all values are defaults.
fn section<T: serde::de::DeserializeOwned>(all: &Table, name: &str) -> Result<T> {
    let empty = Table::new();
    read_spec(name, all.get(name).and_then(Value::as_table).unwrap_or(&empty))
}

fn list<'a>(all: &'a Table, name: &str) -> impl Iterator<Item = &'a Table> {
    all.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn cameras(all: &Table, credentials: &Credentials) -> Result<Vec<CameraSettings>> {
    let defaults = all.get("camera_defaults").and_then(Value::as_table).cloned().unwrap_or_default();
    let mut cameras: Vec<CameraSettings> = Vec::new();
    for (index, own) in list(all, "camera").enumerate() {
        let path = format!("camera[{index}]");
        let mut table = defaults.clone();
        table.extend(own.clone());
        let camera = CameraSettings::read(&path, table, credentials).map_err(|e| in_defaults(e, &path, own))?;
        if cameras.iter().any(|other| other.name == camera.name) {
            let problem = format!("another camera is named `{}`", camera.name);
            return Err(Error::setting(format!("{path}.name"), problem, "give each camera a unique name"));
        }
        cameras.push(camera);
    }
    let example = "add a section such as [[camera]] with name = \"door\" and source = \"/dev/video0\"";
    match cameras.len() {
        0 => Err(Error::setting("camera", "there is no camera", example)),
        1..=MAX_CAMERAS => Ok(cameras),
        n => Err(Error::setting("camera", format!("there are {n} cameras"), format!("give at most {MAX_CAMERAS}"))),
    }
}

/// Reports an error in `[camera_defaults]` at that section and not at the camera that uses the default.
fn in_defaults(error: Error, path: &str, own: &Table) -> Error {
    let Error::Setting { setting, problem, remedy } = error else { return error };
    let key = setting.strip_prefix(path).and_then(|key| key.strip_prefix('.'));
    match key.filter(|key| !own.contains_key(*key) && camera_default_keys().contains(key)) {
        Some(key) => Error::setting(format!("camera_defaults.{key}"), problem, remedy),
        None => Error::setting(setting, problem, remedy),
    }
}

/// Reads the outputs; the default is stdout.
fn outputs(all: &Table) -> Result<Vec<OutputSpec>> {
    let outputs = list(all, "output").enumerate().map(|(index, table)| read_spec(&format!("output[{index}]"), table));
    let outputs: Vec<OutputSpec> = outputs.collect::<Result<_>>()?;
    if outputs.iter().filter(|output| **output == OutputSpec::Stdout).count() > 1 {
        return Err(Error::setting("output", "stdout is given twice", "remove one of the two"));
    }
    Ok(if outputs.is_empty() { vec![OutputSpec::default()] } else { outputs })
}

/// Requires absolute paths, because a service may be started in any folder.
fn check_absolute(key: &str, path: Option<&Path>) -> Result<()> {
    match path {
        Some(path) if !path.is_absolute() => {
            let problem = format!("`{}` is a relative path", path.display().to_string().escape_debug());
            Err(Error::setting(key, problem, "give an absolute path"))
        }
        _ => Ok(()),
    }
}
