//! `quality`

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::events::EventArgs;
use super::lists::MARKED_LISTS;
use super::model::ModelArgs;
use super::picture::PictureArgs;

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
