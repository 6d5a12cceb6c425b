//! Reports of events by the tracker.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::picture::Rect;
use crate::recognition::{Attribute, FrameStamp, MAX_ATTRIBUTES, MAX_WINDOW};
use crate::units::Seconds;

/// The kind of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The event has started and lasted for the minimum length.
    New,
    /// The event is still open.
    Update,
    /// The event ended.
    End,
}

/// Identifies an event: 16 hexadecimal digits of the SHA-256 of camera, start in milliseconds and category. All reports
/// of an event have the same id, and a replay of the same frames gives the same ids. (The service adds to the camera when
/// it was opened, so that ids stay unique over weeks.)
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(u64);

impl EventId {
    /// Computes the id of an event.
    pub fn new(camera: &str, start: Seconds, category: &str) -> Self {
        let mut hash = Sha256::new();
        // The lengths distinguish "ab" + "c" from "a" + "bc".
        for text in [camera, category] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(((start * 1e3).round() as i64).to_le_bytes());
        let digest = hash.finalize();
        Self(digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A frame of a window and its saliency. The weights of a window add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SalientFrame {
    /// The frame.
    pub frame: FrameStamp,
    /// The frame's weight in the score of the event's category, 0..=1.
    pub weight: f32,
}

/// A report of an event. All times are stream time.
#[derive(Clone, Debug, PartialEq)]
pub struct EventReport {
    /// The kind of the report.
    pub kind: EventKind,
    /// The id of the event.
    pub id: EventId,
    /// The index of the event's category in the vocabulary.
    pub category: usize,
    /// The newest frame at the time of the report.
    pub stamp: FrameStamp,
    /// When the event started, according to the saliency of the window.
    pub start: Seconds,
    /// When the event ended; only for [`EventKind::End`].
    pub end: Option<Seconds>,
    /// The mean of the category's confidence over the steps of the event so far, 0..=1.
    pub confidence: f32,
    /// The highest level so far, 0..=1.
    pub peak: f32,
    /// The step with the highest level.
    pub peak_at: FrameStamp,
    /// The frames of the window at the peak, by time.
    pub saliency: heapless::Vec<SalientFrame, MAX_WINDOW>,
    /// The attributes of the window at the peak, most similar first.
    pub attributes: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
    /// The part of the upright picture that was analysed at the peak, pixels; `None` for all of it.
    pub region: Option<Rect>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_camera_start_and_category() {
        let id = EventId::new("front", 12.5, "cooking");
        assert_eq!(id, EventId::new("front", 12.500_000_1, "cooking"));
        assert_eq!(id.to_string().len(), 16);
        for other in [("back", 12.5, "cooking"), ("front", 12.501, "cooking"), ("frontc", 12.5, "ooking")] {
            assert_ne!(id, EventId::new(other.0, other.1, other.2));
        }
    }
}
