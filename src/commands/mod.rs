//! Runs the commands, one module per command.

mod bench;
mod bundle;
mod calibrate;
mod camera;
mod check_config;
mod classify;
mod doctor;
mod eval;
mod eval_events;
mod man;
mod support;
mod watch;

use std::process::ExitCode;

use bike_edge::encoder::force_kernel;
use bike_edge::{Error, Result};

use crate::cli::{Cli, Command};
use crate::service;

/// The environment variable that selects the int8 kernel instead of the best one for this processor, for tests and
/// comparisons.
const KERNEL_VARIABLE: &str = "BIKE_EDGE_KERNEL";

/// Runs the given command.
///
/// # Errors
/// The error of the command.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let verbosity = cli.verbosity();
    if let Some(kernel) = std::env::var_os(KERNEL_VARIABLE) {
        let named = |problem| Error::Usage(format!("{KERNEL_VARIABLE}: {problem}"));
        force_kernel(&kernel.to_string_lossy()).map_err(named)?;
    }
    match cli.command {
        Command::Classify(args) => classify::run(&args, verbosity),
        Command::Watch(args) => watch::run(&args, verbosity),
        Command::Run(args) => service::run(&args.config),
        Command::CheckConfig { file } => check_config::run(&file),
        Command::Eval(args) => eval::run(&args, verbosity),
        Command::EvalEvents(args) => eval_events::run(&args, verbosity),
        Command::Calibrate(args) => calibrate::run(&args, verbosity),
        Command::Bench(args) => bench::run(&args, verbosity),
        Command::Bundle(command) => bundle::run(&command),
        Command::Camera(command) => camera::run(&command),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions { shell } => man::print_completions(shell),
        Command::Man { command } => man::print_page(&command.join("-")),
    }
}
