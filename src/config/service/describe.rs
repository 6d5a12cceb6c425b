//! What was understood of a configuration, in the order in which the service starts.

use super::camera::CameraConfig;
use super::settings::{OutputConfig, ServiceConfig};
use crate::source::Rotation;

/// Lines for people; no secret is in them.
pub fn describe(config: &ServiceConfig) -> Vec<(String, String)> {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |name: &str, text: String| lines.push((name.to_owned(), text));
    line("config", config.file.clone());
    line("profile", config.profile.clone());
    line("log", format!("{:?}", config.log).to_lowercase());
    line(
        "state",
        config.state.as_ref().map_or("$STATE_DIRECTORY/state.json".into(), |path| path.display().to_string()),
    );
    let model = &config.model;
    line("bundle", model.bundle.to_string_lossy().into_owned());
    let bundles = |value: Option<String>| value.unwrap_or_else(|| "the bundle's".into());
    line(
        "categories",
        bundles(model.categories.as_ref().map(|c| c.to_string_lossy().trim_end_matches(',').to_owned())),
    );
    line("threads", model.threads.map_or("this machine's cores, at most 4".into(), |n| n.to_string()));
    line("window", bundles(model.window.map(|n| format!("{n} frames"))));
    line("stride", bundles(config.stride_s.map(|s| format!("{s} s"))));
    line(
        "lambda, tau",
        format!("{}, {}", bundles(model.lambda.map(|x| x.to_string())), bundles(model.tau.map(|x| x.to_string()))),
    );
    for camera in &config.cameras {
        line("camera", described(camera));
    }
    let gate = &config.gate;
    line(
        "gate",
        if gate.enabled { format!("still pictures are encoded every {} s", gate.refresh_s) } else { "off".into() },
    );
    line("governor", governed(config));
    line("events", format!("{} categories with settings of their own", config.events.category.len()));
    line(
        "output",
        match &config.output {
            OutputConfig::Stdout => "stdout".into(),
            OutputConfig::File { path, max_bytes, files } => {
                format!("{}, {files} files of {max_bytes} bytes at most", path.display())
            }
        },
    );
    line(
        "metrics",
        match &config.metrics {
            None => "none".into(),
            Some(metrics) => format!("{} every {} s", metrics.path.display(), metrics.every_s),
        },
    );
    lines
}

fn described(camera: &CameraConfig) -> String {
    let CameraConfig { name, address, wish, roi, view, fit, .. } = camera;
    let mut text = format!("{name}: {address}");
    if let Some(file) = &camera.address_from {
        text += &format!(" (from {})", file.display());
    }
    if let Some((w, h)) = wish.size {
        text += &format!(", {w}x{h}");
    }
    if let Some(fps) = wish.fps {
        text += &format!(", {fps} frames a second");
    }
    if view.rotate != Rotation::None {
        text += &format!(", turned by {}°", 90 * view.rotate as u32);
    }
    if !view.masks.is_empty() {
        text += &format!(", {} masked", view.masks.len());
    }
    if let Some(roi) = roi {
        text += &format!(", only {roi}");
    }
    text + &format!(", {fit}")
}

fn governed(config: &ServiceConfig) -> String {
    let spec = &config.governor;
    if !spec.enabled {
        return "off".into();
    }
    format!(
        "fewer frames at {} °C or {:.0} % of the time used, down to 1 in {}; more below {} °C",
        spec.hot_c,
        spec.behind * 100.0,
        spec.slowest,
        spec.cool_c
    )
}
