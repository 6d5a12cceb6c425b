//! An event as the tracker tells it.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::recognition::{Attribute, FrameStamp, MAX_ATTRIBUTES, MAX_WINDOW};
use crate::source::Seconds;

/// What is told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// It has begun, and lasted long enough to be told.
    New,
    /// It goes on.
    Update,
    /// It is over.
    End,
}

/// The same in all that is told of one event: 16 hexadecimal digits of the SHA-256 of camera, start in milliseconds
/// and category, so that a replay gives the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(u64);

impl EventId {
    /// The id of an event.
    pub fn new(camera: &str, start: Seconds, category: &str) -> Self {
        let mut hash = Sha256::new();
        // Lengths keep "ab" + "c" apart from "a" + "bc".
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

/// A frame and how much of the category's evidence it holds; the shares of a window add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Salient {
    /// The frame.
    pub frame: FrameStamp,
    /// 0..=1.
    pub weight: f32,
}

/// What is told of an event, in stream time.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What is told.
    pub kind: EventKind,
    /// Which event.
    pub id: EventId,
    /// Its category's place in the vocabulary.
    pub category: usize,
    /// The newest frame, at which it is told.
    pub stamp: FrameStamp,
    /// When it began, as the frames of the window show it.
    pub start: Seconds,
    /// When it ended; only where the kind is [`EventKind::End`].
    pub end: Option<Seconds>,
    /// Mean of the category's confidence over the steps of the event so far, 0..=1.
    pub confidence: f32,
    /// The highest smoothed confidence so far, 0..=1.
    pub peak: f32,
    /// The step of the peak.
    pub peak_at: FrameStamp,
    /// The window's frames at the peak, by time.
    pub saliency: heapless::Vec<Salient, MAX_WINDOW>,
    /// What the window showed at the peak, nearest first.
    pub attributes: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_camera_start_and_category_apart() {
        let id = EventId::new("front", 12.5, "cooking");
        assert_eq!(id, EventId::new("front", 12.500_000_1, "cooking"));
        assert_eq!(id.to_string().len(), 16);
        for other in [("back", 12.5, "cooking"), ("front", 12.501, "cooking"), ("frontc", 12.5, "ooking")] {
            assert_ne!(id, EventId::new(other.0, other.1, other.2));
        }
    }
}
