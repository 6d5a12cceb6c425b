//! Finds event thresholds from labelled clips.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::labels::LabelledClip;
use crate::error::{Error, Result};
use crate::pipeline::{
    Engine, FrameSelection, GateSpec, Observer, Session, SessionSpec, StreamRunner, StreamSource, Update, drive,
};
use crate::source::{SourceOptions, open_stream};
use crate::units::Seconds;

/// Minimum and maximum of a threshold.
const BOUNDS: (f32, f32) = (0.05, 0.95);

/// How thresholds are found.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// The settings of the stream; its gate is off and its selection ends with `max_clip_s`.
    pub session: SessionSpec,
    /// How clips are opened.
    pub source: SourceOptions,
    /// Seconds after which a clip is truncated.
    pub max_clip_s: Seconds,
    /// Minimum number of clips that must show a category before it gets its own threshold.
    pub min_positives: usize,
}

/// A clip's highest levels.
#[derive(Clone, Debug)]
pub struct ClipLevels {
    /// The highest level that each category reached, `[K]`.
    pub levels: Vec<f32>,
    /// Numbers of the categories that the clip shows.
    pub categories: Vec<usize>,
}

/// Returns the highest level that each category reaches in a clip.
///
/// # Errors
/// A clip that cannot be read or has no frames, a setting that does not fit, or a network that fails.
pub fn clip_levels(engine: &mut Engine, clip: &LabelledClip, calibration: &Calibration) -> Result<ClipLevels> {
    let spec = SessionSpec {
        gate: GateSpec { enabled: false, ..GateSpec::default() },
        selection: FrameSelection::StrideUntil(calibration.max_clip_s),
        ..calibration.session.clone()
    };
    let session = Session::new(engine, &spec)?;
    let stream = open_stream(clip.path.as_os_str(), &calibration.source)?;
    let mut highest = HighestLevels(vec![0.0; engine.categories().len()]);
    let mut runner = StreamRunner::new(session, StreamSource::Recorded(stream));
    drive(&mut runner, engine, &mut highest)?;
    match runner.session().steps() {
        0 => Err(Error::input(clip.path.display().to_string(), "no frame can be decoded")),
        _ => Ok(ClipLevels { levels: highest.0, categories: clip.categories.clone() }),
    }
}

struct HighestLevels(Vec<f32>);

impl Observer for HighestLevels {
    fn update(&mut self, update: Update<'_>) -> Result<()> {
        if let Update::Step { step, .. } = update {
            let levels = (0..).map(|category| step.level(category));
            self.0.iter_mut().zip(levels).for_each(|(highest, level)| *highest = highest.max(level));
        }
        Ok(())
    }
}

/// Returns the text of a thresholds file: one threshold for all categories, and one for each category that enough clips
/// show. `list` is named in its first line.
///
/// # Errors
/// [`Error::Input`] if no clip reaches any confidence in its category.
pub fn thresholds_file(
    engine: &Engine,
    clips: &[ClipLevels],
    calibration: &Calibration,
    list: &Path,
) -> Result<String> {
    let names = engine.categories();
    let events =
        calibration.session.events.resolve(engine.model.recognition.scoring, names.len(), engine.model.stride_s)?;
    let (mut all, mut per_category) = (Vec::new(), Vec::new());
    for category in (0..names.len()).filter(|category| !engine.background().contains(category)) {
        let sample =
            |clip: &ClipLevels| Sample { level: clip.levels[category], positive: clip.categories.contains(&category) };
        // For a clip with several categories one detected category is enough; the others are neither missed nor false.
        let counts = |clip: &&ClipLevels| !clip.categories.contains(&category) || is_best_of_its_own(clip, category);
        all.extend(clips.iter().filter(counts).map(sample));
        let samples: Vec<Sample> = clips.iter().map(sample).collect();
        if samples.iter().filter(|sample| sample.positive).count() >= calibration.min_positives.max(1) {
            per_category.extend(best_threshold(&samples).map(|best| (category, best)));
        }
    }
    let problem = "no clip of the list reaches any confidence in its category; list more clips, or other categories";
    let global = best_threshold(&all).ok_or_else(|| Error::input(list.display().to_string(), problem))?;
    let mut text = format!(
        "# Thresholds of events, made by `bike-edge calibrate` from {} clips of {}.\n# The best F1 over all categories: \
         {}\nsmoothing_s = {:?}\non = {:.4}\n",
        clips.len(),
        list.display().to_string().escape_debug(),
        describe(&global),
        events.smoothing_s,
        global.threshold
    );
    // Every JSON string is also a basic string of TOML, and every list of strings a list.
    let background: Vec<&String> = engine.background().iter().map(|at| &names[*at]).collect();
    let scoring = json(&engine.model.recognition.scoring)?;
    let (bundle, background) = (json(&engine.bundle.manifest.name)?, json(&background)?);
    let made_for = format!("\n[made_for]\nbundle = {bundle}\nscoring = {scoring}\nbackground = {background}\n");
    for (category, best) in per_category {
        let name = json(&names[category])?;
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# {}\n[category.{name}]\non = {:.4}\n", describe(&best), best.threshold);
    }
    Ok(text + &made_for)
}

