//! Tracks the confidence of every category over time and reports events.

use super::event::{EventId, EventKind, EventReport, SalientFrame};
use super::spec::{EventSpec, Thresholds, category_key, shortened};
use crate::error::{Error, Result};
use crate::picture::Rect;
use crate::recognition::{
    Attribute, FrameStamp, MAX_ATTRIBUTES, MAX_WINDOW, Scores, Scoring, find_name, similar_names,
};
use crate::units::{Seconds, TIME_TOLERANCE_S};

/// The maximum number of events that are open at the same time. If more categories exceed their thresholds, the least
/// confident wait, and are counted.
pub const MAX_OPEN: usize = 16;

/// The observation of a step.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// The scores of the window.
    Scores(&'a Scores),
    /// A dark or flat picture without visible content: all confidences count as 0.
    NothingVisible,
}

/// How the start and the end of an event are found within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundaryRule {
    /// By saliency: frames at the ends of the window that together have less than a tenth of the saliency lie outside
    /// the event. For models that weight frames by category.
    Saliency,
    /// The middle of the window. For models whose frames all count the same: when such a window passes the threshold,
    /// about half of it shows the category.
    Middle,
}

/// The share of the saliency that may lie before an event's start, and after its end. On concatenated real clips this
/// rule gave an F1 of .38; the rule "frames with at least half the saliency of the best one" gave .32, each with the best
/// of many settings.
const MAX_SHARE_OUTSIDE: f32 = 0.1;

/// The categories whose confidences a [`Tracker`] gets.
#[derive(Clone, Copy, Debug)]
pub struct TrackedCategories<'a> {
    /// Their names, in the order of all scores.
    pub names: &'a [String],
    /// Indices of those that mean "nothing of interest". They never start an event.
    pub background: &'a [usize],
    /// What confidences are compared with. If they are shares, an event ends when the background's levels together exceed
    /// its own; independent confidences are already compared with the background.
    pub scoring: Scoring,
}

/// Turns scores into events. Allocates nothing after construction.
#[derive(Debug)]
pub struct Tracker {
    camera: String,
    scoring: Scoring,
    boundary_rule: BoundaryRule,
    names: Vec<String>,
    update_s: Seconds,
    gap_s: Seconds,
    tracks: Vec<Track>,
    open: heapless::Vec<OpenEvent, MAX_OPEN>,
    /// The part of the picture that is analysed.
    region: Option<Rect>,
    /// The newest step.
    last: Option<FrameStamp>,
    reports: heapless::Vec<EventReport, { 2 * MAX_OPEN }>,
    not_opened: u64,
}

/// The state of a category.
#[derive(Debug)]
struct Track {
    thresholds: Thresholds,
    is_background: bool,
    level: f32,
    /// The end of the cool-down: no event starts before.
    cool_until: Seconds,
}

/// An event that has started and not ended.
#[derive(Debug)]
struct OpenEvent {
    category: usize,
    /// `None` until the event has lasted long enough to be reported.
    id: Option<EventId>,
    /// When the level reached `on`.
    reached_on: Seconds,
    start: Seconds,
    /// The last frame that showed the category: the end, if the event ended now.
    last_shown: Seconds,
    last_reported: Seconds,
    confidence_sum: f64,
    steps: u64,
    peak: f32,
    peak_at: FrameStamp,
    saliency: heapless::Vec<SalientFrame, MAX_WINDOW>,
    attributes: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
    region: Option<Rect>,
}

