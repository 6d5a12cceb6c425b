//! Scores match those of the published code of BIKE, and would not if a step of the method were wrong.
//!
//! Goldens: tests/data/make_goldens_bike.py.

use std::sync::Arc;

use bike_edge::encoder::{EncoderOptions, TemporalHeader};
use bike_edge::recognition::{
    CategorySet, Header, Interaction, Lexicon, Recognizer, ViewAverage, Vocabulary, WordTable,
};
use safetensors::{Dtype, SafeTensors};

use crate::support::tables::{difference, push_all, recognizer, spec, table, words};

const K: usize = 5;
const W: usize = 77;
const D: usize = 16;
const T: usize = 8;
/// Positions that are the same in every category.
const PROMPT: usize = 6;
const TOLERANCE: f64 = 1e-5;

fn golden(name: &str) -> Vec<f32> {
    let bytes = include_bytes!("../data/bike_goldens.safetensors");
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    match tensor.dtype() {
        Dtype::F32 => tensor.data().as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
        _ => tensor.data().as_chunks().0.iter().map(|x| f64::from_le_bytes(*x) as f32).collect(),
    }
}

fn set() -> CategorySet {
    CategorySet {
        names: (0..K).map(|k| k.to_string()).collect(),
        category: table(D, &golden("category")),
        words: words(table(D, &golden("word")), &[1.0; K * W], W),
        attribute: None,
    }
}

/// The published header, exported: six attention blocks with random weights.
fn header() -> Box<dyn Header> {
    let options = EncoderOptions::new(1, "goldens", "bike_temporal.onnx");
    let mut header = TemporalHeader::load(include_bytes!("../data/bike_temporal.onnx"), T, D, options).unwrap();
    Box::new(move |frames: &[f32], out: &mut [f32]| header.apply(frames, out))
}

#[test]
fn the_header_network_matches_bike() {
    let mut out = vec![0.0; T * D];
    header().apply(&golden("frames"), &mut out).unwrap();
    let largest = golden("headed").iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let worst = difference(out, golden("headed"));
    assert!(worst < TOLERANCE * f64::from(largest), "{worst} of {largest}");
}

#[test]
fn spotting_matches_bike() {
    let mut recognizer = recognizer(spec(T), &set());
    push_all(&mut recognizer, &golden("frames"), D);
    let scores = recognizer.scores().unwrap();
    assert!(scores.full);
    assert!(difference(scores.s_v.clone(), golden("vcs")) < TOLERANCE);
    assert!(difference(scores.saliency.iter().copied(), golden("saliency")) < TOLERANCE);
}

#[test]
fn spotting_with_the_prompt_stored_once() {
    let mut set = set();
    let (all, own) = (golden("word"), W - PROMPT);
    let rows: Vec<f32> = all.chunks_exact(W * D).flat_map(|k| k[PROMPT * D..].to_vec()).collect();
    set.words = WordTable {
        shared: Some((table(D, &all[..PROMPT * D]), vec![1.0; PROMPT])),
        ..words(table(D, &rows), &[1.0; K * (W - PROMPT)], own)
    };
    let mut recognizer = recognizer(spec(T), &set);
    push_all(&mut recognizer, &golden("frames"), D);
    let scores = recognizer.scores().unwrap();
    assert!(difference(scores.s_v.clone(), golden("vcs")) < TOLERANCE);
    assert!(difference(scores.saliency.iter().copied(), golden("saliency")) < TOLERANCE);
}

#[test]
fn dot_product_matches_bike() {
    let mut spec = spec(T);
    spec.interaction = Interaction::Dp;
    let mut recognizer = recognizer(spec, &set());
    push_all(&mut recognizer, &golden("frames"), D);
    assert!(difference(recognizer.scores().unwrap().s_v.clone(), golden("dp")) < TOLERANCE);
}

#[test]
fn header_before_spotting_and_dot_product() {
    for (interaction, name) in [(Interaction::Vcs, "headed_vcs"), (Interaction::Dp, "headed_dp")] {
        let mut spec = spec(T);
        spec.interaction = interaction;
        let vocabulary = Vocabulary::from_categories(&set());
        let mut recognizer = Recognizer::new(spec, vocabulary, None, Some(header()), None).unwrap();
        // Frames that have left the window have no effect.
        push_all(&mut recognizer, &golden("views")[T * D..], D);
        push_all(&mut recognizer, &golden("frames"), D);
        let scores = recognizer.scores().unwrap();
        assert!(difference(scores.s_v.clone(), golden(name)) < TOLERANCE, "{name}");
        if interaction == Interaction::Vcs {
            assert!(difference(scores.saliency.iter().copied(), golden("headed_saliency")) < TOLERANCE);
        }
    }
}

#[test]
fn fusion_with_attributes() {
    let lexicon = Lexicon {
        phrases: vec!["the only phrase".into()],
        retrieval: table(D, &golden("attribute")),
        sentence: None,
        words: words(table(D, &golden("attribute")), &[1.0], 1),
        sentence_attribute: None,
        sentence_mean: None,
    };
    let mut spec = spec(T);
    (spec.lambda, spec.top_k) = (0.7, 1);
    let vocabulary = Vocabulary::from_categories(&set());
    let mut recognizer = Recognizer::new(spec, vocabulary, Some(Arc::new(lexicon)), None, None).unwrap();
    push_all(&mut recognizer, &golden("frames"), D);
    let scores = recognizer.scores().unwrap();
    assert!(difference(scores.s_a.clone(), golden("s_a")) < TOLERANCE);
    assert!(difference(scores.score.clone(), golden("fused")) < TOLERANCE);
}

#[test]
fn views_of_one_clip_match_bike() {
    let mut recognizer = recognizer(spec(T), &set());
    let mut average = ViewAverage::new();
    for view in golden("views").chunks_exact(T * D) {
        recognizer.clear();
        push_all(&mut recognizer, view, D);
        average.add(recognizer.scores().unwrap()).unwrap();
    }
    assert_eq!(average.views(), 3);
    let reference = average.reference_score().into_iter().map(|x| x as f32);
    assert!(difference(reference, golden("views_reference")) < TOLERANCE);
}

#[test]
fn wrong_methods_miss_the_goldens() {
    for (wrong, right) in [
        ("mean_pooling", "vcs"),
        ("doubled_tau", "vcs"),
        ("masked_padding", "vcs"),
        ("renormalised_e_k", "vcs"),
        ("header_without_residual", "headed_vcs"),
    ] {
        let miss = difference(golden(&format!("wrong_{wrong}")), golden(right));
        assert!(miss >= 10.0 * TOLERANCE, "{wrong} misses by {miss} only");
    }
}
