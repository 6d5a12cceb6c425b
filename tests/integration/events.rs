//! Events start, are updated and end according to their settings, for any scores.

use bike_edge::events::{
    BoundaryRule, CategorySpec, EventKind, EventReport, EventSpec, MAX_OPEN, Observation, TrackedCategories, Tracker,
};
use bike_edge::recognition::{FrameStamp, Scores, Scoring};
use ndarray::Array2;
use proptest::prelude::*;

use crate::support::allocations::count;

const T: usize = 4;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|k| format!("category {k}")).collect()
}

fn stamp(index: usize) -> FrameStamp {
    FrameStamp { time: index as f64 * 0.5, index: index as u64 }
}

/// Returns the scores of a window that ends with frame `index` and whose frames have equal saliency.
fn scores(index: usize, confidence: &[f32]) -> Scores {
    let first = index.saturating_sub(T - 1);
    let frames: heapless::Vec<_, 64> = (first..=index).map(stamp).collect();
    let share = 1.0 / frames.len() as f32;
    Scores {
        s_v: confidence.to_vec(),
        s_a: Vec::new(),
        score: confidence.to_vec(),
        confidence: confidence.to_vec(),
        saliency: Array2::from_elem((confidence.len(), T), share),
        attributes: heapless::Vec::new(),
        frames,
        full: index + 1 >= T,
    }
}

/// Settings without smoothing, waiting or updates.
fn plain() -> EventSpec {
    EventSpec {
        smoothing_s: 0.0,
        on: Some(0.5),
        off: Some(0.3),
        min_length_s: 0.0,
        cool_down_s: 0.0,
        update_s: 0.0,
        ..EventSpec::default()
    }
}

fn tracker(spec: &EventSpec, categories: usize) -> Tracker {
    tracker_with_background(spec, categories, &[], Scoring::Share)
}

fn tracker_with_background(spec: &EventSpec, categories: usize, background: &[usize], scoring: Scoring) -> Tracker {
    let categories = TrackedCategories { names: &names(categories), background, scoring };
    Tracker::new(spec, &categories, "hall", BoundaryRule::Saliency).expect("settings")
}

/// Returns the events of one category whose confidence at each step is given.
fn reported(spec: &EventSpec, confidences: &[f32]) -> Vec<EventReport> {
    let mut tracker = tracker(spec, 2);
    let mut events = Vec::new();
    for (i, &confidence) in confidences.iter().enumerate() {
        events.extend_from_slice(tracker.step(stamp(i), Observation::Scores(&scores(i, &[confidence, 0.0]))));
    }
    events.extend_from_slice(tracker.finish());
    events
}

fn kinds(events: &[EventReport]) -> Vec<(EventKind, f64)> {
    events.iter().map(|event| (event.kind, event.stamp.time)).collect()
}

#[test]
fn an_event_starts_at_on_and_ends_below_off() {
    let events = reported(&plain(), &[0.4, 0.6, 0.4, 0.31, 0.29, 0.4]);
    assert_eq!(kinds(&events), [(EventKind::New, 0.5), (EventKind::End, 2.0)]);
    assert_eq!(events[0].id, events[1].id);
    assert_eq!((events[1].start, events[1].end), (0.0, Some(1.5)), "all frames of the window showed it");
    assert_eq!((events[1].peak, events[1].peak_at.time), (0.6, 0.5));
    assert!((events[1].confidence - (0.6 + 0.4 + 0.31) / 3.0).abs() < 1e-6);
    assert_eq!(events[1].saliency.len(), 2, "the saliency of the window at the peak");
}

