//! The settings of events: when a category starts an event and when the event ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::recognition::Scoring;
use crate::units::Seconds;
use crate::units::check_range;

/// The longest time that any of these settings accepts.
const MAX_SECONDS: Seconds = 86_400.0;

/// `on` for shares among all categories of the embedded bundle, if it is omitted.
const SHARE_ON: f32 = 0.28;

/// `off` as a share of `on` if `off` is omitted.
const OFF_SHARE: f32 = 0.7;

/// The minimum of `gap_s` if it is omitted.
const GAP_S: Seconds = 10.0;

/// `gap_s` in strides if it is omitted and this is longer.
const GAP_STRIDES: f64 = 4.0;

/// When categories become events: the `[events]` section of a configuration, and the file that `calibrate` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSpec {
    /// Time constant of the exponential smoothing of confidences, seconds, 0..=86400; 0 turns smoothing off.
    pub smoothing_s: Seconds,
    /// The level at which an event starts, 0..=1. If omitted, [`EventSpec::default_on`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<f32>,
    /// The level below which an event ends, 0..=`on`; 0.7 of `on` if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<f32>,
    /// How long an event must last before it is reported, seconds, 0..=86400. Shorter events are never reported.
    pub min_length_s: Seconds,
    /// The time after an event in which no other event of its category starts, seconds, 0..=86400.
    pub cool_down_s: Seconds,
    /// Seconds between updates of an open event, 0..=86400; 0 turns updates off.
    pub update_s: Seconds,
    /// The longest time between two steps without a break, seconds, 0..=86400 and above the stride. A longer gap ends
    /// all open events at the step before it. If omitted, 10 s or 4 strides, whichever is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_s: Option<Seconds>,
    /// Settings of single categories, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub category: BTreeMap<String, CategorySpec>,
}

/// Settings of one category. What is omitted is taken from the [`EventSpec`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CategorySpec {
    /// See [`EventSpec::smoothing_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing_s: Option<Seconds>,
    /// See [`EventSpec::on`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<f32>,
    /// See [`EventSpec::off`]. 0.7 of the category's own `on` if only that is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<f32>,
    /// See [`EventSpec::min_length_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length_s: Option<Seconds>,
    /// See [`EventSpec::cool_down_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cool_down_s: Option<Seconds>,
}

/// The settings of one category with every value filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Thresholds {
    pub smoothing_s: Seconds,
    pub on: f32,
    pub off: f32,
    pub min_length_s: Seconds,
    pub cool_down_s: Seconds,
}

impl Default for EventSpec {
    /// The defaults, chosen by the measurements in docs/measurements/events.md.
    fn default() -> Self {
        Self {
            smoothing_s: 1.0,
            on: None,
            off: None,
            min_length_s: 2.0,
            cool_down_s: 2.0,
            update_s: 10.0,
            gap_s: None,
            category: BTreeMap::new(),
        }
    }
}

impl EventSpec {
    /// Returns the default of `on` for that many scored categories: for confidences that are shares, or independent of
    /// each other. docs/measurements/events.md has the measurements.
    ///
    /// A share is larger among fewer categories. 0.28 was chosen for 77; a category whose weight in the softmax is
    /// 29.6 times the mean of the others reaches it. The same weight counts among fewer categories.
    pub fn default_on(scoring: Scoring, categories: usize) -> f32 {
        let weight = SHARE_ON / (1.0 - SHARE_ON) * 76.0;
        match scoring {
            Scoring::Share => (weight / (weight + categories.saturating_sub(1) as f32)).max(SHARE_ON),
            Scoring::Independent => 0.5,
        }
    }