impl Tracker {
    /// Creates a tracker for one camera. `camera` is the camera's name, which becomes part of every event id.
    ///
    /// # Errors
    /// [`Error::Setting`] for a value out of range, or settings of a category that is not scored.
    pub fn new(
        spec: &EventSpec,
        categories: &TrackedCategories<'_>,
        camera: &str,
        boundary_rule: BoundaryRule,
    ) -> Result<Self> {
        spec.check()?;
        let names = categories.names;
        let mut own = vec![None; names.len()];
        for (name, settings) in &spec.category {
            let category = find_name(name, names).ok_or_else(|| unknown_category(&category_key(name), name, names))?;
            own[category] = Some(*settings);
        }
        let tracks = own.into_iter().enumerate().map(|(category, own)| Track {
            thresholds: spec.thresholds(own),
            is_background: categories.background.contains(&category),
            level: 0.0,
            cool_until: f64::NEG_INFINITY,
        });
        Ok(Self {
            camera: camera.into(),
            scoring: categories.scoring,
            boundary_rule,
            tracks: tracks.collect(),
            names: names.to_vec(),
            update_s: spec.update_s,
            gap_s: spec.gap_s(),
            open: heapless::Vec::new(),
            region: None,
            last: None,
            reports: heapless::Vec::new(),
            not_opened: 0,
        })
    }

    /// Sets the part of the upright picture that the following steps analyse; `None` for all of it.
    pub fn set_region(&mut self, region: Option<Rect>) {
        self.region = region;
    }

    /// Processes one step and returns its reports, ended events first. Steps must come in the order of their times; a
    /// step out of order is treated as if no time had passed.
    pub fn step(&mut self, stamp: FrameStamp, observation: Observation<'_>) -> &[EventReport] {
        self.reports.clear();
        if self.last.is_some_and(|last| stamp.time - last.time > self.gap_s) {
            self.end_all();
        }
        self.smooth(stamp, observation);
        self.last = Some(stamp);
        let background = self.background_level();
        self.continue_open(stamp, observation, background);
        if let Observation::Scores(scores) = observation {
            self.open_new(stamp, scores, background);
        }
        self.report_open(stamp);
        &self.reports
    }

    /// Ends all open events, because the stream ended or was interrupted, and returns their reports. A later step
    /// starts with a clean state.
    pub fn finish(&mut self) -> &[EventReport] {
        self.reports.clear();
        self.end_all();
        &self.reports
    }

    /// Returns the reports of the newest call of [`Tracker::step`] or [`Tracker::finish`].
    pub fn reports(&self) -> &[EventReport] {
        &self.reports
    }

    /// Returns the camera's name, which is part of every event id.
    pub fn camera(&self) -> &str {
        &self.camera
    }

    /// Returns the names of the categories.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the level of a category that is compared with the thresholds: the smoothed confidence, or 0 if the
    /// background is stronger or the category belongs to it.
    pub fn level(&self, category: usize) -> f32 {
        let track = self.tracks.get(category).filter(|track| !track.is_background);
        let background = self.background_level();
        track.map(|track| track.level).filter(|level| *level > background).unwrap_or(0.0)
    }

    /// Returns the number of open events that have been reported.
    pub fn open_events(&self) -> usize {
        self.open.iter().filter(|open| open.id.is_some()).count()
    }

    /// Returns how often an event was not opened because [`MAX_OPEN`] events were open.
    pub fn not_opened(&self) -> u64 {
        self.not_opened
    }

    fn end_all(&mut self) {
        if let Some(last) = self.last.take() {
            while !self.open.is_empty() {
                self.end(0, last);
            }
        }
    }

    /// Returns the sum of the background categories' levels; 0 if they are already part of every confidence.
    fn background_level(&self) -> f32 {
        if self.scoring == Scoring::Independent {
            return 0.0;
        }
        self.tracks.iter().filter(|track| track.is_background).map(|track| track.level).sum()
    }

    fn smooth(&mut self, stamp: FrameStamp, observation: Observation<'_>) {
        let elapsed = self.last.map(|last| (stamp.time - last.time).max(0.0));
        // Most categories have the same time constant, so the weight of the previous one is reused.
        let mut cached = (f64::NAN, 1.0);
        for (k, track) in self.tracks.iter_mut().enumerate() {
            let time_constant = track.thresholds.smoothing_s;
            if cached.0 != time_constant {
                let weight = match elapsed {
                    Some(elapsed) if time_constant > 0.0 => 1.0 - (-elapsed / time_constant).exp(),
                    _ => 1.0,
                };
                cached = (time_constant, weight as f32);
            }
            track.level += cached.1 * (observation.confidence(k) - track.level);
        }
    }

