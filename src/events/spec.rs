//! When a category becomes an event.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::source::Seconds;

/// The longest time that any of these settings may be.
const MAX_SECONDS: Seconds = 86_400.0;

/// When one category becomes an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CategorySpec {
    /// Time constant with which confidences are smoothed; 0 takes them as they are.
    pub smoothing_s: Seconds,
    /// Smoothed confidence at which an event begins, 0..=1.
    pub on: f32,
    /// Smoothed confidence below which it ends, at most `on`.
    pub off: f32,
    /// How long it must go on before it is told; what is shorter is never told.
    pub min_length_s: Seconds,
    /// How long after its end no other of the category begins.
    pub cool_down_s: Seconds,
}

impl Default for CategorySpec {
    /// As docs/events.md measures them.
    fn default() -> Self {
        Self { smoothing_s: 1.0, on: 0.28, off: 0.196, min_length_s: 3.0, cool_down_s: 2.0 }
    }
}

/// When categories become events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventSpec {
    /// For every category that is not named below.
    pub default: CategorySpec,
    /// For categories by name.
    pub categories: BTreeMap<String, CategorySpec>,
    /// Categories that mean "nothing of interest": never events, and where their smoothed confidences add up to more
    /// than an event's own, it ends.
    pub background: Vec<String>,
    /// Seconds between updates of an event that goes on; 0 for none.
    pub update_s: Seconds,
    /// Seconds between two steps after which the stream counts as broken off: what went on has ended at the first.
    pub gap_s: Seconds,
}

impl Default for EventSpec {
    /// No background, an update every 10 s, a break after 10 s.
    fn default() -> Self {
        Self {
            default: CategorySpec::default(),
            categories: BTreeMap::new(),
            background: Vec::new(),
            update_s: 10.0,
            gap_s: 10.0,
        }
    }
}

impl EventSpec {
    /// For a category.
    pub fn of(&self, category: &str) -> CategorySpec {
        self.categories.get(category).copied().unwrap_or(self.default)
    }

    /// # Errors
    /// [`Error::Usage`] naming the setting that is out of its range.
    pub fn check(&self) -> Result<()> {
        seconds("update_s", self.update_s).map_err(Error::Usage)?;
        seconds("gap_s", self.gap_s).map_err(Error::Usage)?;
        self.default.check().map_err(|problem| Error::Usage(format!("events: {problem}")))?;
        for (name, spec) in &self.categories {
            spec.check()
                .map_err(|problem| Error::Usage(format!("events of \"{}\": {problem}", name.escape_debug())))?;
        }
        Ok(())
    }
}

impl CategorySpec {
    fn check(&self) -> Result<(), String> {
        let share = |name: &str, x: f32| {
            let inside = (0.0..=1.0).contains(&x);
            if inside { Ok(()) } else { Err(format!("{name} is {x}; give a confidence from 0 to 1")) }
        };
        share("on", self.on)?;
        share("off", self.off)?;
        if self.off > self.on {
            return Err(format!("off, {}, is above on, {}; an event ends lower than it begins", self.off, self.on));
        }
        seconds("smoothing_s", self.smoothing_s)?;
        seconds("min_length_s", self.min_length_s)?;
        seconds("cool_down_s", self.cool_down_s)
    }
}

fn seconds(name: &str, x: Seconds) -> Result<(), String> {
    let inside = (0.0..=MAX_SECONDS).contains(&x);
    if inside { Ok(()) } else { Err(format!("{name} is {x}; give seconds from 0 to {MAX_SECONDS}")) }
}
