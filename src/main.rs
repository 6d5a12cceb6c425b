//! The order of things: what was typed, how loud to be, what to do about it, how it ended.

use std::process::ExitCode;

use bike_edge::cli::Cli;
use bike_edge::{Error, commands, logging};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli);
    match commands::run(cli) {
        Ok(code) => code,
        Err(error @ Error::PipeClosed) => error.exit_code(),
        Err(error) => {
            log::error!("{error}");
            error.exit_code()
        }
    }
}
