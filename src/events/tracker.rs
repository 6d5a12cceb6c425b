//! Follows every category's confidence over time.

use super::event::{Event, EventId, EventKind, Salient};
use super::spec::{CategorySpec, EventSpec};
use crate::error::{Error, Result};
use crate::recognition::{Attribute, FrameStamp, MAX_ATTRIBUTES, MAX_WINDOW, Scores, nearest};
use crate::source::Seconds;

/// Events that can go on at one time; softmaxed confidences leave room for few above any useful threshold. What
/// would be one more is not opened, and counted.
pub const MAX_OPEN: usize = 16;

/// What a step saw.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Scores of the window.
    Scores(&'a Scores),
    /// Nothing: the picture is dark or flat. All confidences count as 0.
    Nothing,
}

/// How a window tells when its category began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    /// By its saliency: frames at its ends that together hold next to none of the evidence are not part of it.
    Salient,
    /// All frames count the same, so that nothing is known but that the window was half full of it.
    Middle,
}

/// The share of the evidence that may lie before an event's start, and after its end. (Measured against taking the
/// frames that hold half of what the best one holds: F1 .38 instead of .32, each at the best settings of a grid.)
const BEYOND: f32 = 0.1;

/// An event that is this much short of its time is told, as the difference of two times is never exact.
const TOLERANCE_S: Seconds = 0.0005;

/// Scores in, events out. After construction nothing is allocated.
pub struct Tracker {
    camera: String,
    edges: Edges,
    names: Vec<String>,
    update_s: Seconds,
    gap_s: Seconds,
    tracks: Vec<Track>,
    open: heapless::Vec<Open, MAX_OPEN>,
    /// The newest step.
    last: Option<FrameStamp>,
    told: heapless::Vec<Event, { 2 * MAX_OPEN }>,
    not_opened: u64,
}

/// A category.
struct Track {
    spec: CategorySpec,
    background: bool,
    smoothed: f32,
    /// No event begins before.
    quiet_until: Seconds,
}

/// An event that goes on.
struct Open {
    category: usize,
    /// `None` until it has lasted long enough to be told.
    id: Option<EventId>,
    /// When its confidence came over `on`.
    risen: Seconds,
    start: Seconds,
    /// The last frame that showed it, as far as is known: when it would have ended.
    shown: Seconds,
    /// When it was last told.
    told: Seconds,
    sum: f64,
    steps: u64,
    peak: f32,
    peak_at: FrameStamp,
    saliency: heapless::Vec<Salient, MAX_WINDOW>,
    attributes: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
}

impl Tracker {
    /// Follows the categories `names`, in the order of all scores, for one camera, whose id-giving name is `camera`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of its range, or a category that is not among `names`.
    pub fn new(spec: &EventSpec, names: &[String], camera: &str, edges: Edges) -> Result<Self> {
        spec.check()?;
        for name in spec.categories.keys().chain(&spec.background) {
            if !names.contains(name) {
                return Err(unknown(name, names));
            }
        }
        let tracks = names.iter().map(|name| Track {
            spec: spec.of(name),
            background: spec.background.contains(name),
            smoothed: 0.0,
            quiet_until: f64::NEG_INFINITY,
        });
        Ok(Self {
            camera: camera.into(),
            edges,
            tracks: tracks.collect(),
            names: names.to_vec(),
            update_s: spec.update_s,
            gap_s: spec.gap_s,
            open: heapless::Vec::new(),
            last: None,
            told: heapless::Vec::new(),
            not_opened: 0,
        })
    }

    /// Takes one step and returns what is to be told of it, ends first. Steps come in the order
    /// of their times; one that does not is taken as if no time had passed.
    pub fn step(&mut self, stamp: FrameStamp, seen: Seen<'_>) -> &[Event] {
        self.told.clear();
        if self.last.is_some_and(|last| stamp.time - last.time > self.gap_s) {
            self.break_off();
        }
        self.smooth(stamp, seen);
        self.last = Some(stamp);
        let background = self.background();
        self.go_on(stamp, seen, background);
        if let Seen::Scores(scores) = seen {
            self.begin(stamp, scores, background);
        }
        self.tell(stamp);
        &self.told
    }

