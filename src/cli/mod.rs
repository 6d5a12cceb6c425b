//! The command line: its arguments, and the names of flags in errors.

mod args;
mod flag_groups;
mod flags;

use bike_edge::Error;
use clap::{Parser, ValueEnum};
use log::LevelFilter;

use crate::logging::LogOptions;

pub use args::{
    BenchArgs, BundleCommand, CalibrateArgs, CameraCommand, ClassifyArgs, Command, DoctorArgs, EvalArgs,
    EvalEventsArgs, Shell, WatchArgs,
};
pub use flags::{FlagSet, Overrides};

const EXAMPLES: &str = "\
Examples:
  bike-edge classify clip.mp4                          the action in this clip, when, and why
  bike-edge classify *.mp4 --json > answers.jsonl      one JSON line per clip
  bike-edge classify clip.mp4 --categories 'riding a bicycle,driving a car'
  bike-edge watch clip.mp4                             events in the clip, with start and end
  ffmpeg -i rtsp://camera/1 -pix_fmt yuv420p -f yuv4mpegpipe - | bike-edge watch -
  bike-edge run --config bike-edge.toml                report events of many cameras, as a service
  bike-edge bundle inspect embedded --lexicon bicycle  phrases that can be used as categories
  bike-edge doctor                                     CPU, cameras and programs of this machine

Exit codes: 0 success, 1 finished with failures (such as some of several inputs), 2 wrong usage,
3 an input cannot be read, 4 a bundle cannot be used or fails a check, 5 output cannot be written,
70 internal error (please report it).";

/// Recognise actions in clips and streams: which action, when, and why.
#[derive(Debug, Parser)]
#[command(name = "bike-edge", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,

    /// Print more on stderr (-v for information, -vv for details)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Print only errors on stderr, and no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = false)]
    pub color: ColorWhen,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal that supports them
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How much is printed on stderr in addition to log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// No progress.
    Quiet,
    /// Progress of long work.
    Normal,
}

impl Cli {
    /// How log lines are printed.
    pub fn log_options(&self) -> LogOptions {
        let given = match (self.quiet, self.verbose) {
            (true, _) => Some(LevelFilter::Error),
            (false, 0) => None,
            (false, 1) => Some(LevelFilter::Info),
            (false, _) => Some(LevelFilter::Debug),
        };
        LogOptions {
            given,
            // The service logs what it does until its configuration sets the level.
            default: if matches!(self.command, Command::Run(_)) { LevelFilter::Info } else { LevelFilter::Warn },
            runtime: self.verbose > 1,
            colors: match self.color {
                ColorWhen::Auto => anstream::ColorChoice::Auto,
                ColorWhen::Always => anstream::ColorChoice::Always,
                ColorWhen::Never => anstream::ColorChoice::Never,
            },
        }
    }

    /// Returns whether the settings come from a configuration file instead of flags.
    pub fn reads_configuration(&self) -> bool {
        matches!(self.command, Command::Run(_) | Command::CheckConfig { .. })
    }

    /// How much is printed on stderr.
    pub fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

/// Replaces the name of a setting by its flag, if it has one: `tau: ...` becomes `--tau: ...`.
pub fn name_flag(error: Error) -> Error {
    match error {
        Error::Setting { setting, problem, remedy } => {
            let setting = flags::flag_of(&setting).unwrap_or(setting);
            let (problem, remedy) = (flags::name_flags(&problem), flags::name_flags(&remedy));
            Error::Setting { setting, problem, remedy }
        }
        // A remedy may name a setting other than the cause, such as `timeout_s` for a silent pipe.
        Error::Input { input, problem } => Error::Input { input, problem: flags::name_flags(&problem) },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn errors_name_the_flag() {
        let named = |setting: &str| name_flag(Error::setting(setting, "0 is out of range", "give more")).to_string();
        assert_eq!(named("model.tau"), "--tau: 0 is out of range; give more");
        assert_eq!(named("masks"), "--mask: 0 is out of range; give more");
        assert_eq!(named("health.state"), "health.state: 0 is out of range; give more");
    }
}
