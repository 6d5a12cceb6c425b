//! `bench`

use std::ffi::OsString;

use clap::{Args, ValueHint};

use super::model::ModelArgs;
use super::picture::PictureArgs;

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
