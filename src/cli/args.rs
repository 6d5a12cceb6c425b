//! The command line. `build.rs` reads this file too, for completions and man pages, so it knows only clap and std.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

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

/// Shells with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The model, and what it answers with.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Bundle folder or packed file; `embedded` is the one inside this binary.
    #[arg(long, value_name = "BUNDLE", default_value = "embedded", value_hint = ValueHint::AnyPath)]
    pub bundle: OsString,

    /// Categories to choose from, instead of the bundle's: names separated by commas, or a file with one name a
    /// line or a CSV with the columns id,name. Any phrase of the bundle's lexicon can be one; any text at all where the
    /// bundle has a text tower (`bundle inspect` says so).
    #[arg(long, value_name = "FILE|A,B,C")]
    pub categories: Option<OsString>,

    /// Frames in a window (T); a bundle with a temporal header may allow one value alone. [default: the bundle's]
    #[arg(long, value_name = "T")]
    pub window: Option<usize>,

    /// Weight of the video branch against the attribute branch, 0..1; 1 leaves attributes out. [default: the bundle's]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lambda: Option<f32>,

    /// What makes the sentence of a window's attributes: the text `tower` of the bundle (exact; runs for every new set
    /// of phrases), its `composer` or the `mean` of the phrases (fast stand-ins), or what the bundle says.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub attributes: AttributesArg,

    /// Temperature of concept spotting; smaller trusts fewer frames. [default: the bundle's]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub tau: Option<f32>,

    /// CPU threads for the model. [default: this machine's cores, at most 4]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// What encodes frames: `auto` takes a GPU where this build can use one and it works, else the CPU. Builds are for
    /// the CPU unless made otherwise (docs/devices.md).
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
}

/// What encodes frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum DeviceArg {
    #[default]
    Auto,
    Cpu,
    Cuda,
    Metal,
}

/// What makes the sentence of a window's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum AttributesArg {
    #[default]
    Auto,
    Tower,
    Composer,
    Mean,
}

/// How clips are read.
#[derive(Args, Debug)]
#[command(next_help_heading = "Picture")]
pub struct PictureArgs {
    /// Look at this part of the picture alone, in pixels of the upright picture.
    #[arg(long, value_name = "X,Y,W,H", allow_hyphen_values = true)]
    pub roi: Option<String>,

    /// Black out this part before anything else sees the picture, in pixels of the upright picture; may be given again.
    #[arg(long, value_name = "X,Y,W,H", allow_hyphen_values = true)]
    pub mask: Vec<String>,

    /// Turn the picture clockwise by so many degrees.
    #[arg(long, value_name = "DEGREES", default_value = "0")]
    pub rotate: RotateArg,

    /// How a picture becomes square: `crop` the centre as BIKE does, `pad` it whole, or `stretch` it.
    #[arg(long, value_name = "HOW", default_value = "crop")]
    pub fit: FitArg,

    /// Largest temporary file for a clip that comes through a pipe, as 512M or 2G.
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub spool_limit: String,

    /// Matrix from YUV to RGB where the file does not say, or says it wrongly; y4m never says. [default: as tagged,
    /// else bt601]
    #[arg(long, value_name = "MATRIX")]
    pub matrix: Option<MatrixArg>,

    /// Seconds without a byte or frame after which a pipe, a stream or ffmpeg is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0, allow_negative_numbers = true)]
    pub io_timeout: f64,
}

/// Matrix from YUV to RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum MatrixArg {
    Bt601,
    Bt709,
    Bt2020,
}

/// Clockwise turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum RotateArg {
    #[default]
    #[value(name = "0")]
    None,
    #[value(name = "90")]
    Quarter,
    #[value(name = "180")]
    Half,
    #[value(name = "270")]
    ThreeQuarters,
}

/// What is wished for of a camera.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Camera")]
pub struct CameraArgs {
    /// Pixel format: mjpeg, yuyv, nv12, yu12, rgb3 or bgr3. [default: what costs least]
    #[arg(long, value_name = "FORMAT")]
    pub camera_format: Option<String>,

