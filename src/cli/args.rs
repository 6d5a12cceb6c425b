//! The commands and their arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use bike_edge::evaluation::RankBy;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::flag_groups::{
    CAMERA, CAMERA_PICTURE, EVENTS, FOLLOW, FlagGroup, GATE, MODEL, PICTURE, SAMPLING, SMOOTHED_LEVELS, STRIDE,
};
use super::flags::{FlagSet, Overrides};

/// The service's configuration file, unless another one is given.
pub const CONFIG_PATH: &str = "/etc/bike-edge/bike-edge.toml";

/// The forms of a list of labelled clips, for the end of help texts.
const LISTS: &str = "\
LIST is one of:
  a CSV file with the columns path,label; label is the name or number of a category, several of
  them separated by `;` (any is correct), or empty or `-` for a clip that shows none of them
  lines `path frames label` or `path label`, as in BIKE's lists
  a folder that contains such a list named clips.csv, or one folder of clips per category";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Recognise the action in recorded clips
    Classify(ClassifyArgs),
    /// Report events in a clip, a stream or a camera, as JSON Lines
    Watch(Box<WatchArgs>),
    /// Run as a service: report the events of many cameras
    Run(RunArgs),
    /// Check a configuration file of the service and print every effective setting
    CheckConfig {
        /// The configuration file
        #[arg(value_name = "FILE", default_value = CONFIG_PATH, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Measure top-1 and top-5 accuracy over a list of labelled clips
    Eval(EvalArgs),
    /// Measure precision and recall of events, on streams concatenated from labelled clips
    EvalEvents(EvalEventsArgs),
    /// Find event thresholds from a list of labelled clips
    Calibrate(CalibrateArgs),
    /// Measure the speed of each stage on this machine
    Bench(BenchArgs),
    /// Inspect, verify, pack and unpack bundles
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// List and test cameras, or take a picture
    #[command(subcommand)]
    Camera(CameraCommand),
    /// Show the CPU, memory, ffmpeg, cameras and GPU of this machine
    Doctor(DoctorArgs),
    /// Print shell completions
    #[command(
        after_help = "Example:\n  bike-edge completions bash | sudo tee /usr/share/bash-completion/completions/bike-edge"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page of the program or of a command
    #[command(after_help = "Example:\n  bike-edge man classify | man -l -")]
    Man {
        /// A command, such as `watch` or `camera list`
        #[arg(value_name = "COMMAND", num_args = 0..=2)]
        command: Vec<String>,
    },
}

/// Shells with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Declares the flag groups of a command.
macro_rules! flag_set {
    ($name:ident: $($group:expr),+) => {
        #[derive(Clone, Debug)]
        pub struct $name;

        impl FlagSet for $name {
            const GROUPS: &'static [&'static FlagGroup] = &[$(&$group),+];
        }
    };
}

flag_set!(ClipFlags: SAMPLING, MODEL, PICTURE);
flag_set!(WatchFlags: STRIDE, EVENTS, GATE, CAMERA, MODEL, PICTURE, FOLLOW);
flag_set!(EventFlags: STRIDE, EVENTS, MODEL, PICTURE, FOLLOW);
flag_set!(CalibrateFlags: STRIDE, SMOOTHED_LEVELS, MODEL, PICTURE, FOLLOW);
flag_set!(BenchFlags: MODEL, PICTURE);
flag_set!(CameraFlags: CAMERA, CAMERA_PICTURE);
flag_set!(SnapshotFlags: CAMERA, CAMERA_PICTURE, FOLLOW);

/// `classify`
#[derive(Args, Debug)]
pub struct ClassifyArgs {
    /// Clips: video files, stills, folders of stills, or `-` for a pipe. `doctor` lists the formats that are decoded
    /// directly; others need an installed ffmpeg. Use `watch` for URLs
    #[arg(required = true, value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub inputs: Vec<OsString>,

    /// Number of categories to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub top: usize,

    /// Print one JSON line per input instead of a table
    #[arg(long)]
    pub json: bool,

    /// With --json: also print all cosines, frame numbers and frame embeddings
    #[arg(long, requires = "json")]
    pub raw: bool,

    /// Flags that override settings.
    #[command(flatten)]
    pub settings: Overrides<ClipFlags>,
}

