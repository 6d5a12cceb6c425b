//! Independent confidences: each depends on its category and the background alone, to the last bit.

use std::sync::Arc;

use bike_edge::recognition::{CategorySet, RecognitionSpec, Recognizer, Scoring, SentenceMethod, Vocabulary};
use bike_edge::table::Dtype;
use proptest::prelude::*;

use crate::support::tables::{categories, lexicon, numbers, push_all, spec, stored_as};

/// The confidences of these categories by name, with those of `background` as the background.
fn confidences(
    set: &CategorySet,
    names: &[String],
    background: &[String],
    spec: &RecognitionSpec,
    frames: &[f32],
) -> Vec<f32> {
    let width = set.category.width();
    let lexicon = (spec.lambda < 1.0).then(|| Arc::new(lexicon(20, width, 9)));
    let vocabulary = Vocabulary::select(names, set, None).expect("known").with_background(background);
    let mut recognizer = Recognizer::new(spec.clone(), vocabulary, lexicon, None, None).expect("fits");
    push_all(&mut recognizer, frames, width);
    recognizer.scores().expect("scores").confidence.clone()
}

fn independent(window: usize, lambda: f32) -> RecognitionSpec {
    RecognitionSpec { scoring: Scoring::Independent, logit_scale: 7.0, lambda, ..spec(window) }
}

proptest! {
    #[test]
    fn other_categories_change_no_bit(
        (k, w, d) in (6..40usize, 1..12usize, 4..80usize),
        seed in 0..1000u64,
        order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(),
        chosen in 1..40usize,
        background in 1..5usize,
        attributes: bool,
        int8: bool,
    ) {
        let mut set = categories(k, w, d, seed);
        if int8 {
            set.category = stored_as(&set.category, Dtype::I8);
            set.words.own = stored_as(&set.words.own, Dtype::I8);
        }
        let spec = independent(5, if attributes { 0.6 } else { 1.0 });
        let spec = RecognitionSpec { sentence_method: SentenceMethod::Mean, ..spec };
        let frames = numbers(5 * d, seed + 7);
        let background = &set.names[..background];
        let all = confidences(&set, &set.names, background, &spec, &frames);
        // Some of the categories, in another order, with the background somewhere among them.
        let order: Vec<usize> = order.into_iter().filter(|i| *i < k).collect();
        let some = |i: &&usize| **i < background.len() || order.iter().position(|o| o == *i).unwrap_or(0) < chosen;
        let picked: Vec<usize> = order.iter().filter(some).copied().collect();
        let names: Vec<String> = picked.iter().map(|i| set.names[*i].clone()).collect();
        let found = confidences(&set, &names, background, &spec, &frames);
        for (i, confidence) in picked.iter().zip(found) {
            prop_assert_eq!(confidence.to_bits(), all[*i].to_bits(), "category {}", i);
        }
    }
}

#[test]
fn confidences_are_those_of_the_formula() {
    let set = categories(4, 2, 8, 3);
    let (spec, frames) = (independent(3, 1.0), numbers(24, 5));
    let background = &set.names[1..3];
    let vocabulary = Vocabulary::from_categories(&set).with_background(background);
    let mut recognizer = Recognizer::new(spec, vocabulary, None, None, None).expect("fits");
    push_all(&mut recognizer, &frames, 8);
    let scores = recognizer.scores().expect("scores");
    let power: Vec<f64> = scores.s_v.iter().map(|s| (7.0 * f64::from(*s)).exp()).collect();
    let sum = power[1] + power[2];
    let expected = [power[0] / (power[0] + sum), power[1] / sum, power[2] / sum, power[3] / (power[3] + sum)];
    for (found, expected) in scores.confidence.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn a_background_is_required() {
    let set = categories(3, 2, 8, 3);
    let refused = Recognizer::new(independent(3, 1.0), Vocabulary::from_categories(&set), None, None, None);
    let problem = refused.err().expect("should have been refused").to_string();
    assert!(problem.contains("background") && problem.contains("there are none"), "{problem}");
}

#[test]
fn scores_far_above_the_background_are_certain() {
    let set = categories(3, 2, 8, 3);
    let spec = RecognitionSpec { logit_scale: 1e4, ..independent(2, 1.0) };
    let all = confidences(&set, &set.names, &set.names[..1], &spec, &numbers(16, 5));
    assert!(all.iter().all(|confidence| (0.0..=1.0).contains(confidence)), "{all:?}");
}