#[test]
fn saliency_dates_the_start_and_end_of_an_event() {
    let mut tracker = tracker(&plain(), 1);
    let mut shown = scores(5, &[0.6]);
    shown.saliency.row_mut(0).assign(&ndarray::arr1(&[0.02, 0.03, 0.9, 0.05]));
    let new = tracker.step(stamp(5), Observation::Scores(&shown))[0].clone();
    assert_eq!(new.start, stamp(4).time);
    let end = tracker.step(stamp(6), Observation::Scores(&scores(6, &[0.1])))[0].clone();
    assert_eq!(end.end, Some(stamp(4).time));

    let categories = TrackedCategories { names: &names(1), background: &[], scoring: Scoring::Share };
    let mut middle = Tracker::new(&plain(), &categories, "hall", BoundaryRule::Middle).expect("settings");
    assert_eq!(middle.step(stamp(5), Observation::Scores(&shown))[0].start, (stamp(2).time + stamp(5).time) / 2.0);
}

#[test]
fn a_window_that_only_smoothing_keeps_open_does_not_move_the_end() {
    let spec = EventSpec { smoothing_s: 1.0, ..plain() };
    // Saliency is equal for all frames, including frames of windows that hardly show the category.
    let events = reported(&spec, &[0.9, 0.9, 0.9, 0.1, 0.1, 0.1]);
    assert_eq!(kinds(&events), [(EventKind::New, 0.0), (EventKind::End, 2.5)]);
    assert_eq!(events[1].end, Some(1.0));
}

#[test]
fn short_events_are_never_reported() {
    let spec = EventSpec { min_length_s: 1.0, ..plain() };
    assert!(reported(&spec, &[0.6, 0.6, 0.1, 0.6, 0.1]).is_empty());
    assert_eq!(kinds(&reported(&spec, &[0.6, 0.6, 0.6, 0.1])), [(EventKind::New, 1.0), (EventKind::End, 1.5)]);
}

#[test]
fn no_event_of_a_category_starts_during_its_cool_down() {
    let spec = EventSpec { cool_down_s: 1.4, ..plain() };
    let events = reported(&spec, &[0.6, 0.1, 0.6, 0.6, 0.6]);
    assert_eq!(
        kinds(&events),
        [(EventKind::New, 0.0), (EventKind::End, 0.5), (EventKind::New, 1.5), (EventKind::End, 2.0)]
    );
    assert_eq!(events[2].start, 1.4, "not before the end of the cool-down, even if the window shows it earlier");
    assert_ne!(events[0].id, events[2].id);
}

#[test]
fn smoothing_bridges_a_short_drop() {
    let spec = EventSpec { smoothing_s: 1.0, ..plain() };
    let events = reported(&spec, &[0.9, 0.9, 0.0, 0.9, 0.9]);
    assert_eq!(kinds(&events), [(EventKind::New, 0.0), (EventKind::End, 2.0)]);
}

#[test]
fn updates_are_reported_at_their_interval() {
    let spec = EventSpec { update_s: 1.0, ..plain() };
    let events = reported(&spec, &[0.6; 6]);
    use EventKind::{End, New, Update};
    assert_eq!(kinds(&events), [(New, 0.0), (Update, 1.0), (Update, 2.0), (End, 2.5)]);
    assert_eq!(events[1].end, None);
}

#[test]
fn the_background_starts_no_event_and_ends_others() {
    let mut tracker = tracker_with_background(&plain(), 3, &[1, 2], Scoring::Share);
    let mut step = |i, confidence: &[f32]| kinds(tracker.step(stamp(i), Observation::Scores(&scores(i, confidence))));
    assert_eq!(step(0, &[0.0, 0.9, 0.0]), []);
    assert_eq!(step(1, &[0.6, 0.2, 0.2]), [(EventKind::New, 0.5)]);
    assert_eq!(step(2, &[0.4, 0.2, 0.25]), [(EventKind::End, 1.0)], "the background is stronger in total");
    assert_eq!(step(3, &[0.5, 0.3, 0.3]), []);
}

#[test]
fn independent_confidences_are_not_compared_with_the_background_again() {
    let mut tracker = tracker_with_background(&plain(), 3, &[1, 2], Scoring::Independent);
    let mut step = |i, confidence: &[f32]| kinds(tracker.step(stamp(i), Observation::Scores(&scores(i, confidence))));
    assert_eq!(step(0, &[0.6, 0.9, 0.1]), [(EventKind::New, 0.0)], "the background itself starts no event");
    assert_eq!(step(1, &[0.4, 0.9, 0.1]), []);
    assert_eq!(step(2, &[0.2, 0.1, 0.9]), [(EventKind::End, 1.0)]);
}

