//! Matches detected events with the labelled segments of a stream.

use serde::Serialize;

use crate::units::{Seconds, median};

/// An event matches a segment if the time that both cover is at least this share of the time that either covers.
pub const MIN_OVERLAP: f64 = 0.3;

/// A segment of a stream and its categories.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Numbers of its categories, any of which is correct; empty for none.
    pub categories: Vec<usize>,
    /// Stream time of its start.
    pub start: Seconds,
    /// Stream time of its end.
    pub end: Seconds,
}

/// A detected event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Number of its category.
    pub category: usize,
    /// Stream time of its start.
    pub start: Seconds,
    /// Stream time of its end.
    pub end: Seconds,
}

/// How well detections match the segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Segments that show a category.
    pub shown: usize,
    /// Events detected.
    pub found: usize,
    /// Detections that match ("fit") a segment, at most one per segment.
    pub fitting: usize,
    /// Share of the detections that match; null if there are none.
    pub precision: Option<f64>,
    /// Share of the segments that were detected; null if there are none.
    pub recall: Option<f64>,
    /// Harmonic mean of the two; 0 if either is missing or 0.
    pub f1: f64,
    /// Median distance between reported and true start of matching events, seconds.
    pub start_error_s: Option<f64>,
    /// The same for the ends.
    pub end_error_s: Option<f64>,
    /// Time in which no category is shown, seconds.
    pub empty_s: Seconds,
    /// Detections in that time: they overlap no segment that shows a category.
    pub false_events: usize,
    /// The same per hour; null without such time.
    pub false_events_per_hour: Option<f64>,
}

/// Pairs each segment with the detection of one of its categories that overlaps it most, best overlaps first.
pub fn match_events(segments: &[Segment], detections: &[Detection]) -> Measures {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (i, segment) in segments.iter().enumerate() {
        let of_segment = |(_, detection): &(usize, &Detection)| segment.categories.contains(&detection.category);
        for (j, detection) in detections.iter().enumerate().filter(of_segment) {
            let both = segment.end.min(detection.end) - segment.start.max(detection.start);
            let either = segment.end.max(detection.end) - segment.start.min(detection.start);
            let overlap = if either > 0.0 { both / either } else { 0.0 };
            if overlap >= MIN_OVERLAP {
                pairs.push((overlap, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut segment_matched, mut detection_matched) = (vec![false; segments.len()], vec![false; detections.len()]);
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for (_, i, j) in pairs {
        if !segment_matched[i] && !detection_matched[j] {
            (segment_matched[i], detection_matched[j]) = (true, true);
            starts.push((segments[i].start - detections[j].start).abs());
            ends.push((segments[i].end - detections[j].end).abs());
        }
    }
    let count = segments.iter().filter(|segment| !segment.categories.is_empty()).count();
    let share = |of: usize| (of > 0).then(|| starts.len() as f64 / of as f64);
    let (precision, recall) = (share(detections.len()), share(count));
    let f1 = match (precision, recall) {
        (Some(p), Some(r)) if p + r > 0.0 => 2.0 * p * r / (p + r),
        _ => 0.0,
    };
    let empty_s: Seconds = segments
        .iter()
        .filter(|segment| segment.categories.is_empty())
        .map(|segment| segment.end - segment.start)
        .sum();
    let shows = |segment: &&Segment| !segment.categories.is_empty();
    let is_false = |detection: &&Detection| {
        let overlaps = |segment: &Segment| segment.start < detection.end && detection.start < segment.end;
        !segments.iter().filter(shows).any(overlaps)
    };
    let false_events = detections.iter().filter(is_false).count();
    Measures {
        empty_s,
        false_events,
        false_events_per_hour: (empty_s > 0.0).then(|| false_events as f64 / (empty_s / 3600.0)),
        shown: count,
        found: detections.len(),
        fitting: starts.len(),
        precision,
        recall,
        f1,
        start_error_s: median(starts),
        end_error_s: median(ends),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(categories: &[usize], start: Seconds, end: Seconds) -> Segment {
        Segment { categories: categories.to_vec(), start, end }
    }

    fn detection(category: usize, start: Seconds, end: Seconds) -> Detection {
        Detection { category, start, end }
    }

    #[test]
    fn each_segment_counts_once() {
        let stream = [
            segment(&[0], 0.0, 10.0),
            segment(&[], 10.0, 20.0),
            segment(&[1, 2], 20.0, 30.0),
            segment(&[0], 30.0, 40.0),
        ];
        let events = [
            detection(0, 1.0, 10.5),  // matches
            detection(0, 5.0, 9.0),   // the same segment again
            detection(1, 12.0, 18.0), // no category was shown
            detection(2, 22.0, 29.0), // matches
            detection(0, 38.0, 39.0), // too little of it
        ];
        let measures = match_events(&stream, &events);
        assert_eq!((measures.shown, measures.found, measures.fitting), (3, 5, 2));
        assert_eq!((measures.empty_s, measures.false_events, measures.false_events_per_hour), (10.0, 1, Some(360.0)));
        assert_eq!((measures.precision, measures.recall), (Some(0.4), Some(2.0 / 3.0)));
        assert_eq!((measures.start_error_s, measures.end_error_s), (Some(1.5), Some(0.75)));
        assert!((measures.f1 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn empty_lists_do_not_divide_by_zero() {
        let measures = match_events(&[segment(&[0], 0.0, 1.0)], &[]);
        assert_eq!((measures.precision, measures.recall, measures.f1), (None, Some(0.0), 0.0));
        assert_eq!(match_events(&[], &[]), Measures::default());
    }
}
