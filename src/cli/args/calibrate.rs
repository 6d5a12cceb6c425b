//! `calibrate`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::lists::MARKED_LISTS;
use super::model::ModelArgs;
use super::picture::PictureArgs;

/// `calibrate`
#[derive(Args, Debug)]
#[command(after_help = MARKED_LISTS)]
pub struct CalibrateArgs {
    /// The list, see below.
    #[arg(value_name = "LIST", value_hint = ValueHint::AnyPath)]
    pub list: PathBuf,

    /// The file to write, for `watch --thresholds` and the key `thresholds` of a configuration.
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
