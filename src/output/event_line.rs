//! An event as a line of JSON, schema 1 (docs/events.md, docs/schemas/events.schema.json).

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::answer::{AttributeAnswer, SaliencyPoint};
use crate::events::{EventId, EventKind, EventReport};
use crate::health::{clock_is_synchronised, rfc3339};
use crate::picture::Rect;
use crate::units::Seconds;
use crate::units::{rounded_score, rounded_time};

/// A line of `watch` and `run`.
#[derive(Clone, Debug, Serialize)]
pub struct EventLine<'a> {
    /// The version of this format.
    pub schema: u32,
    /// Whether the event started, is still open or ended.
    pub event: EventKind,
    /// The id of the event, the same in all its lines.
    pub id: EventId,
    /// The camera's name.
    pub camera: &'a str,
    /// The clip, URL or device, without credentials.
    pub input: &'a str,
    /// The category of the event.
    pub category: &'a str,
    /// Stream time of the newest frame, seconds.
    pub t: Seconds,
    /// The number of the newest frame, from 0.
    pub frame: u64,
    /// Stream time of the event's start, seconds.
    pub start: Seconds,
    /// Stream time of the event's end, seconds; null while the event is open.
    pub end: Option<Seconds>,
    /// Mean confidence so far, 0..=1.
    pub confidence: f64,
    /// The highest level so far, 0..=1.
    pub peak: f64,
    /// Stream time of the highest level, seconds.
    pub peak_t: Seconds,
    /// The frames of the window at the peak; their weights add up to 1.
    pub saliency: Vec<SaliencyPoint>,
    /// The attributes of the window at the peak, most similar first.
    pub attributes: Vec<AttributeAnswer>,
    /// The part of the upright picture that was analysed at the peak: x, y, width and height in pixels. Only if a moving
    /// region is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<[u32; 4]>,
    /// The number of the line, which increases by 1 from line to line. Reserved: not written yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Only for live sources, and only while the clock of `wall` is known to be wrong or not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockState>,
    /// Times of day by the clock of this machine. Between a live run and its replay, only these and `input` differ.
    pub wall: Wall,
}

/// Whether the clock of this machine is synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockState {
    /// The clock is synchronised.
    Ok,
    /// The clock has not been set since the machine started, so that times of day may be wrong.
    Unsynchronised,
}

/// Times of day, UTC, RFC 3339.
#[derive(Clone, Debug, Serialize)]
pub struct Wall {
    /// When the line was written.
    pub written: String,
    /// When the event started; absent for recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// When the event ended; absent while it is open, and for recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

/// Where events come from, and the names of their categories and phrases.
#[derive(Clone, Copy, Debug)]
pub struct EventSource<'a> {
    /// The camera's name.
    pub camera: &'a str,
    /// The clip, URL or device, without credentials.
    pub input: &'a str,
    /// The names of the categories.
    pub categories: &'a [String],
    /// The phrases of the lexicon; empty if the bundle has none.
    pub phrases: &'a [String],
}

impl<'a> EventLine<'a> {
    /// The version of the format.
    pub const SCHEMA: u32 = 1;

    /// Creates the line of an event. `captured` is the time of day at which the event's newest frame was captured, for
    /// live sources.
    pub fn new(event: &EventReport, source: EventSource<'a>, captured: Option<SystemTime>) -> Self {
        let time_of_day = |t: Seconds| {
            let ago = Duration::try_from_secs_f64(event.stamp.time - t).unwrap_or_default();
            captured.and_then(|captured| captured.checked_sub(ago)).map(rfc3339)
        };
        let name = |names: &'a [String], at: usize| names.get(at).map_or("", String::as_str);
        let saliency = event.saliency.iter().map(|s| SaliencyPoint {
            t: rounded_time(s.frame.time),
            frame: s.frame.index,
            weight: rounded_score(s.weight),
        });
        let attributes = event.attributes.iter().map(|&(phrase, similarity)| AttributeAnswer {
            phrase: name(source.phrases, phrase as usize).into(),
            similarity: rounded_score(similarity),
        });
        Self {
            schema: Self::SCHEMA,
            event: event.kind,
            id: event.id,
            camera: source.camera,
            input: source.input,
            category: name(source.categories, event.category),
            t: rounded_time(event.stamp.time),
            frame: event.stamp.index,
            start: rounded_time(event.start),
            end: event.end.map(rounded_time),
            confidence: rounded_score(event.confidence),
            peak: rounded_score(event.peak),
            peak_t: rounded_time(event.peak_at.time),
            saliency: saliency.collect(),
            attributes: attributes.collect(),
            region: event.region.map(|Rect { x, y, w, h }| [x, y, w, h]),
            seq: None,
            clock: captured.and_then(|_| clock_is_synchronised()).filter(|ok| !ok).map(|_| ClockState::Unsynchronised),
            wall: Wall {
                written: rfc3339(SystemTime::now()),
                start: time_of_day(event.start),
                end: event.end.and_then(time_of_day),
            },
        }
    }
}
