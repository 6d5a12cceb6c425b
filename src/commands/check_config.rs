//! `check-config`: checks a configuration file and prints every effective setting.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use bike_edge::output::output_error;
use bike_edge::{Error, Result};

use crate::config::{Credentials, effective_settings, read_service_settings};
use crate::service;

/// Checks a configuration as the service does, with its bundle, categories and events, and prints the settings with the
/// origin of each value.
pub fn run(file: &Path) -> Result<ExitCode> {
    if !file.exists() {
        let problem = "there is no such file; name one: bike-edge check-config FILE";
        return Err(Error::input(file.display().to_string(), problem));
    }
    let settings = read_service_settings(file, &Credentials::for_check())?;
    let engine = service::dry_run(&settings)?;
    let lines = effective_settings(&settings, &engine)?;
    let texts: Vec<_> = lines
        .iter()
        .map(|line| match &line.value {
            Ok(value) => format!("{} = {value}", line.key),
            Err(note) => format!("# {} {note}", line.key),
        })
        .collect();
    let width = texts.iter().map(|text| text.chars().count()).filter(|width| *width <= 60).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for (text, line) in texts.iter().zip(&lines) {
        writeln!(out, "{text:<width$}  # {}", line.origin).map_err(output_error)?;
    }
    for camera in &settings.cameras {
        if camera.address_from.is_none() && camera.address.has_secrets() {
            log::warn!("camera {}: its password is in the configuration; use url_file or url_credential", camera.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}