/// Returns a value as JSON.
fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Internal(format!("JSON: {e}")))
}

/// Returns whether no other category of the clip reaches a higher level.
fn is_best_of_its_own(clip: &ClipLevels, category: usize) -> bool {
    clip.categories.iter().all(|other| (clip.levels[*other], category) <= (clip.levels[category], *other))
}

fn describe(best: &Threshold) -> String {
    format!("F1 {:.2}, {} of {} found, {} false", best.f1, best.hits, best.positives, best.false_alarms)
}

/// The highest level of a category in a clip, and whether the clip shows the category.
#[derive(Clone, Copy, Debug)]
struct Sample {
    level: f32,
    positive: bool,
}

/// A threshold, and its result on the samples that it was chosen from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Threshold {
    threshold: f32,
    f1: f64,
    hits: usize,
    positives: usize,
    false_alarms: usize,
}

/// Returns the threshold of the highest F1, halfway between the samples next to it; of equal ones the highest. `None`
/// if no positive sample reaches a threshold within the bounds.
fn best_threshold(samples: &[Sample]) -> Option<Threshold> {
    let positives = samples.iter().filter(|sample| sample.positive).count();
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| b.level.total_cmp(&a.level));
    let (mut hits, mut false_alarms) = (0, 0);
    let mut found: Option<Threshold> = None;
    for (at, sample) in sorted.iter().enumerate() {
        if sample.positive {
            hits += 1;
        } else {
            false_alarms += 1;
        }
        let below = sorted.get(at + 1).map_or(0.0, |next| next.level);
        // A threshold lies between two levels that differ.
        if below >= sample.level || sample.level < BOUNDS.0 {
            continue;
        }
        let f1 = 2.0 * hits as f64 / (positives + hits + false_alarms) as f64;
        if hits > 0 && found.is_none_or(|best| f1 > best.f1) {
            let threshold = f32::midpoint(sample.level, below).clamp(BOUNDS.0, BOUNDS.1).min(sample.level);
            found = Some(Threshold { threshold, f1, hits, positives, false_alarms });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(positive: &[f32], negative: &[f32]) -> Vec<Sample> {
        let sample = |positive| move |&level: &f32| Sample { level, positive };
        positive.iter().map(sample(true)).chain(negative.iter().map(sample(false))).collect()
    }

    #[test]
    fn separable_levels_are_split_in_the_middle() {
        let best = best_threshold(&samples(&[0.9, 0.7], &[0.3, 0.1])).unwrap();
        assert_eq!((best.threshold, best.f1, best.hits, best.false_alarms), (0.5, 1.0, 2, 0));
    }

    #[test]
    fn a_false_alarm_is_accepted_if_it_brings_more_hits() {
        let best = best_threshold(&samples(&[0.9, 0.6, 0.5], &[0.8, 0.2])).unwrap();
        assert_eq!((best.hits, best.false_alarms), (3, 1));
        assert!((best.threshold - 0.35).abs() < 1e-6);
    }

    #[test]
    fn thresholds_stay_within_bounds_and_need_positives() {
        assert_eq!(best_threshold(&samples(&[], &[0.9])), None);
        assert_eq!(best_threshold(&samples(&[0.0, 0.01], &[0.9])), None);
        assert_eq!(best_threshold(&[]), None);
        assert_eq!(best_threshold(&samples(&[0.99], &[])).unwrap().threshold, 0.495);
        assert_eq!(best_threshold(&samples(&[0.06], &[])).unwrap().threshold, 0.05);
        assert_eq!(best_threshold(&samples(&[0.99], &[0.98])).unwrap().threshold, 0.95, "the bounds hold");
    }
}
