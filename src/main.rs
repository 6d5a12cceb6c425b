//! The program: parses the command line, sets up logging, runs the command and reports the outcome.

mod cli;
mod commands;
mod config;
mod logging;
mod service;
mod signals;

use std::process::ExitCode;

use bike_edge::Error;
use bike_edge::io::redact;
use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_arguments(&error),
    };
    logging::start(&cli.log_options());
    // Errors name the flag of a setting, or its key for commands that read a configuration.
    let name_setting = if cli.reads_configuration() { |error| error } else { cli::name_flag };
    let code = match commands::run(cli).map_err(name_setting) {
        Ok(code) => code,
        // A reader such as `head` that closes the pipe is not an error.
        Err(error @ Error::PipeClosed) => ExitCode::from(error.exit_code()),
        Err(error) => {
            log::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    };
    logging::flush();
    code
}

/// Prints help, or an error of the command line without the passwords of addresses in it.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    if !error.use_stderr() || !text.contains("://") {
        error.exit();
    }
    eprint!("{}", redact(&text));
    // Exit codes of clap are 0 and 2.
    ExitCode::from(error.exit_code() as u8)
}
