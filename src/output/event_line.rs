//! An event as a line of JSON, schema 1 (docs/events.md, docs/events.schema.json).

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::answer::{AttributeAnswer, SaliencyPoint};
use super::round::{brief, rounded};
use crate::events::{Event, EventId, EventKind};
use crate::source::Seconds;

/// A line of `watch` and `run`.
#[derive(Clone, Debug, Serialize)]
pub struct EventLine<'a> {
    /// Version of this form.
    pub schema: u32,
    /// What is told.
    pub event: EventKind,
    /// The same in all lines of one event.
    pub id: EventId,
    /// The camera's name.
    pub camera: &'a str,
    /// The clip, address or device, without credentials.
    pub input: &'a str,
    /// What goes on.
    pub category: &'a str,
    /// Stream time of the newest frame, seconds.
    pub t: Seconds,
    /// The newest frame, counted from 0.
    pub frame: u64,
    /// Stream time at which it began.
    pub start: Seconds,
    /// Stream time at which it ended; null while it goes on.
    pub end: Option<Seconds>,
    /// Mean confidence so far, 0..=1.
    pub confidence: f64,
    /// Highest smoothed confidence so far, 0..=1.
    pub peak: f64,
    /// Stream time of the peak.
    pub peak_t: Seconds,
    /// The window's frames at the peak; shares add up to 1.
    pub saliency: Vec<SaliencyPoint>,
    /// What the window showed at the peak, best first.
    pub attributes: Vec<AttributeAnswer>,
    /// By the clock of this machine; alone with `input` different in a replay.
    pub wall: Wall,
}

/// Times of day, UTC, RFC 3339.
#[derive(Clone, Debug, Serialize)]
pub struct Wall {
    /// When the line was made.
    pub written: String,
    /// When the event began; absent where the source is a recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// When it ended; absent while it goes on, and for recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

/// Where events come from, and what their numbers stand for.
#[derive(Clone, Copy, Debug)]
pub struct EventSource<'a> {
    /// The camera's name.
    pub camera: &'a str,
    /// The clip, address or device, without credentials.
    pub input: &'a str,
    /// Names of the categories.
    pub categories: &'a [String],
    /// Phrases of the lexicon; empty where there is none.
    pub phrases: &'a [String],
}

impl<'a> EventLine<'a> {
    /// Version of the form.
    pub const SCHEMA: u32 = 1;

    /// The line of an event. `captured` is when the event's newest frame was taken, for live sources.
    pub fn new(event: &Event, source: EventSource<'a>, captured: Option<SystemTime>) -> Self {
        let time_of_day = |t: Seconds| {
            let ago = Duration::try_from_secs_f64(event.stamp.time - t).unwrap_or_default();
            captured.and_then(|captured| captured.checked_sub(ago)).map(shown)
        };
        let name = |names: &'a [String], at: usize| names.get(at).map_or("", String::as_str);
        Self {
            schema: Self::SCHEMA,
            event: event.kind,
            id: event.id,
            camera: source.camera,
            input: source.input,
            category: name(source.categories, event.category),
            t: rounded(event.stamp.time),
            frame: event.stamp.index,
            start: rounded(event.start),
            end: event.end.map(rounded),
            confidence: brief(event.confidence),
            peak: brief(event.peak),
            peak_t: rounded(event.peak_at.time),
            saliency: event
                .saliency
                .iter()
                .map(|s| SaliencyPoint { t: rounded(s.frame.time), frame: s.frame.index, weight: brief(s.weight) })
                .collect(),
            attributes: event
                .attributes
                .iter()
                .map(|&(phrase, similarity)| AttributeAnswer {
                    phrase: name(source.phrases, phrase as usize).into(),
                    similarity: brief(similarity),
                })
                .collect(),
            wall: Wall {
                written: shown(SystemTime::now()),
                start: time_of_day(event.start),
                end: event.end.and_then(time_of_day),
            },
        }
    }
}

fn shown(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