    /// Updates the open events, and ends those whose level is too low.
    fn continue_open(&mut self, stamp: FrameStamp, observation: Observation<'_>, background: f32) {
        let mut at = 0;
        while let Some(open) = self.open.get_mut(at) {
            let track = &self.tracks[open.category];
            let ended = track.level < track.thresholds.off || track.level <= background;
            if ended {
                self.end(at, stamp);
                continue;
            }
            open.update(stamp, track, observation, self.boundary_rule, self.region);
            at += 1;
        }
    }

    /// Opens events of the categories whose level has reached `on`.
    ///
    /// If there is not enough room, the least confident wait, also those that are open but not reported yet.
    fn open_new(&mut self, stamp: FrameStamp, scores: &Scores, background: f32) {
        loop {
            let open = &self.open;
            let candidates = self.tracks.iter().enumerate().filter(|(k, track)| {
                let reached_on = track.level >= track.thresholds.on && track.level > background && track.level > 0.0;
                let may_start = !track.is_background && reached_on && stamp.time >= track.cool_until;
                may_start && open.iter().all(|open| open.category != *k)
            });
            let best = candidates.reduce(|best, other| if other.1.level > best.1.level { other } else { best });
            let Some((k, track)) = best else { return };
            if self.open.is_full() && !self.make_room(track.level) {
                self.not_opened += 1;
                return;
            }
            let track = &self.tracks[k];
            let start = self.boundary_rule.first(scores, k).unwrap_or(stamp.time).max(track.cool_until);
            let mut open = OpenEvent {
                category: k,
                id: None,
                reached_on: stamp.time,
                start,
                last_shown: start,
                last_reported: stamp.time,
                confidence_sum: 0.0,
                steps: 0,
                peak: f32::NEG_INFINITY,
                peak_at: stamp,
                saliency: heapless::Vec::new(),
                attributes: heapless::Vec::new(),
                region: None,
            };
            open.update(stamp, track, Observation::Scores(scores), self.boundary_rule, self.region);
            // The push succeeds, because there is room.
            let _ = self.open.push(open);
        }
    }

    /// Removes the least confident event that has not been reported, if its level is below `level`. It waits, as those do
    /// that were not opened.
    fn make_room(&mut self, level: f32) -> bool {
        let waiting = self.open.iter().enumerate().filter(|(_, open)| open.id.is_none());
        let levels = waiting.map(|(at, open)| (at, self.tracks[open.category].level));
        match levels.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            Some((at, lowest)) if lowest < level => {
                self.open.remove(at);
                self.not_opened += 1;
                true
            }
            _ => false,
        }
    }

    /// Reports the events that have lasted long enough as new, and reported events as updated when an update is due.
    fn report_open(&mut self, stamp: FrameStamp) {
        for open in &mut self.open {
            let kind = if open.id.is_none() {
                let min_length_s = self.tracks[open.category].thresholds.min_length_s;
                // Both the time above the threshold and the length by the event's own dates, which never shrinks.
                let lasted = (stamp.time - open.reached_on).min(open.last_shown - open.start);
                if lasted < min_length_s - TIME_TOLERANCE_S {
                    continue;
                }
                open.id = Some(EventId::new(&self.camera, open.start, &self.names[open.category]));
                EventKind::New
            } else if self.update_s > 0.0 && stamp.time - open.last_reported >= self.update_s - TIME_TOLERANCE_S {
                EventKind::Update
            } else {
                continue;
            };
            open.last_reported = stamp.time;
            if let Some(event) = open.report(kind, stamp, None) {
                // The push succeeds: in one step an event is reported at most once here and at most MAX_OPEN others
                // end.
                let _ = self.reports.push(event);
            }
        }
    }

    /// Ends the open event at an index of the list.
    fn end(&mut self, at: usize, stamp: FrameStamp) {
        let open = self.open.remove(at);
        let end = open.last_shown.max(open.start);
        if let Some(event) = open.report(EventKind::End, stamp, Some(end)) {
            let track = &mut self.tracks[open.category];
            track.cool_until = end + track.thresholds.cool_down_s;
            // The push succeeds, as in `report_open`.
            let _ = self.reports.push(event);
        }
    }
}