    /// Fills in every omitted value and checks the result. `categories` is the number of scored categories, `stride` the
    /// longest time between two steps.
    ///
    /// # Errors
    /// [`Error::Setting`] naming a value that is out of range.
    pub fn resolve(&self, scoring: Scoring, categories: usize, stride: Seconds) -> Result<Self> {
        let gap_s = self.gap_s.unwrap_or(GAP_S.max(GAP_STRIDES * stride));
        let own = Self { on: Some(self.on.unwrap_or_else(|| Self::default_on(scoring, categories))), ..self.clone() };
        let common = own.common_thresholds();
        let resolved = Self {
            on: own.on,
            off: Some(common.off),
            gap_s: Some(gap_s),
            category: self
                .category
                .iter()
                .map(|(name, own)| (name.clone(), own.with_defaults(common).into()))
                .collect(),
            ..*self
        };
        resolved.check()?;
        if gap_s <= stride {
            let problem = format!("{gap_s} is not above the longest stride, {stride}");
            return Err(Error::setting(
                "gap_s",
                problem,
                "give a longer time; a governor may stretch the stride up to max_stretch times",
            ));
        }
        Ok(resolved)
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`] with the key, such as `on` or `category."cooking".on`.
    pub fn check(&self) -> Result<()> {
        check_seconds("update_s", self.update_s)?;
        check_seconds("gap_s", self.gap_s())?;
        let common = self.common_thresholds();
        common.check()?;
        for (name, own) in &self.category {
            own.with_defaults(common).check().map_err(|e| e.within(&category_key(name)))?;
        }
        Ok(())
    }

    /// Returns the longest time between two steps without a break; 10 s if it is omitted and not resolved.
    pub fn gap_s(&self) -> Seconds {
        self.gap_s.unwrap_or(GAP_S)
    }

    /// Merges two TOML tables of this form; values of `upper` replace those of `lower`, separately for each category.
    /// An `on` in `upper` also discards the `off` of `lower`, which was chosen for another `on`.
    pub fn merge_tables(lower: &mut Table, mut upper: Table) {
        let categories = upper.remove("category");
        merge_settings(lower, upper);
        match (lower.get_mut("category"), categories) {
            (Some(Value::Table(lower)), Some(Value::Table(upper))) => {
                for (name, own) in upper {
                    match (lower.get_mut(&name), own) {
                        (Some(Value::Table(lower)), Value::Table(own)) => merge_settings(lower, own),
                        (_, own) => drop(lower.insert(name, own)),
                    }
                }
            }
            (_, Some(categories)) => drop(lower.insert("category".into(), categories)),
            (_, None) => {}
        }
    }

    /// Returns the settings of a category, or of those without their own.
    pub(super) fn thresholds(&self, own: Option<CategorySpec>) -> Thresholds {
        let common = self.common_thresholds();
        own.map_or(common, |own| own.with_defaults(common))
    }

    fn common_thresholds(&self) -> Thresholds {
        let &Self { smoothing_s, off, min_length_s, cool_down_s, .. } = self;
        // Before the number of categories is known, `off` may be up to the highest default.
        let on = self.on.unwrap_or(1.0);
        Thresholds { smoothing_s, on, off: off.unwrap_or(on * OFF_SHARE), min_length_s, cool_down_s }
    }
}

impl CategorySpec {
    /// Fills in omitted values from the settings of all categories.
    fn with_defaults(self, common: Thresholds) -> Thresholds {
        Thresholds {
            smoothing_s: self.smoothing_s.unwrap_or(common.smoothing_s),
            on: self.on.unwrap_or(common.on),
            off: self.off.unwrap_or(self.on.map_or(common.off, |on| on * OFF_SHARE)),
            min_length_s: self.min_length_s.unwrap_or(common.min_length_s),
            cool_down_s: self.cool_down_s.unwrap_or(common.cool_down_s),
        }
    }
}

impl From<Thresholds> for CategorySpec {
    fn from(from: Thresholds) -> Self {
        Self {
            smoothing_s: Some(from.smoothing_s),
            on: Some(from.on),
            off: Some(from.off),
            min_length_s: Some(from.min_length_s),
            cool_down_s: Some(from.cool_down_s),
        }
    }
}

impl Thresholds {
    fn check(&self) -> Result<()> {
        check_range("on", self.on, 0.0..=1.0, "a confidence")?;
        check_range("off", self.off, 0.0..=1.0, "a confidence")?;
        if self.off > self.on {
            let problem = format!("{} is above on, {}", self.off, self.on);
            return Err(Error::setting("off", problem, "give at most the value of on: an event ends at a lower level"));
        }
        check_seconds("smoothing_s", self.smoothing_s)?;
        check_seconds("min_length_s", self.min_length_s)?;
        check_seconds("cool_down_s", self.cool_down_s)
    }
}

/// Returns the key of a category's settings. Control characters and quotes in the name are escaped, and a very long
/// name is truncated.
pub(super) fn category_key(name: &str) -> String {
    format!("category.\"{}\"", shortened(name))
}

/// Returns a name for messages, escaped and at most 200 characters long.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(200).collect::<String>().escape_debug().to_string()
}

fn merge_settings(lower: &mut Table, upper: Table) {
    if upper.contains_key("on") {
        lower.remove("off");
    }
    lower.extend(upper);
}

fn check_seconds(key: &str, seconds: Seconds) -> Result<()> {
    check_range(key, seconds, 0.0..=MAX_SECONDS, "seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> EventSpec {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_category_overrides_the_section_and_the_section_the_defaults() {
        let spec = parsed("on = 0.5\ncool_down_s = 7\n[category.cooking]\non = 0.8\nmin_length_s = 3\n");
        let spec = spec.resolve(Scoring::Share, 77, 0.5).unwrap();
        let cooking = spec.thresholds(spec.category.get("cooking").copied());
        assert_eq!((cooking.on, cooking.off, cooking.min_length_s, cooking.cool_down_s), (0.8, 0.8 * 0.7, 3.0, 7.0));
        assert_eq!((spec.thresholds(None).on, spec.thresholds(None).off, spec.gap_s()), (0.5, 0.35, 10.0));
    }

    #[test]
    fn omitted_values_have_their_documented_defaults() {
        let spec = parsed("").resolve(Scoring::Share, 77, 0.5).unwrap();
        assert_eq!((spec.on, spec.off, spec.gap_s), (Some(0.28), Some(0.196), Some(10.0)));
        assert_eq!(parsed("").resolve(Scoring::Independent, 14, 0.5).unwrap().on, Some(0.5));
        assert_eq!(parsed("").resolve(Scoring::Share, 77, 3.0).unwrap().gap_s, Some(12.0));
        let on = |categories| EventSpec::default_on(Scoring::Share, categories);
        assert!((on(14) - 0.694).abs() < 1e-3 && (on(2) - 0.967).abs() < 1e-3);
        assert_eq!((on(77), on(400), on(1)), (0.28, 0.28, 1.0));
        assert_eq!(parsed(""), EventSpec::default());
    }

    #[test]
    fn an_upper_table_wins_and_its_on_discards_the_lower_off() {
        let table = |text: &str| toml::from_str::<Table>(text).unwrap();
        let mut merged = table("on = 0.5\noff = 0.1\n[category.cooking]\non = 0.8\noff = 0.4\n");
        EventSpec::merge_tables(&mut merged, table("on = 0.7\n[category.cooking]\nmin_length_s = 1\n"));
        EventSpec::merge_tables(&mut merged, table("[category.dancing]\noff = 0.2\n"));
        let spec = EventSpec::deserialize(merged).unwrap().resolve(Scoring::Share, 77, 0.5).unwrap();
        assert_eq!((spec.on, spec.off), (Some(0.7), Some(0.7 * 0.7)));
        let cooking = spec.thresholds(spec.category.get("cooking").copied());
        assert_eq!((cooking.on, cooking.off, cooking.min_length_s), (0.8, 0.4, 1.0));
        let dancing = spec.thresholds(spec.category.get("dancing").copied());
        assert_eq!((dancing.on, dancing.off), (0.7, 0.2));
    }

    #[test]
    fn values_out_of_range_and_unknown_keys_are_refused_by_name() {
        for (text, expected) in [
            ("on = 1.5", "on: 1.5 is out of range"),
            ("on = nan", "on: NaN is out of range"),
            ("on = 0.2\noff = 0.3", "off: 0.3 is above on, 0.2"),
            ("smoothing_s = -1", "smoothing_s: -1 is out of range"),
            ("update_s = 1e9", "update_s: 1000000000 is out of range"),
            ("gap_s = 0.5", "gap_s: 0.5 is not above the longest stride"),
            ("[category.\"a cat\"]\ncool_down_s = inf", "category.\"a cat\".cool_down_s: inf is out of range"),
        ] {
            let problem = parsed(text).resolve(Scoring::Share, 77, 0.5).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
        assert!(toml::from_str::<EventSpec>("onn = 0.5").is_err());
        assert!(toml::from_str::<EventSpec>("[category.cooking]\ngap_s = 1").is_err());
    }
}