    /// Ends what goes on: the stream is over, or was broken off. What comes then is a new beginning.
    pub fn finish(&mut self) -> &[Event] {
        self.told.clear();
        self.break_off();
        &self.told
    }

    /// The camera's name, a part of every id.
    pub fn camera(&self) -> &str {
        &self.camera
    }

    /// Names of the categories.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The confidence that an event of the category would need to be judged by now: the smoothed one, or 0 where the
    /// background is stronger or it is a part of that.
    pub fn level(&self, category: usize) -> f32 {
        let track = self.tracks.get(category).filter(|track| !track.background);
        let background = self.background();
        track.map(|track| track.smoothed).filter(|smoothed| *smoothed > background).unwrap_or(0.0)
    }

    /// Events that go on and have been told.
    pub fn open(&self) -> usize {
        self.open.iter().filter(|open| open.id.is_some()).count()
    }

    /// How often an event was not opened because [`MAX_OPEN`] went on.
    pub fn not_opened(&self) -> u64 {
        self.not_opened
    }

    fn break_off(&mut self) {
        if let Some(last) = self.last.take() {
            while !self.open.is_empty() {
                self.end(0, last);
            }
        }
    }

    /// Smoothed confidence of the background group together.
    fn background(&self) -> f32 {
        self.tracks.iter().filter(|track| track.background).map(|track| track.smoothed).sum()
    }

    fn smooth(&mut self, stamp: FrameStamp, seen: Seen<'_>) {
        let passed = self.last.map(|last| (stamp.time - last.time).max(0.0));
        let mut known = (f64::NAN, 1.0);
        for (k, track) in self.tracks.iter_mut().enumerate() {
            let time_constant = track.spec.smoothing_s;
            // Most categories share one: its share is worked out once.
            if known.0 != time_constant {
                let share = match passed {
                    Some(passed) if time_constant > 0.0 => 1.0 - (-passed / time_constant).exp(),
                    _ => 1.0,
                };
                known = (time_constant, share as f32);
            }
            track.smoothed += known.1 * (seen.confidence(k) - track.smoothed);
        }
    }

    /// What becomes of the open events.
    fn go_on(&mut self, stamp: FrameStamp, seen: Seen<'_>, background: f32) {
        let mut at = 0;
        while let Some(open) = self.open.get_mut(at) {
            let track = &self.tracks[open.category];
            let over = track.smoothed < track.spec.off || track.smoothed <= background;
            if over {
                self.end(at, stamp);
                continue;
            }
            open.see(stamp, track, seen, self.edges);
            at += 1;
        }
    }

    /// Opens events of categories that have come over their threshold.
    fn begin(&mut self, stamp: FrameStamp, scores: &Scores, background: f32) {
        for (k, track) in self.tracks.iter().enumerate() {
            let risen = track.smoothed >= track.spec.on && track.smoothed > background && track.smoothed > 0.0;
            if track.background || !risen || stamp.time < track.quiet_until {
                continue;
            }
            if self.open.iter().any(|open| open.category == k) {
                continue;
            }
            let start = self.edges.first(scores, k).unwrap_or(stamp.time).max(track.quiet_until);
            let mut open = Open {
                category: k,
                id: None,
                risen: stamp.time,
                start,
                shown: start,
                told: stamp.time,
                sum: 0.0,
                steps: 0,
                peak: f32::NEG_INFINITY,
                peak_at: stamp,
                saliency: heapless::Vec::new(),
                attributes: heapless::Vec::new(),
            };
            open.see(stamp, track, Seen::Scores(scores), self.edges);
            if self.open.push(open).is_err() {
                self.not_opened += 1;
            }
        }
    }

    /// Tells events that have lasted long enough, and those that go on.
    fn tell(&mut self, stamp: FrameStamp) {
        for open in &mut self.open {
            let kind = if open.id.is_none() {
                if stamp.time - open.risen < self.tracks[open.category].spec.min_length_s - TOLERANCE_S {
                    continue;
                }
                open.id = Some(EventId::new(&self.camera, open.start, &self.names[open.category]));
                EventKind::New
            } else if self.update_s > 0.0 && stamp.time - open.told >= self.update_s - TOLERANCE_S {
                EventKind::Update
            } else {
                continue;
            };
            open.told = stamp.time;
            if let Some(event) = open.event(kind, stamp, None) {
                // There is room: an event is told once a step, when it ends or here.
                let _ = self.told.push(event);
            }
        }
    }