    /// Picture size. [default: the smallest of at least 480 lines]
    #[arg(long, value_name = "WxH")]
    pub camera_size: Option<String>,

    /// Frames a second. [default: the lowest rate from 15 on]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub camera_fps: Option<f64>,
}

/// How a picture becomes square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum FitArg {
    Crop,
    Pad,
    Stretch,
}

/// `classify`
#[derive(Args, Debug)]
pub struct ClassifyArgs {
    /// Clips: MP4/MOV (H.264), GIF, a folder of stills, a still, y4m, `-` for a pipe; any other file through an
    /// installed ffmpeg. Addresses are for `watch`.
    #[arg(required = true, value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub inputs: Vec<OsString>,

    /// Answers to show.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub top: usize,

    /// One JSON object a line and input, instead of a table.
    #[arg(long)]
    pub json: bool,

    /// With --json: also all cosines, frame indices and frame embeddings.
    #[arg(long, requires = "json")]
    pub raw: bool,

    /// How frames are sampled.
    #[command(flatten)]
    pub sampling: SamplingArgs,

    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// The picture.
    #[command(flatten)]
    pub picture: PictureArgs,
}

/// How frames are sampled from a clip.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Temporal views: the clip is sampled this many times, scores are averaged.
    #[arg(long, value_name = "V", default_value_t = 1)]
    pub views: usize,

    /// Crops a view: 1 (centre) or 3 (left, right, centre).
    #[arg(long, value_name = "1|3", default_value_t = 1)]
    pub crops: usize,

    /// Sample densely, T frames out of 128, instead of over the whole clip.
    #[arg(long)]
    pub dense: bool,
}

/// `watch`
#[derive(Args, Debug)]
#[command(after_help = "Events: docs/events.md; each is told as new, update and end, with one id.
Examples:
  bike-edge watch clip.mp4 --on 0.5 --min-length 3
  bike-edge watch clip.mp4 --categories 'cooking,a kitchen' --background 'a kitchen'
  bike-edge watch clip.mp4 --thresholds thresholds.toml     as `bike-edge calibrate` writes them
  bike-edge watch clip.mp4 --steps                          what the window shows at every step
  ffmpeg -i rtsp://camera/1 -pix_fmt yuv420p -f yuv4mpegpipe - | bike-edge watch - --camera hall --stats")]
pub struct WatchArgs {
    /// A clip, a camera (`/dev/video0`, `camera:ID`), a URL for ffmpeg, or `-` for y4m through a pipe.
    #[arg(value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub input: OsString,

    /// Read a pipe or URL as a camera is read: the newest frame counts, late ones are dropped, a URL that breaks off is
    /// opened again.
    #[arg(long)]
    pub live: bool,

    /// Seconds between sampled frames. [default: the bundle's, else 10 / T]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stride: Option<f64>,

    /// The camera's name in events, a part of their ids.
    #[arg(long, value_name = "NAME", default_value = "camera")]
    pub camera: String,

    /// Instead of events, a line for every sampled frame: what the window shows.
    #[arg(long)]
    pub steps: bool,

    /// Answers in a line of --steps.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub top: usize,

    /// Encode every frame, also where the picture has not changed, is dark or of one colour.
    #[arg(long)]
    pub no_gate: bool,

    /// Say on stderr at the end, and every so many seconds if given, what it cost: latency, encoding, CPU, skipped
    /// and dropped frames; one JSON object a line.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub stats: Option<f64>,

    /// Write which frames were sampled to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "sample_at")]
    pub record_trace: Option<PathBuf>,

    /// Sample the frames of a trace that --record-trace wrote, with its times.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "stride")]
    pub sample_at: Option<PathBuf>,

    /// When a category becomes an event.
    #[command(flatten)]
    pub events: EventArgs,

    /// The camera's mode.
    #[command(flatten)]
    pub mode: CameraArgs,

    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// The picture.
    #[command(flatten)]
    pub picture: PictureArgs,
}

