//! `check-config`: what a configuration means, or what is wrong with it.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::config::service::{Credentials, describe, read_config};
use crate::error::Result;
use crate::service;
use crate::output::output_error;

/// Reads a configuration as the service would, its bundle, categories and events included, and prints what was
/// understood in the order in which the service starts.
pub fn run(file: &Path) -> Result<ExitCode> {
    let config = read_config(file, &Credentials::of_anyone())?;
    service::rehearse(&config)?;
    let mut out = std::io::stdout().lock();
    for (name, text) in describe(&config) {
        writeln!(out, "{name:<13}{text}").map_err(output_error)?;
    }
    for camera in &config.cameras {
        if camera.address_from.is_none() && camera.address.has_secrets() {
            log::warn!(
                "camera {}: its password stands in the configuration; see url_file and url_credential",
                camera.name
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
