//! Skips encoding where it would say nothing new.

use serde::Serialize;

use crate::frame::{CELLS, LumaGrid, UNITS};
use crate::source::Seconds;

/// When a frame is not encoded. Levels are of 0..255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateSpec {
    /// Without it every frame is encoded.
    pub enabled: bool,
    /// A picture is still where its cells differ from those of the last encoded one by less than this on average,
    pub still_mean: f32,
    /// and none by more than this.
    pub still_most: f32,
    /// Even a still picture is encoded again after so long.
    pub refresh_s: Seconds,
    /// A picture is dark where no cell is brighter.
    pub dark: f32,
    /// A picture is flat where its cells lie within so many levels of each other.
    pub flat: f32,
}

impl Default for GateSpec {
    /// As docs/events.md measures them.
    fn default() -> Self {
        Self { enabled: true, still_mean: 0.5, still_most: 4.0, refresh_s: 4.0, dark: 20.0, flat: 6.0 }
    }
}

/// What is to be done about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Encode it.
    Encode,
    /// It is as the last encoded one: take that one's embedding.
    Still,
    /// It shows nothing, being dark.
    Dark,
    /// It shows nothing, being of one colour.
    Flat,
}

/// How often each verdict was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GateCounts {
    /// Frames encoded.
    pub encoded: u64,
    /// Frames as the last encoded one.
    pub still: u64,
    /// Dark frames.
    pub dark: u64,
    /// Frames of one colour.
    pub flat: u64,
}

/// Compares pictures with the last encoded one.
pub struct Gate {
    spec: GateSpec,
    encoded: Option<(LumaGrid, Seconds)>,
    counts: GateCounts,
}

impl Gate {
    /// A gate that has seen nothing.
    pub fn new(spec: GateSpec) -> Self {
        Self { spec, encoded: None, counts: GateCounts::default() }
    }

    /// False where every frame is encoded and no grid need be made.
    pub fn enabled(&self) -> bool {
        self.spec.enabled
    }

    /// What is to be done about a frame. Where it is [`Verdict::Encode`], the frame is taken for encoded.
    pub fn judge(&mut self, grid: &LumaGrid, time: Seconds) -> Verdict {
        let verdict = self.verdict(grid, time);
        let count = match verdict {
            Verdict::Encode => &mut self.counts.encoded,
            Verdict::Still => &mut self.counts.still,
            Verdict::Dark => &mut self.counts.dark,
            Verdict::Flat => &mut self.counts.flat,
        };
        *count += 1;
        if verdict == Verdict::Encode && self.spec.enabled {
            match &mut self.encoded {
                Some((known, when)) => {
                    known.clone_from(grid);
                    *when = time;
                }
                None => self.encoded = Some((grid.clone(), time)),
            }
        }
        verdict
    }

    /// How often each verdict was given.
    pub fn counts(&self) -> GateCounts {
        self.counts
    }

    /// Forgets the last encoded picture: the next one is encoded.
    pub fn forget(&mut self) {
        self.encoded = None;
    }

    fn verdict(&self, grid: &LumaGrid, time: Seconds) -> Verdict {
        let spec = &self.spec;
        // Without an earlier embedding there is nothing to take in its place.
        let Some((known, when)) = self.encoded.as_ref().filter(|_| spec.enabled) else { return Verdict::Encode };
        let (mut least, mut most) = (u16::MAX, 0);
        for &cell in grid.cells() {
            (least, most) = (least.min(cell), most.max(cell));
        }
        if f32::from(most) < spec.dark * f32::from(UNITS) {
            return Verdict::Dark;
        }
        if f32::from(most - least) < spec.flat * f32::from(UNITS) {
            return Verdict::Flat;
        }
        let (mut sum, mut largest) = (0u32, 0u16);
        for (cell, known) in grid.cells().iter().zip(known.cells()) {
            let change = cell.abs_diff(*known);
            sum += u32::from(change);
            largest = largest.max(change);
        }
        let mean = sum as f32 / (CELLS * CELLS) as f32 / f32::from(UNITS);
        let still = mean < spec.still_mean && f32::from(largest) <= spec.still_most * f32::from(UNITS);
        let fresh = (0.0..spec.refresh_s).contains(&(time - when));
        if still && fresh { Verdict::Still } else { Verdict::Encode }
    }
}