/// When a category becomes an event.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Events")]
pub struct EventArgs {
    /// Settings of events from a TOML file, also for single categories; flags stand over it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub thresholds: Option<PathBuf>,

    /// Smoothed confidence at which an event begins, 0..1. [default: 0.25]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub on: Option<f32>,

    /// Smoothed confidence below which it ends. [default: 0.7 of --on]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub off: Option<f32>,

    /// Time constant with which confidences are smoothed. [default: 1]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub smoothing: Option<f64>,

    /// How long an event must go on before it is told. [default: 2]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub min_length: Option<f64>,

    /// How long after an event no other of its category begins. [default: 2]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub cool_down: Option<f64>,

    /// Seconds between updates of an event that goes on, 0 for none. [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub update: Option<f64>,

    /// Categories that mean "nothing of interest", separated by commas: never events, and they end others. [default:
    /// the bundle's, those among the categories]
    #[arg(long, value_name = "A,B,C")]
    pub background: Option<String>,
}

/// `eval`
#[derive(Args, Debug)]
#[command(after_help = "LIST is one of:
  lines `path frames label` or `path label`, label a number, as BIKE's lists
  a CSV with the columns path,label, label a name or a number
  a folder with one folder of clips a class, named as the category")]
pub struct EvalArgs {
    /// The list, see below.
    #[arg(value_name = "LIST", value_hint = ValueHint::AnyPath)]
    pub list: PathBuf,

    /// Folder that the list's paths start from. [default: the list's own folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,

    /// Write figures and every answer to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,

    /// What ranks answers: `reference` scores as BIKE's test script, or `confidence` as shown by classify.
    #[arg(long, value_name = "WHICH", default_value = "reference")]
    pub rank_by: RankBy,

    /// How frames are sampled.
    #[command(flatten)]
    pub sampling: SamplingArgs,

    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// The picture.
    #[command(flatten)]
    pub picture: PictureArgs,
}

const MARKED_LISTS: &str = "\
LIST is one of:
  a CSV with the columns path,label: label is a category, several with `;` between
  them (any is right), or nothing or `-` for a clip that shows none of them
  a folder with such a list named clips.csv, or with one folder of clips a category";

/// `quality`
#[derive(Args, Debug)]
#[command(after_help = MARKED_LISTS)]
pub struct QualityArgs {
    /// The list, see below.
    #[arg(value_name = "LIST", value_hint = ValueHint::AnyPath)]
    pub list: PathBuf,

    /// Folder that the list's paths start from. [default: the list's own folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,

    /// Streams to glue, each of all clips in an order of its own.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: u64,

    /// Changes the orders.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Seconds after which a clip is cut.
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, allow_negative_numbers = true)]
    pub most: f64,

    /// Seconds for which the last picture of a clip is held: what the gate saves there.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, allow_negative_numbers = true)]
    pub hold: f64,

    /// Noise of a held picture: levels by which a pixel's brightness moves at most, as a camera's does.
    #[arg(long, value_name = "LEVELS", default_value_t = 1)]
    pub noise: u8,

    /// Fail where the precision is less.
    #[arg(long, value_name = "X")]
    pub least_precision: Option<f64>,

    /// Fail where the recall is less.
    #[arg(long, value_name = "X")]
    pub least_recall: Option<f64>,

    /// Write the figures to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,

    /// Seconds between sampled frames. [default: the bundle's, else 10 / T]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stride: Option<f64>,

    /// When a category becomes an event.
    #[command(flatten)]
    pub events: EventArgs,

    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// The picture.
    #[command(flatten)]
    pub picture: PictureArgs,
}

/// `calibrate`
#[derive(Args, Debug)]
#[command(after_help = MARKED_LISTS)]
pub struct CalibrateArgs {
    /// The list, see below.
    #[arg(value_name = "LIST", value_hint = ValueHint::AnyPath)]
    pub list: PathBuf,