/// `watch`
#[derive(Args, Debug)]
#[command(after_help = "Each event is reported as new, update and end lines with one id; see docs/events.md.
Ctrl-C and SIGTERM end the open events, report them, and exit with code 130 or 143; a second signal exits at once.
Examples:
  bike-edge watch clip.mp4 --on 0.5 --min-length 3
  bike-edge watch clip.mp4 --categories 'cooking,a kitchen' --background 'a kitchen'
  bike-edge watch clip.mp4 --thresholds thresholds.toml     use the output of `bike-edge calibrate`
  bike-edge watch clip.mp4 --steps                          the scores of the window at every step
  ffmpeg -i rtsp://camera/1 -pix_fmt yuv420p -f yuv4mpegpipe - | bike-edge watch - --camera hall --stats")]
pub struct WatchArgs {
    /// A clip, a camera (`/dev/video0`, `camera:ID`), a URL for ffmpeg, or `-` for a pipe (y4m, motion JPEG, or what ffmpeg reads)
    #[arg(value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub input: OsString,

    /// Read a pipe or URL like a camera: always use the newest frame, drop late ones, and reconnect to a URL whose
    /// connection is lost
    #[arg(long)]
    pub live: bool,

    /// The camera's name in events and in their ids
    #[arg(long, value_name = "NAME", default_value = "camera")]
    pub camera: String,

    /// Print one line per sampled frame with the scores of the window, instead of events
    #[arg(long)]
    pub steps: bool,

    /// Number of categories per line of --steps
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub top: usize,

    /// Print performance statistics on stderr at the end, and every SECONDS if given: latency, encoding, CPU, skipped
    /// and dropped frames, as one JSON object per line
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub stats: Option<f64>,

    /// Record which frames were sampled in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "replay_trace")]
    pub record_trace: Option<PathBuf>,

    /// Sample the frames of a trace that --record-trace wrote, with its times
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "stride")]
    pub replay_trace: Option<PathBuf>,

    /// Event settings from a TOML file, such as the output of `calibrate`; flags override it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub thresholds: Option<PathBuf>,

    /// Flags that override settings.
    #[command(flatten)]
    pub settings: Overrides<WatchFlags>,
}

/// `run`
#[derive(Args, Debug)]
#[command(after_help = "Signals: SIGTERM and SIGINT end the open events and stop; SIGHUP reloads the configuration.
Example:
  bike-edge check-config bike-edge.toml && bike-edge run --config bike-edge.toml")]
pub struct RunArgs {
    /// The configuration file; docs/configuration.md and the example explain every key
    #[arg(long, value_name = "FILE", default_value = CONFIG_PATH, value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
}

/// A list of labelled clips.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The list of labelled clips, see below
    #[arg(value_name = "LIST", value_hint = ValueHint::AnyPath)]
    pub list: PathBuf,

    /// Folder that the paths in the list are relative to [default: the list's own folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
}

/// `eval`
#[derive(Args, Debug)]
#[command(after_help = LISTS)]
pub struct EvalArgs {
    /// The clips.
    #[command(flatten)]
    pub clips: ListArgs,

    /// Write the figures and every answer to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,

    /// The score that ranks categories: the `reference` score of BIKE's test script, or the `confidence` that classify
    /// shows
    #[arg(long, value_name = "WHICH", default_value = "reference",
          value_parser = PossibleValuesParser::new(["reference", "confidence"]).map(|which| match which.as_str() {
              "confidence" => RankBy::Confidence,
              _ => RankBy::Reference,
          }))]
    pub rank_by: RankBy,

    /// Flags that override settings.
    #[command(flatten)]
    pub settings: Overrides<ClipFlags>,
}

/// `eval-events`
#[derive(Args, Debug)]
#[command(after_help = LISTS)]
pub struct EvalEventsArgs {
    /// The clips.
    #[command(flatten)]
    pub clips: ListArgs,

    /// Number of streams, each with all clips in a different order
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: u64,

