//! Every value looked at, with the key in the complaint.

use std::path::Path;

use clap::ValueEnum;

use super::camera::CameraConfig;
use super::file::{GateFile, GovernorFile, ModelFile, OutputFile, OutputKind, ServiceFile};
use super::place::KeyPath;
use super::secret::Credentials;
use super::settings::{MetricsConfig, OutputConfig, ServiceConfig};
use crate::cli::args::ModelArgs;
use crate::config::{parse_size, read_event_settings};
use crate::events::EventSettings;
use crate::health::GovernorSpec;
use crate::pipeline::GateSpec;

/// More cameras than a board can look through.
const MAX_CAMERAS: usize = 32;

/// Longest time of any setting.
const MAX_SECONDS: f64 = 86_400.0;

/// A value that cannot be used.
#[derive(Debug)]
pub(super) struct Problem {
    pub key: KeyPath,
    pub message: String,
}

impl Problem {
    pub fn new(key: KeyPath, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

fn wrong<T>(key: &str, message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(KeyPath::of(key), message))
}

/// A number within its range.
fn within(key: &str, x: f64, range: std::ops::RangeInclusive<f64>, unit: &str) -> Result<f64, Problem> {
    let (low, high) = (range.start(), range.end());
    if range.contains(&x) { Ok(x) } else { wrong(key, format!("{x}: give {unit} from {low} to {high}")) }
}

/// Turns the file's values into the service's.
pub(super) fn check(
    file: &str,
    profile: &str,
    from: &ServiceFile,
    credentials: &Credentials,
) -> Result<ServiceConfig, Problem> {
    let metrics = &from.metrics;
    let every_s = within("metrics.every_s", metrics.every_s, 1.0..=MAX_SECONDS, "seconds")?;
    let health = &from.health;
    Ok(ServiceConfig {
        file: file.to_owned(),
        profile: profile.to_owned(),
        log: from.log.level,
        model: model(&from.model)?,
        stride_s: stride(&from.model)?,
        cameras: cameras(from, credentials)?,
        events: events(from)?,
        gate: gate(&from.gate)?,
        governor: governor(&from.governor)?,
        thermal: from.governor.thermal.clone(),
        output: output(&from.output)?,
        metrics: absolute("metrics.path", metrics.path.as_deref())?
            .map(|path| MetricsConfig { path: path.to_owned(), every_s }),
        state: absolute("health.state", health.state.as_deref())?.map(Path::to_owned),
        status_s: within("health.status_s", health.status_s, 1.0..=3600.0, "seconds")?,
        exit_without_frames_s: within(
            "health.exit_without_frames_s",
            health.exit_without_frames_s,
            0.0..=MAX_SECONDS,
            "seconds",
        )?,
    })
}

fn model(model: &ModelFile) -> Result<ModelArgs, Problem> {
    if model.threads.is_some_and(|n| !(1..=256).contains(&n)) {
        return wrong("model.threads", "give a number from 1 to 256");
    }
    if model.window.is_some_and(|n| !(1..=crate::recognition::MAX_WINDOW).contains(&n)) {
        return wrong("model.window", format!("give a number of frames from 1 to {}", crate::recognition::MAX_WINDOW));
    }
    if let Some(lambda) = model.lambda {
        within("model.lambda", lambda.into(), 0.0..=1.0, "a weight")?;
    }
    if let Some(tau) = model.tau {
        within("model.tau", tau.into(), 1e-4..=1e4, "a temperature")?;
    }
    if model.bundle.as_os_str().is_empty() {
        return wrong("model.bundle", "give a bundle's folder or file, or \"embedded\"");
    }
    let categories = match (&model.categories_file, model.categories.as_slice()) {
        (None, []) => None,
        (Some(file), []) if file.is_file() => Some(file.clone().into_os_string()),
        (Some(file), []) => return wrong("model.categories_file", format!("{}: no such file", file.display())),
        (None, names) => Some(listed(names)?.into()),
        (Some(_), _) => return wrong("model.categories_file", "give either this or categories, not both"),
    };
    Ok(ModelArgs {
        bundle: model.bundle.clone().into_os_string(),
        categories,
        window: model.window,
        lambda: model.lambda,
        tau: model.tau,
        threads: model.threads,
        device: one_of("model.device", &model.device)?,
        attributes: one_of("model.attributes", &model.attributes)?,
    })
}

/// A word that the command line knows too.
fn one_of<T: ValueEnum>(key: &str, word: &str) -> Result<T, Problem> {
    T::from_str(word, false).or_else(|_| {
        let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let known: Vec<String> = known.map(|value| value.get_name().to_owned()).collect();
        wrong(key, format!("`{}`: give one of {}", word.escape_debug(), known.join(", ")))
    })
}

/// Names as the command line takes them.
fn listed(names: &[String]) -> Result<String, Problem> {
    match names.iter().find(|name| name.contains(',') || name.trim().is_empty()) {
        Some(name) => wrong(
            "model.categories",
            format!(
                "`{}`: empty names and names with a comma go into a file; see categories_file",
                name.escape_debug()
            ),
        ),
        // The comma at the end keeps a single name from being taken for a file.
        None => Ok(names.join(",") + ","),
    }
}

fn stride(model: &ModelFile) -> Result<Option<f64>, Problem> {
    model.stride_s.map(|s| within("model.stride_s", s, 0.001..=3600.0, "seconds")).transpose()
}

fn cameras(from: &ServiceFile, credentials: &Credentials) -> Result<Vec<CameraConfig>, Problem> {
    if from.camera.is_empty() {
        let example = "[[camera]] with name = \"door\" and source = \"/dev/video0\"";
        return wrong("camera", format!("there is none; add a section such as {example}"));
    }
    if from.camera.len() > MAX_CAMERAS {
        return wrong("camera", format!("there are {}; at most {MAX_CAMERAS} can be looked at", from.camera.len()));
    }
    let mut cameras: Vec<CameraConfig> = Vec::new();
    for (index, file) in from.camera.iter().enumerate() {
        let problem = |(key, message)| Problem::new(KeyPath::camera(index, key), message);
        let camera = CameraConfig::new(file, credentials).map_err(problem)?;
        if cameras.iter().any(|other| other.name == camera.name) {
            return Err(problem((
                "name",
                format!("`{}`: another camera has this name; give each its own", camera.name),
            )));
        }
        cameras.push(camera);
    }
    Ok(cameras)
}

/// What the categories are is known once the bundle is; the numbers can be looked at before.
fn events(from: &ServiceFile) -> Result<EventSettings, Problem> {
    let below = match absolute("thresholds", from.thresholds.as_deref())? {
        Some(file) => read_event_settings(file).or_else(|error| wrong("thresholds", error.to_string()))?,
        None => EventSettings::default(),
    };
    let settings = from.events.clone().over(below);
    let shortest_gap = 0.001;
    let stride = from.model.stride_s.unwrap_or(shortest_gap);
    match settings.resolve(&[], stride) {
        Ok(_) => Ok(settings),
        Err(error) => wrong("events", error.to_string()),
    }
}

fn gate(gate: &GateFile) -> Result<GateSpec, Problem> {
    for (key, level) in [
        ("gate.still_mean", gate.still_mean),
        ("gate.still_most", gate.still_most),
        ("gate.dark", gate.dark),
        ("gate.flat", gate.flat),
        ("gate.blind_mean", gate.blind_mean),
    ] {
        within(key, level.into(), 0.0..=255.0, "a level")?;
    }
    let refresh_s = within("gate.refresh_s", gate.refresh_s, 0.0..=MAX_SECONDS, "seconds")?;
    let &GateFile { enabled, still_mean, still_most, dark, flat, blind_mean, .. } = gate;
    Ok(GateSpec { enabled, still_mean, still_most, refresh_s, dark, flat, blind_mean })
}

fn governor(governor: &GovernorFile) -> Result<GovernorSpec, Problem> {
    let spec = GovernorSpec {
        enabled: governor.enabled,
        hot_c: within("governor.hot_c", governor.hot_c, 20.0..=150.0, "degrees Celsius")?,
        cool_c: within("governor.cool_c", governor.cool_c, 0.0..=150.0, "degrees Celsius")?,
        behind: within("governor.behind", governor.behind, 0.1..=1.0, "a share")?,
        room: within("governor.room", governor.room, 0.05..=1.0, "a share")?,
        slowest: within("governor.slowest", governor.slowest, 1.0..=64.0, "a factor")?,
        every_s: within("governor.every_s", governor.every_s, 0.1..=3600.0, "seconds")?,
        calm_s: within("governor.calm_s", governor.calm_s, 0.0..=MAX_SECONDS, "seconds")?,
    };
    if spec.cool_c >= spec.hot_c {
        return wrong("governor.cool_c", format!("{}: it must be below hot_c, {}", spec.cool_c, spec.hot_c));
    }
    if spec.room >= spec.behind {
        return wrong("governor.room", format!("{}: it must be below behind, {}", spec.room, spec.behind));
    }
    Ok(spec)
}

fn output(output: &OutputFile) -> Result<OutputConfig, Problem> {
    let max_bytes = parse_size("max_size", &output.max_size)
        .or_else(|_| wrong("output.max_size", format!("`{}`: write a size, as 16M", output.max_size)))?;
    if max_bytes < 64 << 10 {
        return wrong("output.max_size", "give at least 64K, so that files hold some events");
    }
    if !(1..=1000).contains(&output.files) {
        return wrong("output.files", format!("{}: give a number of files from 1 to 1000", output.files));
    }
    match (output.kind, absolute("output.path", output.path.as_deref())?) {
        (OutputKind::Stdout, _) => Ok(OutputConfig::Stdout),
        (OutputKind::File, Some(path)) => {
            Ok(OutputConfig::File { path: path.to_owned(), max_bytes, files: output.files })
        }
        (OutputKind::File, None) => wrong("output.path", "say which file, as \"/var/log/bike-edge/events.jsonl\""),
    }
}

/// A service is started from anywhere, so its files are named from the root.
fn absolute<'a>(key: &str, path: Option<&'a Path>) -> Result<Option<&'a Path>, Problem> {
    match path {
        Some(path) if !path.is_absolute() => {
            wrong(key, format!("`{}`: give the whole path, from /", path.display().to_string().escape_debug()))
        }
        path => Ok(path),
    }
}
