//! Every effective setting of the service with its value, and where the value comes from.

use bike_edge::events::EventSpec;
use bike_edge::health::GovernorSpec;
use bike_edge::output::OutputSpec;
use bike_edge::pipeline::{ClipSampling, Engine, FollowSpec, GateSpec, ModelSpec, Workload};
use bike_edge::preprocess::RegionSpec;
use bike_edge::source::{CaptureRequest, ReadSpec};
use bike_edge::{Error, Result};
use serde::Serialize;
use toml::{Table, Value};

use super::camera::CameraSettings;
use super::service::{HealthSpec, LogSpec, MetricsSpec, ServiceSettings, TopSpec, sections};
use crate::config::spec_table::keys_of;

/// A line of `check-config`.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveSetting {
    /// The path of the key, such as `model.tau`.
    pub key: String,
    /// Its value as TOML, or a note such as `is not set`.
    pub value: Result<String, String>,
    /// `default`, `bundle`, `machine`, `profile NAME` or `FILE:LINE`.
    pub origin: String,
}

/// Lists every setting in the order of the example configuration. Secrets are removed.
///
/// # Errors
/// [`Error::Internal`] if a setting cannot be written as TOML.
pub fn effective_settings(settings: &ServiceSettings, engine: &Engine) -> Result<Vec<EffectiveSetting>> {
    let manifest = &engine.bundle.manifest;
    let model = settings.model.effective(manifest, Workload::Streams);
    let stride = engine.model.stride_s * settings.max_stretch();
    let events = settings.events.resolve(engine.model.recognition.scoring, engine.categories().len(), stride)?;
    let mut list = SettingList { settings, lines: Vec::new() };
    list.add("", &keys_of::<TopSpec>(), &top(settings), &|_| "default");
    if let Some(profile) = list.lines.first_mut().filter(|_| settings.layers.profile_is_detected()) {
        profile.origin = "detected".into();
    }
    for (section, keys) in sections() {
        match section {
            "log" => list.add(section, &keys, &table(&LogSpec { level: settings.log })?, &|_| "default"),
            "model" => {
                list.add(section, &keys, &table(&model)?, &|key| model_origin(key, manifest.defaults.stride_s));
                list.describe_categories(engine);
            }
            "camera_defaults" => {}
            "camera" => {
                for (index, camera) in settings.cameras.iter().enumerate() {
                    list.add_camera(&format!("camera[{index}]"), &keys, camera)?;
                }
            }
            "events" => list.add(section, &keys, &table(&events)?, &|_| "default"),
            "gate" => list.add(section, &keys, &table(&settings.gate)?, &|_| "default"),
            "governor" => list.add(section, &keys, &table(&settings.governor)?, &|_| "default"),
            "output" => {
                for (index, output) in settings.outputs.iter().enumerate() {
                    list.add(&format!("output[{index}]"), &keys, &table(output)?, &|_| "default");
                }
            }
            "metrics" => list.add(section, &keys, &table(&settings.metrics)?, &|_| "default"),
            "health" => list.add(section, &keys, &table(&settings.health)?, &|_| "default"),
            other => return Err(Error::Internal(format!("the section {other} has no list of settings"))),
        }
    }
    Ok(list.lines)
}

fn top(settings: &ServiceSettings) -> Table {
    let mut own = settings.layers.merged();
    own.retain(|key, value| keys_of::<TopSpec>().contains(&key) && value.is_str());
    own.insert("profile".into(), settings.profile.into());
    own
}

fn model_origin(key: &str, bundle_stride: Option<f64>) -> &'static str {
    match key {
        "window" | "lambda" | "tau" | "categories" | "background" => "bundle",
        "stride_s" if bundle_stride.is_some() => "bundle",
        "threads" => "machine",
        _ => "default",
    }
}

struct SettingList<'a> {
    settings: &'a ServiceSettings,
    lines: Vec<EffectiveSetting>,
}