    /// The file to write, for `watch --thresholds` and the section `events` of a configuration.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,

    /// Folder that the list's paths start from. [default: the list's own folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,

    /// Clips that must show a category for it to have a threshold of its own.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub min_positives: usize,

    /// Seconds after which a clip is cut.
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, allow_negative_numbers = true)]
    pub most: f64,

    /// Seconds between sampled frames. [default: the bundle's, else 10 / T]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stride: Option<f64>,

    /// Time constant with which confidences are smoothed, here and where the file is used. [default: 1]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub smoothing: Option<f64>,

    /// As `watch --background`.
    #[arg(long, value_name = "A,B,C")]
    pub background: Option<String>,

    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// The picture.
    #[command(flatten)]
    pub picture: PictureArgs,
}

/// What ranks answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum RankBy {
    Reference,
    Confidence,
}

/// `bench`
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Clip to decode. [default: a small one inside this binary]
    #[arg(value_name = "INPUT", value_hint = ValueHint::FilePath)]
    pub input: Option<OsString>,

    /// Runs of each stage.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub runs: usize,

    /// JSON on one line instead of a table.
    #[arg(long)]
    pub json: bool,

    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// The picture.
    #[command(flatten)]
    pub picture: PictureArgs,
}

/// `bundle`
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Say what a bundle holds and can do.
    Inspect {
        /// Folder, packed file, or `embedded`.
        #[arg(default_value = "embedded", value_hint = ValueHint::AnyPath)]
        bundle: OsString,
        /// List the lexicon's phrases that hold this text; `` for all.
        #[arg(long, value_name = "PATTERN", conflicts_with_all = ["json", "categories"])]
        lexicon: Option<String>,
        /// List the categories.
        #[arg(long, conflicts_with = "json")]
        categories: bool,
        /// The manifest as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a bundle: hashes, shapes, numbers, graphs.
    Verify {
        /// Folder, packed file, or `embedded`.
        #[arg(default_value = "embedded", value_hint = ValueHint::AnyPath)]
        bundle: OsString,
    },
    /// Pack a folder into one file.
    Pack {
        /// The folder.
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// The file to write.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the file where there is one.
        #[arg(long)]
        force: bool,
    },
    /// Unpack a file, or `embedded`, into a folder.
    Unpack {
        /// Packed file, or `embedded`.
        #[arg(value_hint = ValueHint::FilePath)]
        file: OsString,
        /// The folder to make.
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

CAMERA is a device file (/dev/video0), camera:ID with an id of `camera list` or a part of it that fits one camera
alone, an address for ffmpeg (rtsp://...), or `-` for y4m through a pipe.")]
pub enum CameraCommand {
    /// Say which cameras there are and what they offer.
    List {
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write one picture to a file: what `watch` would see, masks in black.
    Snapshot {
        /// The camera.
        #[arg(value_name = "CAMERA", value_hint = ValueHint::AnyPath)]
        camera: OsString,
        /// The file, .png or .jpg.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the file where there is one.
        #[arg(long)]
        force: bool,
        /// Let the camera set its exposure for so many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0, allow_negative_numbers = true)]
        after: f64,
        /// The camera's mode.
        #[command(flatten)]
        mode: CameraArgs,
        /// The picture; --fit does not apply.
        #[command(flatten)]
        picture: PictureArgs,
    },
    /// Read frames for a while and say how many came, were dropped or damaged.
    Test {
        /// The camera.
        #[arg(value_name = "CAMERA", value_hint = ValueHint::AnyPath)]
        camera: OsString,
        /// For how long.
        #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
        seconds: f64,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
        /// The camera's mode.
        #[command(flatten)]
        mode: CameraArgs,
        /// The picture.
        #[command(flatten)]
        picture: PictureArgs,
    },
}

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

/// `doctor`
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Check this machine against a board's profile: auto, rpi4, rpi5, rk3588, jetson-orin or generic.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub profile: String,

    /// JSON instead of text.
    #[arg(long)]
    pub json: bool,
}