    /// Seed of the random orders
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Seconds after which a clip is truncated
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, allow_negative_numbers = true)]
    pub max_clip: f64,

    /// Seconds for which the last picture of a clip is held, to measure what the gate saves there
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, allow_negative_numbers = true)]
    pub hold: f64,

    /// Camera noise on a held picture: the largest change of a pixel's brightness, in levels
    #[arg(long, value_name = "LEVELS", default_value_t = 1)]
    pub noise: u8,

    /// Exit with code 1 if the precision is lower
    #[arg(long, value_name = "X")]
    pub min_precision: Option<f64>,

    /// Exit with code 1 if the recall is lower
    #[arg(long, value_name = "X")]
    pub min_recall: Option<f64>,

    /// Write the figures to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,

    /// Event settings from a TOML file, such as the output of `calibrate`; flags override it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub thresholds: Option<PathBuf>,

    /// Flags that override settings.
    #[command(flatten)]
    pub settings: Overrides<EventFlags>,
}

/// `calibrate`
#[derive(Args, Debug)]
#[command(after_help = LISTS)]
pub struct CalibrateArgs {
    /// The clips.
    #[command(flatten)]
    pub clips: ListArgs,

    /// The file to write, for `watch --thresholds` and the key `thresholds` of a configuration
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,

    /// Minimum number of clips that must show a category before it gets its own threshold
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub min_positives: usize,

    /// Seconds after which a clip is truncated
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, allow_negative_numbers = true)]
    pub max_clip: f64,

    /// Flags that override settings.
    #[command(flatten)]
    pub settings: Overrides<CalibrateFlags>,
}

/// `bench`
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Clip to decode [default: a small one inside this program]
    #[arg(value_name = "INPUT", value_hint = ValueHint::FilePath)]
    pub input: Option<OsString>,

    /// Runs of each stage
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub runs: usize,

    /// Print JSON on one line instead of a table
    #[arg(long)]
    pub json: bool,

    /// Flags that override settings.
    #[command(flatten)]
    pub settings: Overrides<BenchFlags>,
}

/// `doctor`
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Check this machine against a board's profile: auto, rpi4, rpi5, rk3588, jetson-orin or generic
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub profile: String,

    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// `bundle`
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Show what a bundle contains and supports
    Inspect {
        /// Folder, packed file, or `embedded`
        #[arg(default_value = "embedded", value_hint = ValueHint::AnyPath)]
        bundle: OsString,
        /// List the lexicon phrases that contain this text; an empty text lists all
        #[arg(long, value_name = "PATTERN", conflicts_with_all = ["json", "categories"])]
        lexicon: Option<String>,
        /// List the categories
        #[arg(long, conflicts_with = "json")]
        categories: bool,
        /// Print the manifest as JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a bundle: hashes, shapes, numbers, graphs
    Verify {
        /// Folder, packed file, or `embedded`
        #[arg(default_value = "embedded", value_hint = ValueHint::AnyPath)]
        bundle: OsString,
    },
    /// Pack a folder into one file
    Pack {
        /// The folder
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The file to write
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Unpack a file, or `embedded`, into a folder
    Unpack {
        /// Packed file, or `embedded`
        #[arg(value_hint = ValueHint::FilePath)]
        file: OsString,
        /// The folder to create
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

/// `camera`
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  bike-edge camera list
  bike-edge camera test /dev/video0 --seconds 30
  bike-edge camera snapshot camera:046d_C920 hall.png --mask 0,0,200,120

CAMERA is a device file (/dev/video0), camera:ID with an id that `camera list` shows, or a part of it that matches only one
camera, a URL for ffmpeg (rtsp://...), or `-` for a pipe (y4m, motion JPEG, or what ffmpeg reads).")]
pub enum CameraCommand {
    /// List the cameras and their modes
    List {
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Write one picture to a file, as `watch` would analyse it, with masks in black
    Snapshot {
        /// The camera
        #[arg(value_name = "CAMERA", value_hint = ValueHint::AnyPath)]
        camera: OsString,
        /// The file, .png or .jpg
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
        /// Seconds to wait, so that the camera can adjust its exposure
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0, allow_negative_numbers = true)]
        after: f64,
        /// Flags that override settings. With --follow, the regions are drawn.
        #[command(flatten)]
        settings: Overrides<SnapshotFlags>,
    },
    /// Read frames for a while and count those that were captured, dropped or damaged
    Test {
        /// The camera
        #[arg(value_name = "CAMERA", value_hint = ValueHint::AnyPath)]
        camera: OsString,
        /// How long to read
        #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
        seconds: f64,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
        /// Flags that override settings.
        #[command(flatten)]
        settings: Overrides<CameraFlags>,
    },
}