impl Observation<'_> {
    fn confidence(&self, category: usize) -> f32 {
        match self {
            Self::Scores(scores) => scores.confidence.get(category).copied().unwrap_or(0.0),
            Self::NothingVisible => 0.0,
        }
    }
}

impl OpenEvent {
    /// Adds a step at which the event is still open.
    fn update(
        &mut self,
        stamp: FrameStamp,
        track: &Track,
        observation: Observation<'_>,
        boundary_rule: BoundaryRule,
        region: Option<Rect>,
    ) {
        let confidence = observation.confidence(self.category);
        self.confidence_sum += f64::from(confidence);
        self.steps += 1;
        let Observation::Scores(scores) = observation else { return };
        // The weights of a window add up to 1 however little of the category is left in it. So a window shows when the
        // category was last visible only if its own confidence would keep the event open without the smoothing of
        // earlier windows. The median error of ends is then 0.02 s on concatenated real clips. Taking the last window, or
        // its newest frame, gave 3.9 s and was rejected.
        if confidence >= track.thresholds.off {
            let last = boundary_rule.last(scores, self.category).unwrap_or(stamp.time);
            self.last_shown = self.last_shown.max(last);
        }
        if track.level > self.peak {
            (self.peak, self.peak_at, self.region) = (track.level, stamp, region);
            let weights = scores.saliency.row(self.category);
            let frames = scores.frames.iter().zip(weights);
            self.saliency.clear();
            self.saliency.extend(frames.map(|(&frame, &weight)| SalientFrame { frame, weight }));
            self.attributes.clone_from(&scores.attributes);
        }
    }

    /// Returns a report, or `None` if the event has not been reported as new and so has no id.
    fn report(&self, kind: EventKind, stamp: FrameStamp, end: Option<Seconds>) -> Option<EventReport> {
        Some(EventReport {
            kind,
            id: self.id?,
            category: self.category,
            stamp,
            start: self.start,
            end,
            confidence: (self.confidence_sum / self.steps.max(1) as f64) as f32,
            peak: self.peak,
            peak_at: self.peak_at,
            saliency: self.saliency.clone(),
            attributes: self.attributes.clone(),
            region: self.region,
        })
    }
}

impl BoundaryRule {
    /// Returns the time of the first frame of the window that belongs to the event.
    fn first(self, scores: &Scores, category: usize) -> Option<Seconds> {
        let indices = 0..scores.frames.len();
        self.boundary(scores, category, indices)
    }

    /// Returns the time of the last frame of the window that belongs to the event.
    fn last(self, scores: &Scores, category: usize) -> Option<Seconds> {
        let indices = (0..scores.frames.len()).rev();
        self.boundary(scores, category, indices)
    }

    fn boundary(self, scores: &Scores, category: usize, mut indices: impl Iterator<Item = usize>) -> Option<Seconds> {
        let (oldest, newest) = (scores.frames.first()?.time, scores.frames.last()?.time);
        let weights = scores.saliency.row(category);
        let mut share = 0.0;
        let mut is_inside = |index: &usize| {
            share += weights[*index];
            share > MAX_SHARE_OUTSIDE
        };
        match self {
            Self::Middle => Some((oldest + newest) / 2.0),
            Self::Saliency => scores.frames.get(indices.find(&mut is_inside)?).map(|frame| frame.time),
        }
    }
}

fn unknown_category(key: &str, name: &str, names: &[String]) -> Error {
    let near = similar_names(name, names.iter().map(String::as_str));
    let near: Vec<String> = near.iter().map(|near| format!("\"{near}\"")).collect();
    let remedy = match near.is_empty() {
        true => "name categories that the model chooses among".to_owned(),
        false => format!("nearest: {}", near.join(", ")),
    };
    Error::setting(key, format!("\"{}\" is not among the categories", shortened(name)), remedy)
}
