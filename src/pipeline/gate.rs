//! Skips the encoding of frames whose picture has not changed, is dark or is flat.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::preprocess::{CELL_UNITS_PER_LEVEL, CELLS, LumaGrid};
use crate::units::Seconds;
use crate::units::check_range;

/// When the encoding of a frame is skipped: the `[gate]` section of a configuration. Pictures are compared cell by
/// cell; the brightness of a cell is a level of 0..=255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSpec {
    /// Whether frames may be skipped.
    pub enabled: bool,
    /// A picture is still if its cells differ from those of the last encoded one by less than this on average, and none
    /// by more than `still_max`. Levels, 0..=255.
    pub still_mean: f32,
    /// The largest difference of a cell of a still picture. Levels, 0..=255.
    pub still_max: f32,
    /// A frame is encoded after this time in any case, seconds, 0..=86400.
    pub refresh_s: Seconds,
    /// A picture is dark if all its cells are below this level, 0..=255.
    pub dark: f32,
    /// A picture is flat if its cells differ from each other by less than this. Levels, 0..=255.
    pub flat: f32,
    /// A dark (or flat) picture is skipped if the last encoded one was dark (or flat) too and their cells differ by
    /// less than this on average. Levels, 0..=255.
    pub dark_flat_mean: f32,
}

impl Default for GateSpec {
    /// The defaults, chosen by the measurements in docs/measurements/events.md. With larger limits, slow changes are
    /// missed: where cells changed by up to 2 levels, a confidence differed by up to .075 from that without a gate; in a
    /// fade from black, by up to .018.
    fn default() -> Self {
        Self {
            enabled: true,
            still_mean: 0.2,
            // With noise of 1 level in each pixel, no cell changes by more than this in 9 of 10 steps. With 1.2 in place of
            // 0.8, skipping changed a confidence by .046 in one step of 5085.
            still_max: 0.8,
            refresh_s: 4.0,
            dark: 20.0,
            flat: 6.0,
            dark_flat_mean: 2.0,
        }
    }
}

impl GateSpec {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the key.
    pub fn check(&self) -> Result<()> {
        for (key, level) in [
            ("still_mean", self.still_mean),
            ("still_max", self.still_max),
            ("dark", self.dark),
            ("flat", self.flat),
            ("dark_flat_mean", self.dark_flat_mean),
        ] {
            check_range(key, level, 0.0..=255.0, "a level")?;
        }
        check_range("refresh_s", self.refresh_s, 0.0..=86_400.0, "seconds")
    }
}

/// The gate's result for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateOutput {
    /// Whether the frame is encoded, or reuses the embedding of the last encoded one.
    pub decision: GateDecision,
    /// Whether the picture has visible content.
    pub visibility: Visibility,
}

/// Whether a frame is encoded, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GateDecision {
    /// The frame is encoded.
    Encode,
    /// Skipped: the picture is the same as the last encoded one.
    Still,
    /// Skipped: the picture is dark, and so was the last encoded one.
    Dark,
    /// Skipped: the picture has a single colour, and so had the last encoded one.
    Flat,
}

/// Whether a picture has visible content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Content is visible.
    Clear,
    /// No part of the picture is bright.
    Dark,
    /// The whole picture has a single colour.
    Flat,
}

/// The number of frames by decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GateCounts {
    /// Frames that were encoded.
    pub encoded: u64,
    /// Frames skipped as still.
    pub still: u64,
    /// Frames skipped as dark.
    pub dark: u64,
    /// Frames skipped as flat.
    pub flat: u64,
}

impl std::ops::AddAssign for GateCounts {
    fn add_assign(&mut self, other: Self) {
        self.encoded += other.encoded;
        self.still += other.still;
        self.dark += other.dark;
        self.flat += other.flat;
    }
}

/// Compares each picture with the last encoded one.
pub struct Gate {
    spec: GateSpec,
    last_encoded: LastEncoded,
    counts: GateCounts,
}

/// The last encoded picture.
struct LastEncoded {
    grid: LumaGrid,
    /// `None` if there is no such picture.
    time: Option<Seconds>,
    visibility: Visibility,
}

impl Gate {
    /// Creates a gate that encodes the first frame.
    pub fn new(spec: GateSpec) -> Self {
        let last_encoded = LastEncoded { grid: LumaGrid::default(), time: None, visibility: Visibility::Clear };
        Self { spec, last_encoded, counts: GateCounts::default() }
    }

