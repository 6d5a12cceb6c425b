//! `eval`

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::model::ModelArgs;
use super::picture::PictureArgs;
use super::sampling::SamplingArgs;

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

/// What ranks answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum RankBy {
    Reference,
    Confidence,
}
