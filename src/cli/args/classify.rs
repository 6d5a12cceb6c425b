//! `classify`

use std::ffi::OsString;

use clap::{Args, ValueHint};

use super::model::ModelArgs;
use super::picture::PictureArgs;
use super::sampling::SamplingArgs;

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
