//! Attributes: the right phrases in the right order, and their effect on the scores of categories.

use std::sync::Arc;

use bike_edge::recognition::{
    FrameStamp, Lexicon, RecognitionSpec, Recognizer, SentenceEncoder, SentenceMethod, Vocabulary,
};
use bike_edge::table::Dtype;

use crate::support::tables::{categories, difference, lexicon, numbers, spec, stored_as, table, unit_rows};

const D: usize = 24;

fn recognizer(spec: RecognitionSpec, lexicon: &Lexicon, composer: Option<Box<dyn SentenceEncoder>>) -> Recognizer {
    let vocabulary = Vocabulary::from_categories(&categories(3, 4, D, 1));
    Recognizer::new(spec, vocabulary, Some(Arc::new(lexicon.clone())), None, composer).unwrap()
}

fn stamp(index: u64) -> FrameStamp {
    FrameStamp { time: index as f64, index }
}

#[test]
fn the_nearest_phrases_come_first_for_every_storage_type() {
    for (phrases, dtype) in [(5, Dtype::F32), (1024, Dtype::F16), (1025, Dtype::I8), (5000, Dtype::F32)] {
        let mut lexicon = lexicon(phrases, D, 2);
        lexicon.retrieval = stored_as(&lexicon.retrieval, dtype);
        let mut recognizer = recognizer(spec(2), &lexicon, None);
        let frame = numbers(D, 3);
        recognizer.push(stamp(0), &frame, None).unwrap();
        let scores = recognizer.scores().unwrap();

        let length = frame.iter().map(|x| x * x).sum::<f32>().sqrt();
        let mut row = vec![0.0; D];
        let mut expected: Vec<(u32, f32)> = (0..phrases)
            .map(|i| {
                lexicon.retrieval.row_into(i, &mut row);
                (i as u32, row.iter().zip(&frame).map(|(a, b)| a * b).sum::<f32>() / length)
            })
            .collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));
        let places = |list: &[(u32, f32)]| list.iter().map(|(place, _)| *place).collect::<Vec<_>>();
        assert_eq!(places(&scores.attributes), places(&expected[..5]));
        assert!(difference(scores.attributes.iter().map(|a| a.1), expected[..5].iter().map(|a| a.1)) < 1e-5);
        assert!(scores.s_a.is_empty(), "with lambda 1, attributes are listed but not scored");
    }
}

#[test]
fn equal_phrases_keep_the_order_of_the_lexicon() {
    let mut lexicon = lexicon(40, D, 2);
    lexicon.retrieval = table(D, &unit_rows(1, D, 5).repeat(40));
    let mut recognizer = recognizer(spec(2), &lexicon, None);
    recognizer.push(stamp(0), &numbers(D, 3), None).unwrap();
    let places: Vec<u32> = recognizer.scores().unwrap().attributes.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 1, 2, 3, 4]);
}

#[test]
fn attributes_use_the_mean_of_unnormalised_frames_in_their_own_space() {
    let lexicon = Lexicon { sentence: Some(table(D, &unit_rows(50, D, 9))), ..lexicon(50, 7, 2) };
    let mut recognizer = recognizer(spec(2), &lexicon, None);
    let (a, b) = (numbers(7, 3), numbers(7, 4));
    // The first of these leaves the window.
    for (i, attribute) in [&numbers(7, 5), &a, &b].into_iter().enumerate() {
        recognizer.push(stamp(i as u64), &numbers(D, 10 + i as u64), Some(attribute)).unwrap();
    }
    let got = recognizer.scores().unwrap().attributes.clone();
    let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let mut single = self::recognizer(spec(1), &lexicon, None);
    single.push(stamp(0), &numbers(D, 3), Some(&sum)).unwrap();
    let expected = &single.scores().unwrap().attributes;
    assert_eq!(got.iter().map(|a| a.0).collect::<Vec<_>>(), expected.iter().map(|a| a.0).collect::<Vec<_>>());
}