    /// Returns whether the gate is enabled. If not, every frame is encoded and no grid is needed.
    pub fn enabled(&self) -> bool {
        self.spec.enabled
    }

    /// Decides whether a frame is encoded. If so, the frame becomes the one that later frames are compared with.
    pub fn decide(&mut self, grid: &LumaGrid, time: Seconds) -> GateOutput {
        if !self.spec.enabled {
            self.counts.encoded += 1;
            return GateOutput { decision: GateDecision::Encode, visibility: Visibility::Clear };
        }
        let visibility = self.visibility(grid);
        let decision = self.decision(grid, time, visibility);
        let count = match decision {
            GateDecision::Encode => &mut self.counts.encoded,
            GateDecision::Still => &mut self.counts.still,
            GateDecision::Dark => &mut self.counts.dark,
            GateDecision::Flat => &mut self.counts.flat,
        };
        *count += 1;
        if decision == GateDecision::Encode {
            self.last_encoded.grid.clone_from(grid);
            (self.last_encoded.time, self.last_encoded.visibility) = (Some(time), visibility);
        }
        GateOutput { decision, visibility }
    }

    /// Returns the number of frames by decision.
    pub fn counts(&self) -> GateCounts {
        self.counts
    }

    /// Forgets the last encoded picture, so that the next frame is encoded.
    pub fn reset(&mut self) {
        self.last_encoded.time = None;
    }

    fn visibility(&self, grid: &LumaGrid) -> Visibility {
        let (mut darkest, mut brightest) = (u16::MAX, 0);
        for &cell in grid.cells() {
            (darkest, brightest) = (darkest.min(cell), brightest.max(cell));
        }
        if f32::from(brightest) < self.spec.dark * f32::from(CELL_UNITS_PER_LEVEL) {
            Visibility::Dark
        } else if f32::from(brightest - darkest) < self.spec.flat * f32::from(CELL_UNITS_PER_LEVEL) {
            Visibility::Flat
        } else {
            Visibility::Clear
        }
    }

    fn decision(&self, grid: &LumaGrid, time: Seconds, visibility: Visibility) -> GateDecision {
        let (spec, last) = (&self.spec, &self.last_encoded);
        // Without an earlier embedding there is nothing to reuse, and an embedding older than `refresh_s` is not
        // reused.
        let is_fresh = last.time.is_some_and(|at| (0.0..spec.refresh_s).contains(&(time - at)));
        if !is_fresh || visibility != last.visibility {
            return GateDecision::Encode;
        }
        let (mean, max) = self.difference(grid);
        match visibility {
            Visibility::Clear if mean < spec.still_mean && max <= spec.still_max => GateDecision::Still,
            Visibility::Dark if mean < spec.dark_flat_mean => GateDecision::Dark,
            Visibility::Flat if mean < spec.dark_flat_mean => GateDecision::Flat,
            _ => GateDecision::Encode,
        }
    }

    /// Returns the mean and the largest difference between the cells of a picture and of the last encoded one, levels.
    fn difference(&self, grid: &LumaGrid) -> (f32, f32) {
        let (mut sum, mut max) = (0u32, 0u16);
        for (cell, last) in grid.cells().iter().zip(self.last_encoded.grid.cells()) {
            let difference = cell.abs_diff(*last);
            sum += u32::from(difference);
            max = max.max(difference);
        }
        let units = f32::from(CELL_UNITS_PER_LEVEL);
        (sum as f32 / (CELLS * CELLS) as f32 / units, f32::from(max) / units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_values_out_of_range_are_refused_by_name() {
        GateSpec::default().check().unwrap();
        for key in ["still_mean", "still_max", "dark", "flat", "dark_flat_mean"] {
            for value in ["-0.1", "255.5", "nan"] {
                let spec: GateSpec = toml::from_str(&format!("{key} = {value}")).unwrap();
                let problem = spec.check().unwrap_err().to_string();
                assert!(problem.starts_with(&format!("{key}: ")) && problem.contains("0 to 255"), "{problem}");
            }
        }
        let spec: GateSpec = toml::from_str("refresh_s = 1e6").unwrap();
        assert!(spec.check().unwrap_err().to_string().starts_with("refresh_s: 1000000 is out of range"));
        assert!(toml::from_str::<GateSpec>("no_such_key = 2.0").is_err());
    }
}
