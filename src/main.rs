//! The program: parses the command line, sets up logging, runs the command, reports how it ended.

mod cli;
mod commands;
mod config;
mod logging;
mod service;
mod signals;

use std::process::ExitCode;

use bike_edge::Error;
use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.log_options());
    match commands::run(cli).map_err(cli::name_flag) {
        Ok(code) => code,
        // A reader such as `head` that has seen enough is not an error.
        Err(error @ Error::PipeClosed) => ExitCode::from(error.exit_code()),
        Err(error) => {
            log::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
