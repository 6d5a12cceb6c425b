//! What is done about a command, one a file.

mod bench;
mod bundle;
mod calibrate;
mod camera;
mod check_config;
mod classify;
mod clip_answer;
mod clip_frames;
mod completions;
mod doctor;
mod doctor_profile;
mod eval;
mod labelled;
mod pipeline;
mod quality;
mod watch;
mod whole_file;

use std::ffi::OsStr;
use std::process::ExitCode;

use crate::cli::Cli;
use crate::cli::args::Command;
use crate::encoder::force_kernel;
use crate::error::{Error, Result};
use crate::{service, source};

/// Names the integer kernel to use instead of the best one this processor has; for tests and comparisons.
const KERNEL_VARIABLE: &str = "BIKE_EDGE_KERNEL";

/// Runs the command that was typed.
///
/// # Errors
/// Whatever the command could not do; one sentence for a person.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let voice = Voice { quiet: cli.quiet };
    if let Some(kernel) = std::env::var_os(KERNEL_VARIABLE) {
        let named = |problem| Error::Usage(format!("{KERNEL_VARIABLE}: {problem}"));
        force_kernel(&kernel.to_string_lossy()).map_err(named)?;
    }
    match cli.command {
        Command::Classify(args) => classify::run(&args, voice),
        Command::Watch(args) => watch::run(&args),
        Command::Run(args) => service::run(&args.config),
        Command::CheckConfig { file } => check_config::run(&file),
        Command::Eval(args) => eval::run(&args, voice),
        Command::Quality(args) => quality::run(&args, voice),
        Command::Calibrate(args) => calibrate::run(&args, voice),
        Command::Bench(args) => bench::run(&args, voice),
        Command::Bundle(command) => bundle::run(&command),
        Command::Camera(command) => camera::run(&command),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions { shell } => completions::print(shell),
        Command::Man { command } => completions::print_man(command.as_deref()),
    }
}

/// Whether progress may be shown.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// Nothing on stderr but errors.
    pub quiet: bool,
}

/// An input as it is shown: without credentials.
fn shown(input: &OsStr) -> String {
    source::redact(&input.to_string_lossy())
}
