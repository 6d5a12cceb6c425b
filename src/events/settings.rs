//! Event settings as a file says them: all optional, one laid over another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::spec::{CategorySpec, EventSpec};
use crate::error::{Error, Result};
use crate::source::Seconds;

/// How far below `on` an event ends where only `on` is said.
const OFF_SHARE: f32 = 0.7;

/// Settings of one category; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategorySettings {
    /// As [`CategorySpec::smoothing_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing_s: Option<Seconds>,
    /// As [`CategorySpec::on`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<f32>,
    /// As [`CategorySpec::off`]; 0.7 of `on` where only that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<f32>,
    /// As [`CategorySpec::min_length_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length_s: Option<Seconds>,
    /// As [`CategorySpec::cool_down_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cool_down_s: Option<Seconds>,
}

/// The `[events]` of a configuration, and what `calibrate` writes for `watch --thresholds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSettings {
    /// As [`CategorySpec::smoothing_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing_s: Option<Seconds>,
    /// As [`CategorySpec::on`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<f32>,
    /// As [`CategorySpec::off`]; 0.7 of `on` where only that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<f32>,
    /// As [`CategorySpec::min_length_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length_s: Option<Seconds>,
    /// As [`CategorySpec::cool_down_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cool_down_s: Option<Seconds>,
    /// As [`EventSpec::update_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_s: Option<Seconds>,
    /// As [`EventSpec::gap_s`]; 10 s, or 4 strides where that is longer, where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_s: Option<Seconds>,
    /// As [`EventSpec::background`]; the bundle's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Vec<String>>,
    /// Settings of single categories, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub category: BTreeMap<String, CategorySettings>,
}

impl CategorySettings {
    /// These settings, and `below` where they say nothing.
    fn over(self, below: Self) -> Self {
        Self {
            smoothing_s: self.smoothing_s.or(below.smoothing_s),
            on: self.on.or(below.on),
            // A new `on` does not keep an `off` that was meant for another.
            off: self.off.or(if self.on.is_some() { None } else { below.off }),
            min_length_s: self.min_length_s.or(below.min_length_s),
            cool_down_s: self.cool_down_s.or(below.cool_down_s),
        }
    }

    fn resolve(self, default: CategorySpec) -> CategorySpec {
        CategorySpec {
            smoothing_s: self.smoothing_s.unwrap_or(default.smoothing_s),
            on: self.on.unwrap_or(default.on),
            off: self.off.unwrap_or(self.on.map_or(default.off, |on| on * OFF_SHARE)),
            min_length_s: self.min_length_s.unwrap_or(default.min_length_s),
            cool_down_s: self.cool_down_s.unwrap_or(default.cool_down_s),
        }
    }
}

impl EventSettings {
    /// These settings, and `below` where they say nothing; flags over a file, a file over the defaults.
    pub fn over(self, below: Self) -> Self {
        let all = self.all_categories().over(below.all_categories());
        let mut category = below.category;
        for (name, settings) in self.category {
            let below = category.get(&name).copied().unwrap_or_default();
            category.insert(name, settings.over(below));
        }
        Self {
            smoothing_s: all.smoothing_s,
            on: all.on,
            off: all.off,
            min_length_s: all.min_length_s,
            cool_down_s: all.cool_down_s,
            update_s: self.update_s.or(below.update_s),
            gap_s: self.gap_s.or(below.gap_s),
            background: self.background.or(below.background),
            category,
        }
    }

    /// Over the defaults, checked. `background` is taken where none is said; `stride` is the seconds between steps.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the setting that is out of its range.
    pub fn resolve(&self, background: &[String], stride: Seconds) -> Result<EventSpec> {
        let default = self.all_categories().resolve(CategorySpec::default());
        let spec = EventSpec {
            default,
            categories: self.category.iter().map(|(name, own)| (name.clone(), own.resolve(default))).collect(),
            background: self.background.clone().unwrap_or_else(|| background.to_vec()),
            update_s: self.update_s.unwrap_or(EventSpec::default().update_s),
            gap_s: self.gap_s.unwrap_or(EventSpec::default().gap_s.max(4.0 * stride)),
        };
        spec.check()?;
        if spec.gap_s <= stride {
            return Err(Error::Usage(format!("gap_s is {}; it must be above the stride, {stride}", spec.gap_s)));
        }
        Ok(spec)
    }

    fn all_categories(&self) -> CategorySettings {
        let Self { smoothing_s, on, off, min_length_s, cool_down_s, .. } = *self;
        CategorySettings { smoothing_s, on, off, min_length_s, cool_down_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> EventSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_category_stands_over_the_file_and_the_file_over_the_defaults() {
        let settings = parsed("on = 0.5\ncool_down_s = 7\n[category.cooking]\non = 0.8\nmin_length_s = 3\n");
        let spec = settings.resolve(&["a wall".into()], 0.5).unwrap();
        let cooking = spec.of("cooking");
        assert_eq!((cooking.on, cooking.off, cooking.min_length_s, cooking.cool_down_s), (0.8, 0.8 * 0.7, 3.0, 7.0));
        assert_eq!((spec.of("dancing").on, spec.of("dancing").off), (0.5, 0.35));
        assert_eq!(spec.background, ["a wall"]);
    }

    #[test]
    fn flags_stand_over_a_file() {
        let file = parsed("on = 0.5\noff = 0.1\nbackground = []\n[category.cooking]\non = 0.8\n");
        let flags = EventSettings { on: Some(0.7), ..EventSettings::default() };
        let spec = flags.over(file).resolve(&["a wall".into()], 0.5).unwrap();
        assert_eq!((spec.default.on, spec.default.off), (0.7, 0.7 * 0.7));
        assert_eq!(spec.of("cooking").on, 0.8);
        assert!(spec.background.is_empty());
    }

    #[test]
    fn what_is_out_of_range_or_unknown_is_named() {
        for (text, told) in [
            ("on = 1.5", "on is 1.5"),
            ("on = nan", "on is NaN"),
            ("on = 0.2\noff = 0.3", "off, 0.3, is above on"),
            ("smoothing_s = -1", "smoothing_s is -1"),
            ("update_s = 1e9", "update_s is 1000000000"),
            ("gap_s = 0.5", "gap_s is 0.5; it must be above the stride"),
            ("[category.\"a cat\"]\ncool_down_s = inf", "events of \"a cat\": cool_down_s"),
        ] {
            let problem = parsed(text).resolve(&[], 0.5).unwrap_err().to_string();
            assert!(problem.contains(told), "{problem}");
        }
        assert!(toml::from_str::<EventSettings>("onn = 0.5").is_err());
        assert!(toml::from_str::<EventSettings>("[category.cooking]\nbackground = []").is_err());
    }
}
