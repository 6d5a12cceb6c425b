//! Which frames of a clip are looked at: views, crops, uniform or dense.

use crate::cli::args::SamplingArgs;
use crate::error::{Error, Result};
use crate::preprocess::{CropAt, Fit};
use crate::source::sampling;

/// More views than anyone samples; a bound on work, not a recommendation.
const MAX_VIEWS: usize = 64;

/// How a clip is sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplingPlan {
    /// Temporal views, 1..=64.
    pub views: usize,
    /// Crops of each frame.
    pub crops: &'static [CropAt],
    /// T frames out of 128 rather than over the whole clip.
    pub dense: bool,
}

/// One window to be scored: T frame indices in one crop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Position in [`SamplingPlan::crops`].
    pub crop: usize,
    /// T frame indices, in the reference's order.
    pub frames: Vec<u64>,
}

impl SamplingPlan {
    /// Checks the flags.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flag.
    pub fn new(args: &SamplingArgs, fit: Fit) -> Result<Self> {
        if !(1..=MAX_VIEWS).contains(&args.views) {
            return Err(Error::Usage(format!("--views {}: give a number from 1 to {MAX_VIEWS}", args.views)));
        }
        let crops: &'static [CropAt] = match args.crops {
            1 => &[CropAt::Centre],
            3 if fit == Fit::Crop => &CropAt::THREE,
            3 => return Err(Error::Usage("--crops 3 goes with --fit crop alone; leave one of the two out".into())),
            n => return Err(Error::Usage(format!("--crops {n}: give 1 (centre) or 3 (left, right, centre)"))),
        };
        Ok(Self { views: args.views, crops, dense: args.dense })
    }

    /// The windows for a clip of `n` frames, crop-major as in the reference (`bike.md` section 1).
    pub fn windows(&self, n: u64, window: usize) -> Vec<View> {
        let starts = match (self.dense, self.views) {
            (true, views) => sampling::dense_views(n, window, views),
            (false, 1) => vec![sampling::uniform(n, window)],
            (false, views) => sampling::uniform_views(n, window, views),
        };
        (0..self.crops.len())
            .flat_map(|crop| starts.iter().map(move |frames| View { crop, frames: frames.clone() }))
            .collect()
    }
}
