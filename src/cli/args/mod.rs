//! The command line, one command a file; beside them what several commands share. `build.rs` reads these files too, for
//! completions and man pages, so they know only clap and std.

mod bench;
mod bundle;
mod calibrate;
mod camera;
mod capture;
mod classify;
mod completions;
mod doctor;
mod eval;
mod events;
mod lists;
mod model;
mod picture;
mod quality;
mod run;
mod sampling;
mod watch;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};

pub use bench::BenchArgs;
pub use bundle::BundleCommand;
pub use calibrate::CalibrateArgs;
pub use camera::CameraCommand;
pub use capture::CameraArgs;
pub use classify::ClassifyArgs;
pub use completions::Shell;
pub use doctor::DoctorArgs;
pub use eval::{EvalArgs, RankBy};
pub use events::EventArgs;
pub use model::{AttributesArg, DeviceArg, ModelArgs};
pub use picture::{FitArg, MatrixArg, PictureArgs, RotateArg};
pub use quality::QualityArgs;
pub use run::{CONFIG_PATH, RunArgs};
pub use sampling::SamplingArgs;
pub use watch::WatchArgs;

const EXAMPLES: &str = "\
Examples:
  bike-edge classify clip.mp4                          what does this clip show, when, and why
  bike-edge classify *.mp4 --json > answers.jsonl      one JSON object a clip
  bike-edge classify clip.mp4 --categories 'riding a bicycle,driving a car'
  bike-edge watch clip.mp4                             what goes on in it, from when to when
  ffmpeg -i rtsp://camera/1 -pix_fmt yuv420p -f yuv4mpegpipe - | bike-edge watch -
  bike-edge run --config bike-edge.toml                cameras to events, as a service
  bike-edge bundle inspect embedded --lexicon bicycle  which phrases can be used as categories
  bike-edge doctor                                     what this machine has

Exit codes: 0 done, 1 done but something failed (some of several inputs),
2 usage, 3 an input cannot be read, 4 a bundle cannot be used or fails a check,
5 output cannot be written, 70 a fault of ours.";

/// Recognise actions in clips and streams: which action, when, and why.
#[derive(Debug, Parser)]
#[command(name = "bike-edge", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Say more on stderr (-v what is done, -vv details).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Say nothing on stderr but errors; no progress.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Colours on the terminal.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = false)]
    pub color: ColorWhen,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal that shows them.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say which action recorded clips show.
    Classify(ClassifyArgs),
    /// Say what goes on in a clip or stream, as events in JSON Lines.
    Watch(WatchArgs),
    /// Run as a service: cameras to events, as a configuration says.
    Run(RunArgs),
    /// Check a configuration of the service, and say what was understood.
    CheckConfig {
        /// The file.
        #[arg(value_name = "FILE", default_value = CONFIG_PATH, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Measure top-1 and top-5 over a list of labelled clips.
    Eval(EvalArgs),
    /// Measure how well events fit, on streams glued from a list of labelled clips.
    Quality(QualityArgs),
    /// Set the thresholds of events from a list of labelled clips.
    Calibrate(CalibrateArgs),
    /// Measure the speed of each stage on this machine.
    Bench(BenchArgs),
    /// Look into, check, pack and unpack bundles.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// List cameras, test them, take a picture.
    #[command(subcommand)]
    Camera(CameraCommand),
    /// Say what this machine has: CPU, memory, ffmpeg, cameras, GPU.
    Doctor(DoctorArgs),
    /// Print shell completions.
    #[command(
        after_help = "Example:\n  bike-edge completions bash | sudo tee /usr/share/bash-completion/completions/bike-edge"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the man page, of a command where one is named.
    #[command(after_help = "Example:\n  bike-edge man classify | man -l -")]
    Man {
        /// A command, as in `bike-edge man watch`.
        command: Option<String>,
    },
}
