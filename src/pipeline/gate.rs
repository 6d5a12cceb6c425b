//! Skips encoding where it would say nothing new.

use serde::Serialize;

use crate::preprocess::{CELLS, LumaGrid, UNITS};
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
    /// Even such a picture is encoded again after so long.
    pub refresh_s: Seconds,
    /// A picture is dark where no cell is brighter.
    pub dark: f32,
    /// A picture is flat where its cells lie within so many levels of each other.
    pub flat: f32,
    /// Dark and flat pictures are as the last encoded one, dark or flat itself, where their cells differ by less than this
    /// on average.
    pub blind_mean: f32,
}

impl Default for GateSpec {
    /// As docs/events.md measures them. What moved confidence by more than .02 was no held picture but a slow one: a cell
    /// that changed by up to 2 levels (moved: .075), and a fade from black whose pictures stood for each other (.018).
    fn default() -> Self {
        Self {
            enabled: true,
            still_mean: 0.2,
            // Noise of 1 level a pixel moves no cell by more in 9 steps of 10; at 1.2 one step of 5085 moved .046.
            still_most: 0.8,
            refresh_s: 4.0,
            dark: 20.0,
            flat: 6.0,
            blind_mean: 2.0,
        }
    }
}

/// What is to be done about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is encoded, or the embedding of the last encoded one is taken for its own.
    pub verdict: Verdict,
    /// Whether there is anything to see in it.
    pub sight: Sight,
}

/// Whether a frame is encoded, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is encoded.
    Encode,
    /// It is as the last encoded one.
    Still,
    /// It is dark, as the last encoded one was.
    Dark,
    /// It is of one colour, as the last encoded one was.
    Flat,
}

/// Whether there is anything to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// There is.
    Clear,
    /// No part of it is bright.
    Dark,
    /// All of it is of one colour.
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
    encoded: Encoded,
    counts: GateCounts,
}

/// The last encoded picture.
struct Encoded {
    grid: LumaGrid,
    /// `None` where there is none.
    time: Option<Seconds>,
    sight: Sight,
}

impl Gate {
    /// A gate that has seen nothing.
    pub fn new(spec: GateSpec) -> Self {
        let encoded = Encoded { grid: LumaGrid::default(), time: None, sight: Sight::Clear };
        Self { spec, encoded, counts: GateCounts::default() }
    }

    /// False where every frame is encoded and no grid need be made.
    pub fn enabled(&self) -> bool {
        self.spec.enabled
    }

    /// What is to be done about a frame. Where it is to be encoded, it is taken for encoded.
    pub fn judge(&mut self, grid: &LumaGrid, time: Seconds) -> Judgement {
        if !self.spec.enabled {
            self.counts.encoded += 1;
            return Judgement { verdict: Verdict::Encode, sight: Sight::Clear };
        }
        let sight = self.sight(grid);
        let verdict = self.verdict(grid, time, sight);
        let count = match verdict {
            Verdict::Encode => &mut self.counts.encoded,
            Verdict::Still => &mut self.counts.still,
            Verdict::Dark => &mut self.counts.dark,
            Verdict::Flat => &mut self.counts.flat,
        };
        *count += 1;
        if verdict == Verdict::Encode {
            self.encoded.grid.clone_from(grid);
            (self.encoded.time, self.encoded.sight) = (Some(time), sight);
        }
        Judgement { verdict, sight }
    }

    /// How often each verdict was given.
    pub fn counts(&self) -> GateCounts {
        self.counts
    }

    /// Forgets the last encoded picture: the next one is encoded.
    pub fn forget(&mut self) {
        self.encoded.time = None;
    }

    fn sight(&self, grid: &LumaGrid) -> Sight {
        let (mut least, mut most) = (u16::MAX, 0);
        for &cell in grid.cells() {
            (least, most) = (least.min(cell), most.max(cell));
        }
        if f32::from(most) < self.spec.dark * f32::from(UNITS) {
            Sight::Dark
        } else if f32::from(most - least) < self.spec.flat * f32::from(UNITS) {
            Sight::Flat
        } else {
            Sight::Clear
        }
    }

    fn verdict(&self, grid: &LumaGrid, time: Seconds, sight: Sight) -> Verdict {
        let (spec, known) = (&self.spec, &self.encoded);
        // Without an earlier embedding there is nothing to take in its place, and an old one is not trusted.
        let fresh = known.time.is_some_and(|when| (0.0..spec.refresh_s).contains(&(time - when)));
        if !fresh || sight != known.sight {
            return Verdict::Encode;
        }
        let (mean, most) = self.change(grid);
        match sight {
            Sight::Clear if mean < spec.still_mean && most <= spec.still_most => Verdict::Still,
            Sight::Dark if mean < spec.blind_mean => Verdict::Dark,
            Sight::Flat if mean < spec.blind_mean => Verdict::Flat,
            _ => Verdict::Encode,
        }
    }

    /// By how many levels the cells differ from those of the last encoded picture: on average, and at most.
    fn change(&self, grid: &LumaGrid) -> (f32, f32) {
        let (mut sum, mut largest) = (0u32, 0u16);
        for (cell, known) in grid.cells().iter().zip(self.encoded.grid.cells()) {
            let change = cell.abs_diff(*known);
            sum += u32::from(change);
            largest = largest.max(change);
        }
        let units = f32::from(UNITS);
        (sum as f32 / (CELLS * CELLS) as f32 / units, f32::from(largest) / units)
    }
}