#[test]
fn the_least_confident_events_wait() {
    let categories = MAX_OPEN + 2;
    let spec = EventSpec { min_length_s: 0.5, ..plain() };
    let mut tracker = tracker(&spec, categories);
    let confidence = |k: usize| 0.6 + 0.01 * k as f32;
    let mut all: Vec<f32> = (0..categories).map(confidence).collect();
    tracker.step(stamp(0), Observation::Scores(&scores(0, &all)));
    // A category that had to wait becomes more confident than those that are open but not reported.
    all[0] = 0.99;
    tracker.step(stamp(1), Observation::Scores(&scores(1, &all)));
    let mut reported: Vec<usize> = tracker.reports().iter().map(|event| event.category).collect();
    reported.extend(tracker.step(stamp(2), Observation::Scores(&scores(2, &all))).iter().map(|event| event.category));
    reported.sort_unstable();
    let expected: Vec<usize> = (0..categories).filter(|k| *k != 1 && *k != 2).collect();
    assert_eq!(reported, expected);
    assert!(tracker.not_opened() > 0);
}

#[test]
fn a_reported_event_is_as_long_as_required_by_its_own_dates() {
    let spec = EventSpec { smoothing_s: 2.0, off: Some(0.1), min_length_s: 2.0, ..plain() };
    // Smoothing keeps the level up, but the category is visible in few steps.
    let events = reported(&spec, &[0.9, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(events.iter().all(|event| event.end.is_none_or(|end| end - event.start >= 2.0)), "{events:?}");
}

#[test]
fn a_blank_picture_ends_events() {
    let mut tracker = tracker(&plain(), 1);
    assert_eq!(tracker.step(stamp(0), Observation::Scores(&scores(0, &[0.9]))).len(), 1);
    assert_eq!(kinds(tracker.step(stamp(1), Observation::NothingVisible)), [(EventKind::End, 0.5)]);
}

#[test]
fn a_gap_ends_open_events_at_the_last_frame_before_it() {
    let mut tracker = tracker(&plain(), 1);
    tracker.step(stamp(0), Observation::Scores(&scores(0, &[0.9])));
    tracker.step(stamp(1), Observation::Scores(&scores(1, &[0.9])));
    let late = stamp(100);
    let mut after = scores(100, &[0.9]);
    after.frames = [late].into_iter().collect();
    let events = tracker.step(late, Observation::Scores(&after)).to_vec();
    assert_eq!(kinds(&events), [(EventKind::End, 0.5), (EventKind::New, 50.0)]);
    assert_eq!((events[0].end, events[1].start), (Some(0.5), 50.0));
    // A caller that detects the gap and calls finish gets the same events.
    let mut other = self::tracker(&plain(), 1);
    other.step(stamp(0), Observation::Scores(&scores(0, &[0.9])));
    other.step(stamp(1), Observation::Scores(&scores(1, &[0.9])));
    assert_eq!(other.finish(), &events[..1]);
    assert_eq!(other.step(late, Observation::Scores(&after)), &events[1..]);
}

#[test]
fn settings_of_unknown_categories_are_refused() {
    let settings = |name: &str| EventSpec {
        category: [(name.to_owned(), CategorySpec { on: Some(0.9), off: Some(0.3), ..CategorySpec::default() })].into(),
        ..plain()
    };
    let categories = TrackedCategories { names: &names(3), background: &[], scoring: Scoring::Share };
    let refused = Tracker::new(&settings("categry 1"), &categories, "hall", BoundaryRule::Saliency);
    let problem = refused.expect_err("refused").to_string();
    assert!(problem.contains("\"categry 1\"") && problem.contains("nearest: \"category 1\""), "{problem}");
    let mut other_spelling = tracker(&settings("Category_1"), 3);
    assert_eq!(kinds(other_spelling.step(stamp(0), Observation::Scores(&scores(0, &[0.0, 0.8, 0.0])))), []);
}

#[test]
fn steps_allocate_nothing_and_open_events_are_bounded() {
    let categories = 3 * MAX_OPEN;
    let spec = EventSpec { update_s: 0.5, ..plain() };
    let mut tracker = tracker(&spec, categories);
    let (all, none) = (vec![0.9; categories], vec![0.0; categories]);
    let steps: Vec<Scores> = (0..40).map(|i| scores(i, if i % 5 < 3 { &all } else { &none })).collect();
    let mut reported = 0;
    let allocated = count(|| {
        for (i, scores) in steps.iter().enumerate() {
            reported += tracker.step(stamp(i), Observation::Scores(scores)).len();
        }
        reported += tracker.finish().len();
    });
    assert_eq!(allocated.count, 0, "{allocated:?}");
    // Each event is reported four times: as new, twice as update, as end; and each category has eight.
    assert_eq!(reported, 8 * MAX_OPEN * 4);
    assert!(tracker.not_opened() > 0);
}

proptest! {
    /// For any scores: each id is reported as new, update..., end; its times are in order; no two events of a category
    /// overlap or are closer than the cool-down; the background is never reported; equal steps give equal events.
    #[test]
    fn any_scores_make_complete_events(
        steps in prop::collection::vec((0.0f64..4.0, prop::collection::vec(0.0f32..1.0, 4), 0u8..8), 1..120),
        smoothing_s in 0.0f64..3.0,
        on in 0.2f32..0.9,
        min_length_s in 0.0f64..3.0,
        cool_down_s in 0.0f64..3.0,
    ) {
        let spec = EventSpec {
            smoothing_s,
            on: Some(on),
            off: Some(on * 0.6),
            min_length_s,
            cool_down_s,
            update_s: 2.0,
            gap_s: Some(3.5),
            ..EventSpec::default()
        };
        let run = || {
            let mut tracker = tracker_with_background(&spec, 4, &[3], Scoring::Share);
            let (mut events, mut time) = (Vec::new(), 0.0);
            for (i, (passed, confidence, blank)) in steps.iter().enumerate() {
                time += passed;
                let stamp = FrameStamp { time, index: i as u64 };
                let mut scores = scores(0, confidence);
                scores.frames = [stamp].into_iter().collect();
                let observation = if *blank == 0 { Observation::NothingVisible } else { Observation::Scores(&scores) };
                events.extend_from_slice(tracker.step(stamp, observation));
            }
            events.extend_from_slice(tracker.finish());
            prop_assert_eq!(tracker.open_events(), 0);
            Ok(events)
        };
        let events = run()?;
        prop_assert_eq!(&events, &run()?);
        let mut ids: Vec<_> = events.iter().map(|event| event.id).collect();
        ids.sort_by_key(ToString::to_string);
        ids.dedup();
        let mut spans = Vec::new();
        for id in ids {
            let of: Vec<&EventReport> = events.iter().filter(|event| event.id == id).collect();
            prop_assert_eq!(of[0].kind, EventKind::New);
            prop_assert!(of[1..of.len() - 1].iter().all(|event| event.kind == EventKind::Update && event.end.is_none()));
            let last = of[of.len() - 1];
            prop_assert_eq!(last.kind, EventKind::End);
            let end = last.end.expect("an end");
            prop_assert!(last.start <= end && end <= last.stamp.time);
            prop_assert!(of.iter().all(|event| event.start == last.start && event.category == last.category));
            prop_assert!(last.category != 3 && (0.0..=1.0).contains(&last.confidence) && last.peak >= on);
            spans.push((last.category, last.start, end));
        }
        spans.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        for pair in spans.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            prop_assert!(pair[1].1 >= pair[0].2 + cool_down_s - 1e-9, "{:?}", pair);
        }
    }
}