#[test]
fn a_composer_receives_the_nearest_phrase_first_and_is_compared_by_cosine() {
    let lexicon = lexicon(30, D, 2);
    let answer = numbers(D, 8);
    let compose = {
        let (lexicon, answer) = (lexicon.clone(), answer.clone());
        move |phrases: &[f32], out: &mut [f32]| {
            assert_eq!(phrases.len(), 5 * D);
            let mut first = vec![0.0; D];
            lexicon.retrieval.row_into(nearest(&lexicon, &numbers(D, 3)), &mut first);
            assert_eq!(phrases[..D], first);
            out.copy_from_slice(&answer);
            Ok(())
        }
    };
    let spec = RecognitionSpec { lambda: 0.5, sentence_method: SentenceMethod::Composer, ..spec(2) };
    let mut recognizer = recognizer(spec, &lexicon, Some(Box::new(compose)));
    recognizer.push(stamp(0), &numbers(D, 3), None).unwrap();
    let scores = recognizer.scores().unwrap();
    let length = answer.iter().map(|x| x * x).sum::<f32>().sqrt();
    let set = categories(3, 4, D, 1);
    let mut row = vec![0.0; D];
    let expected: Vec<f32> = (0..3)
        .map(|k| {
            set.category.row_into(k, &mut row);
            row.iter().zip(&answer).map(|(a, b)| a * b).sum::<f32>() / length
        })
        .collect();
    assert!(difference(scores.s_a.clone(), expected) < 1e-6);
    assert!((scores.score.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    assert!((scores.confidence.iter().sum::<f32>() - 1.0).abs() < 1e-6);
}

fn nearest(lexicon: &Lexicon, frame: &[f32]) -> usize {
    let mut products = vec![0.0; lexicon.phrases.len()];
    lexicon.retrieval.dot_all(frame, &mut products);
    (0..products.len()).max_by(|a, b| products[*a].total_cmp(&products[*b])).unwrap()
}

#[test]
fn without_a_composer_the_mean_of_all_sentences_is_subtracted() {
    let mut lexicon = lexicon(30, D, 2);
    let mean: Vec<f32> = numbers(D, 6).iter().map(|x| x / 50.0).collect();
    lexicon.sentence_mean = Some(mean.clone());
    let mut recognizer = recognizer(RecognitionSpec { lambda: 0.5, top_k: 2, ..spec(2) }, &lexicon, None);
    recognizer.push(stamp(0), &numbers(D, 3), None).unwrap();
    let scores = recognizer.scores().unwrap();
    let (mut a, mut b, mut row) = (vec![0.0; D], vec![0.0; D], vec![0.0; D]);
    lexicon.retrieval.row_into(scores.attributes[0].0 as usize, &mut a);
    lexicon.retrieval.row_into(scores.attributes[1].0 as usize, &mut b);
    let sentence: Vec<f32> = (0..D).map(|i| (a[i] + b[i]) / 2.0 - mean[i]).collect();
    let length = sentence.iter().map(|x| x * x).sum::<f32>().sqrt();
    let set = categories(3, 4, D, 1);
    for (k, score) in scores.s_a.iter().enumerate() {
        set.category.row_into(k, &mut row);
        let expected = row.iter().zip(&sentence).map(|(a, b)| a * b).sum::<f32>() / length;
        assert!((score - expected).abs() < 1e-6);
    }
}

#[test]
fn missing_parts_are_reported_before_the_first_frame() {
    let vocabulary = || Vocabulary::from_categories(&categories(3, 4, D, 1));
    let refused = |spec: RecognitionSpec, lexicon: Option<Lexicon>| {
        let recognizer = Recognizer::new(spec, vocabulary(), lexicon.map(Arc::new), None, None);
        recognizer.err().expect("should have been refused").to_string()
    };
    let half = RecognitionSpec { lambda: 0.5, ..spec(2) };
    assert!(refused(half.clone(), None).contains("no lexicon"));
    let composer = RecognitionSpec { sentence_method: SentenceMethod::Composer, ..half.clone() };
    assert!(refused(composer, Some(lexicon(9, D, 2))).contains("composer.onnx"));
    assert!(refused(half.clone(), Some(lexicon(4, D, 2))).contains("4 phrases"));
    assert!(refused(half, Some(lexicon(9, 7, 2))).contains("7 numbers wide and categories 24"));
    assert!(refused(RecognitionSpec { top_k: 17, ..spec(2) }, None).contains("attributes_top_k: 17 is out of range"));
}
