//! `run`, and where its configuration is.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Where the service's configuration is, if nowhere else is said.
pub const CONFIG_PATH: &str = "/etc/bike-edge/bike-edge.toml";

/// `run`
#[derive(Args, Debug)]
#[command(after_help = "Signals: SIGTERM and SIGINT end what goes on and stop, SIGHUP reads the configuration again.
Example:
  bike-edge check-config bike-edge.toml && bike-edge run --config bike-edge.toml")]
pub struct RunArgs {
    /// The configuration; docs/service.md and the example explain every key.
    #[arg(long, value_name = "FILE", default_value = CONFIG_PATH, value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
}
