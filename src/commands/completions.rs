//! `completions` and `man`: what build.rs made of the command line.

use std::io::Write;
use std::process::ExitCode;

use crate::cli::args::Shell;
use crate::error::{Error, Result};
use crate::output::output_error;

include!(concat!(env!("OUT_DIR"), "/man_pages.rs"));

/// Prints the completions of a shell.
pub fn print(shell: Shell) -> Result<ExitCode> {
    write(match shell {
        Shell::Bash => include_str!(concat!(env!("OUT_DIR"), "/bike-edge.bash")),
        Shell::Zsh => include_str!(concat!(env!("OUT_DIR"), "/_bike-edge")),
        Shell::Fish => include_str!(concat!(env!("OUT_DIR"), "/bike-edge.fish")),
    })
}

/// Prints the man page of the program or of one of its commands.
pub fn print_man(command: Option<&str>) -> Result<ExitCode> {
    let name = command.map_or("bike-edge".to_owned(), |command| format!("bike-edge-{command}"));
    let page = MAN_PAGES.iter().find(|(page, _)| *page == name).ok_or_else(|| {
        let known: Vec<_> = MAN_PAGES.iter().filter_map(|(page, _)| page.strip_prefix("bike-edge-")).collect();
        Error::Usage(format!("man {}: no such command; there are {}", command.unwrap_or(""), known.join(", ")))
    })?;
    write(page.1)
}

fn write(text: &str) -> Result<ExitCode> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(output_error)?;
    Ok(ExitCode::SUCCESS)
}