impl SettingList<'_> {
    /// Adds keys of a section. `default_origin` names where the value of a key comes from that no layer sets.
    fn add(&mut self, section: &str, keys: &[&str], values: &Table, default_origin: &dyn Fn(&str) -> &'static str) {
        for key in keys {
            let path = if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
            let origin = self.settings.layers.origin(&path).unwrap_or_else(|| default_origin(key).to_owned());
            self.lines.push(EffectiveSetting { key: path, value: value_or_note(values, key), origin });
        }
    }

    /// Replaces an empty list of categories by a note with the number of the bundle's categories.
    fn describe_categories(&mut self, engine: &Engine) {
        let all = engine.bundle.categories().names.len();
        if let Some(line) =
            self.lines.iter_mut().find(|line| line.key == "model.categories" && line.value == Ok("[]".into()))
        {
            line.value = Err(format!("is not set: all {all} categories of the bundle"));
        }
    }

    fn add_camera(&mut self, section: &str, keys: &[&str], camera: &CameraSettings) -> Result<()> {
        let mut values = table(&camera.capture)?;
        values.extend(table(&camera.transform)?);
        values.extend(table(&camera.region)?);
        values.extend(table(&camera.follow)?);
        values.extend(table(&camera.read)?);
        values.insert("name".into(), camera.name.clone().into());
        let from = ["source", "url_file", "url_credential"];
        let from = from.into_iter().find(|key| self.settings.layers.origin(&format!("{section}.{key}")).is_some());
        values.insert(from.unwrap_or("source").into(), camera.address.to_string().into());
        for key in keys {
            let own = self.settings.layers.origin(&format!("{section}.{key}"));
            let shared = || self.settings.layers.origin(&format!("camera_defaults.{key}"));
            let origin = own.or_else(shared).unwrap_or_else(|| "default".into());
            let key_path = format!("{section}.{key}");
            self.lines.push(EffectiveSetting { key: key_path, value: value_or_note(&values, key), origin });
        }
        Ok(())
    }
}

fn value_or_note(values: &Table, key: &str) -> Result<String, String> {
    values.get(key).map(display).ok_or_else(|| "is not set".into())
}

/// Returns the built-in default of a key, as readable text; `None` if it has no fixed default.
pub fn builtin_default(path: &str) -> Option<String> {
    let (section, key) = path.rsplit_once('.')?;
    let values = match section {
        "model" => table(&ModelSpec::default()),
        "events" => table(&EventSpec::default()),
        "gate" => table(&GateSpec::default()),
        "governor" => table(&GovernorSpec::default()),
        "sampling" => table(&ClipSampling::default()),
        "metrics" => table(&MetricsSpec::default()),
        "health" => table(&HealthSpec::default()),
        "log" => table(&LogSpec::default()),
        "output" => table(&OutputSpec::default()),
        "camera" | "camera_defaults" => camera_defaults(),
        _ => return None,
    };
    let value = values.ok()?.remove(key)?;
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) if items.is_empty() => None,
        other => Some(display(&other)),
    }
}

/// Returns the defaults of all keys of a camera.
pub(super) fn camera_defaults() -> Result<Table> {
    let mut values = table(&CaptureRequest::default())?;
    values.extend(table(&bike_edge::picture::PictureTransform::default())?);
    values.extend(table(&RegionSpec::default())?);
    values.extend(table(&FollowSpec::default())?);
    values.extend(table(&ReadSpec::default())?);
    Ok(values)
}

fn table(spec: &impl Serialize) -> Result<Table> {
    Table::try_from(spec).map_err(|e| Error::Internal(format!("a setting cannot be written as TOML: {e}")))
}

/// Writes a value as TOML. Numbers that were single precision get the shortest text that reads back as the same number.
fn display(value: &Value) -> String {
    match value {
        Value::Float(number) => {
            let short = *number as f32;
            if f64::from(short) == *number { format!("{short:?}") } else { format!("{number:?}") }
        }
        Value::Table(table) => {
            let entries: Vec<_> = table.iter().map(|(key, value)| format!("{key:?} = {}", display(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(display).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
