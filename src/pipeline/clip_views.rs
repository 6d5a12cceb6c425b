//! Chooses the frames of a clip to score: BIKE's uniform and dense sampling, with several views and crops.

use serde::{Deserialize, Serialize};

use super::bike_sampling;
use crate::error::{Error, Result};
use crate::preprocess::{CropAt, Fit};

/// Maximum number of views, which limits the work. It is not a recommendation.
const MAX_VIEWS: usize = 64;

/// How the frames of a clip are sampled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipSampling {
    /// Temporal views, from 1 to 64: the clip is sampled this many times and the scores are averaged.
    pub views: usize,
    /// Crops per temporal view: 1 (centre) or 3 (left, right, centre).
    pub crops: usize,
    /// Sample T frames spread over 128 consecutive frames instead of over the whole clip.
    pub dense: bool,
}

impl Default for ClipSampling {
    fn default() -> Self {
        Self { views: 1, crops: 1, dense: false }
    }
}

/// One temporal view in one crop: T frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipView {
    /// Position in [`ClipSampling::crop_positions`].
    pub crop: usize,
    /// T frame numbers, in the order in which the reference samples them; they ascend unless the clip is shorter than
    /// the samples and they wrap around.
    pub frames: Vec<u64>,
}

impl ClipSampling {
    /// Checks the ranges, and that several crops are used only with [`Fit::Crop`].
    ///
    /// # Errors
    /// [`Error::Setting`] for a value that cannot be used.
    pub fn check(&self, fit: Fit) -> Result<()> {
        if !(1..=MAX_VIEWS).contains(&self.views) {
            let problem = format!("{} is out of range", self.views);
            return Err(Error::setting("views", problem, format!("give a number from 1 to {MAX_VIEWS}")));
        }
        match self.crops {
            1 => Ok(()),
            3 if fit == Fit::Crop => Ok(()),
            3 => Err(Error::setting("crops", "3 crops need `fit = crop`", "remove one of the two")),
            n => Err(Error::setting(
                "crops",
                format!("{n} is not supported"),
                "give 1 (centre) or 3 (left, right, centre)",
            )),
        }
    }

    /// The crops taken of each frame.
    pub fn crop_positions(&self) -> &'static [CropAt] {
        if self.crops == 3 { &CropAt::THREE } else { &[CropAt::Centre] }
    }

    /// Returns the views of a clip with `frames` frames, crop by crop as in the reference.
    pub fn clip_views(&self, frames: u64, window: usize) -> Vec<ClipView> {
        let views = match (self.dense, self.views) {
            (true, views) => bike_sampling::dense_views(frames, window, views),
            (false, 1) => vec![bike_sampling::uniform(frames, window)],
            (false, views) => bike_sampling::uniform_views(frames, window, views),
        };
        (0..self.crop_positions().len())
            .flat_map(|crop| views.iter().map(move |frames| ClipView { crop, frames: frames.clone() }))
            .collect()
    }
}