    /// Ends the open event at a place of the list.
    fn end(&mut self, at: usize, stamp: FrameStamp) {
        let open = self.open.remove(at);
        let end = open.shown.max(open.start);
        if let Some(event) = open.event(EventKind::End, stamp, Some(end)) {
            let track = &mut self.tracks[open.category];
            track.quiet_until = end + track.spec.cool_down_s;
            // There is room, as above.
            let _ = self.told.push(event);
        }
    }
}

impl Seen<'_> {
    fn confidence(&self, category: usize) -> f32 {
        match self {
            Self::Scores(scores) => scores.confidence.get(category).copied().unwrap_or(0.0),
            Self::Nothing => 0.0,
        }
    }
}

impl Open {
    /// Takes in a step that it is still going on at.
    fn see(&mut self, stamp: FrameStamp, track: &Track, seen: Seen<'_>, edges: Edges) {
        let confidence = seen.confidence(self.category);
        self.sum += f64::from(confidence);
        self.steps += 1;
        let Seen::Scores(scores) = seen else { return };
        // Shares of the evidence add up to 1 however little of it is left. So a window says when it was last shown only
        // where it would keep the event open by itself, not by the smoothing of earlier ones: the median error of ends
        // is then 0.02 s on glued real clips, where the last step's window alone, or its newest frame, gave 3.9 s.
        if confidence >= track.spec.off {
            let last = edges.last(scores, self.category).unwrap_or(stamp.time);
            self.shown = self.shown.max(last);
        }
        if track.smoothed > self.peak {
            (self.peak, self.peak_at) = (track.smoothed, stamp);
            let shares = scores.saliency.row(self.category);
            self.saliency.clear();
            self.saliency.extend(scores.frames.iter().zip(shares).map(|(&frame, &weight)| Salient { frame, weight }));
            self.attributes.clone_from(&scores.attributes);
        }
    }

    /// `None` where it has not been told yet and so has no id.
    fn event(&self, kind: EventKind, stamp: FrameStamp, end: Option<Seconds>) -> Option<Event> {
        Some(Event {
            kind,
            id: self.id?,
            category: self.category,
            stamp,
            start: self.start,
            end,
            confidence: (self.sum / self.steps.max(1) as f64) as f32,
            peak: self.peak,
            peak_at: self.peak_at,
            saliency: self.saliency.clone(),
            attributes: self.attributes.clone(),
        })
    }
}

impl Edges {
    /// The first frame of the window that shows the category.
    fn first(self, scores: &Scores, category: usize) -> Option<Seconds> {
        let places = 0..scores.frames.len();
        self.edge(scores, category, places)
    }

    /// The last one.
    fn last(self, scores: &Scores, category: usize) -> Option<Seconds> {
        let places = (0..scores.frames.len()).rev();
        self.edge(scores, category, places)
    }

    fn edge(self, scores: &Scores, category: usize, mut places: impl Iterator<Item = usize>) -> Option<Seconds> {
        let (oldest, newest) = (scores.frames.first()?.time, scores.frames.last()?.time);
        let shares = scores.saliency.row(category);
        let mut beyond = 0.0;
        let mut within = |place: &usize| {
            beyond += shares[*place];
            beyond > BEYOND
        };
        match self {
            Self::Middle => Some((oldest + newest) / 2.0),
            Self::Salient => scores.frames.get(places.find(&mut within)?).map(|frame| frame.time),
        }
    }
}

fn unknown(name: &str, names: &[String]) -> Error {
    let near = nearest(name, names.iter().map(String::as_str));
    let near: Vec<String> = near.iter().map(|near| format!("\"{near}\"")).collect();
    let remedy = if near.is_empty() { String::new() } else { format!("; nearest: {}", near.join(", ")) };
    let name: String = name.chars().take(200).collect();
    Error::Usage(format!("events: \"{}\" is not among the categories{remedy}", name.escape_debug()))
}
