//! How frames are sampled from a clip.

use clap::Args;

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
