//! Properties of concept spotting that hold for any embeddings.

use bike_edge::recognition::{
    CategorySet, Header, Interaction, Mixture, RecognitionSpec, Recognizer, Vocabulary, WordLayout, WordTable,
};
use bike_edge::table::{Dtype, Table};
use proptest::prelude::*;

use crate::support::tables::{
    categories, difference, numbers, push_all, recognizer, spec, stored_as, table, unit_rows, words,
};

/// K, W, D, T and a seed.
fn shapes() -> impl Strategy<Value = (usize, usize, usize, usize, u64)> {
    (1..6usize, 1..40usize, 2..40usize, 1..12usize, 0..1000u64)
}

/// Computes concept spotting as in the paper, in f64: `s_v` and saliency.
fn written_out(set: &CategorySet, frames: &[f32], tau: f64) -> (Vec<f32>, Vec<f32>) {
    let d = set.category.width();
    let unit = |row: &[f32]| {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        row.iter().map(|x| f64::from(*x) / length).collect::<Vec<f64>>()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let row = |table: &Table, i| {
        let mut row = vec![0.0; d];
        table.row_into(i, &mut row);
        row.into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    let frames: Vec<Vec<f64>> = frames.chunks_exact(d).map(unit).collect();
    let w = set.words.own.rows() / set.category.rows();
    let (mut s_v, mut saliency) = (Vec::new(), Vec::new());
    for k in 0..set.category.rows() {
        let mut of_category = vec![0.0; frames.len()];
        for j in 0..w {
            let word = row(&set.words.own, k * w + j);
            let terms: Vec<f64> = frames.iter().map(|frame| (dot(&word, frame) / tau).exp()).collect();
            let sum: f64 = terms.iter().sum();
            of_category.iter_mut().zip(terms).for_each(|(share, term)| *share += term / sum / w as f64);
        }
        let mut e = vec![0.0; d];
        for (share, frame) in of_category.iter().zip(&frames) {
            e.iter_mut().zip(frame).for_each(|(e, x)| *e += share * x);
        }
        s_v.push(dot(&e, &row(&set.category, k)) as f32);
        saliency.extend(of_category.iter().map(|share| *share as f32));
    }
    (s_v, saliency)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spotting_equals_the_written_out_method((k, w, d, t, seed) in shapes()) {
        let set = categories(k, w, d, seed);
        let frames = numbers(t * d, seed + 7);
        let mut recognizer = recognizer(spec(t), &set);
        push_all(&mut recognizer, &frames, d);
        let scores = recognizer.scores().unwrap();
        let (s_v, saliency) = written_out(&set, &frames, 0.01);
        prop_assert!(difference(scores.s_v.clone(), s_v) < 2e-5);
        prop_assert!(difference(scores.saliency.iter().copied(), saliency) < 2e-5);
    }

    #[test]
    fn saliency_sums_to_1((k, w, d, t, seed) in shapes(), missing in 0..12usize) {
        let mut recognizer = recognizer(spec(t), &categories(k, w, d, seed));
        let present = t - missing.min(t - 1);
        push_all(&mut recognizer, &numbers(present * d, seed + 7), d);
        let scores = recognizer.scores().unwrap();
        prop_assert_eq!(scores.full, present == t);
        prop_assert_eq!(scores.frames.len(), present);
        for row in scores.saliency.rows() {
            prop_assert!((row.sum() - 1.0).abs() < 1e-5);
            prop_assert!(row.iter().skip(present).all(|share| *share == 0.0));
        }
    }

    #[test]
    fn spotting_equal_frames_equals_the_dot_product((k, w, d, t, seed) in shapes()) {
        let set = categories(k, w, d, seed);
        let frames = numbers(d, seed + 7).repeat(t);
        let score = |interaction| {
            let mut recognizer = recognizer(RecognitionSpec { interaction, ..spec(t) }, &set);
            push_all(&mut recognizer, &frames, d);
            recognizer.scores().unwrap().s_v.clone()
        };
        prop_assert!(difference(score(Interaction::Vcs), score(Interaction::Dp)) < 1e-5);
    }

    #[test]
    fn permuting_frames_permutes_saliency((k, w, d, t, seed) in shapes(), turn in 0..12usize) {
        let set = categories(k, w, d, seed);
        let frames = numbers(t * d, seed + 7);
        // Reversed, then rotated: every order of three frames, and many orders of more.
        let mut order: Vec<usize> = (0..t).rev().collect();
        order.rotate_left(turn % t);
        let permuted: Vec<f32> = order.iter().flat_map(|i| frames[i * d..][..d].to_vec()).collect();
        let mut straight = recognizer(spec(t), &set);
        push_all(&mut straight, &frames, d);
        let mut rotated = recognizer(spec(t), &set);
        push_all(&mut rotated, &permuted, d);
        let (straight, rotated) = (straight.scores().unwrap(), rotated.scores().unwrap());
        prop_assert!(difference(straight.s_v.clone(), rotated.s_v.clone()) < 1e-5);
        for (there, &here) in order.iter().enumerate() {
            let columns = (straight.saliency.column(here), rotated.saliency.column(there));
            prop_assert!(difference(columns.0.iter().copied(), columns.1.iter().copied()) < 1e-5);
        }
    }

    #[test]
    fn streaming_equals_batch((k, w, d, t, seed) in shapes(), extra in 0..30usize, every in 1..5usize, headed: bool) {
        let set = categories(k, w, d, seed);
        let frames = numbers((t + extra) * d, seed + 7);
        let make = || {
            // A header for this test: each frame plus the mean of all.
            let header = move |frames: &[f32], out: &mut [f32]| {
                for (i, out) in out.iter_mut().enumerate() {
                    let mean = frames.iter().skip(i % d).step_by(d).sum::<f32>() / t as f32;
                    *out = frames[i] + mean;
                }
                Ok(())
            };
            let header = headed.then_some(Box::new(header) as Box<dyn Header>);
            Recognizer::new(spec(t), Vocabulary::from_categories(&set), None, header, None).unwrap()
        };
        let mut stream = make();
        for (i, frame) in frames.chunks_exact(d).enumerate() {
            push_all(&mut stream, frame, d);
            if i % every == 0 {
                stream.scores().unwrap();
            }
        }
        let mut batch = make();
        push_all(&mut batch, &frames[extra * d..], d);
        let (stream, batch) = (stream.scores().unwrap(), batch.scores().unwrap());
        prop_assert!(difference(stream.s_v.clone(), batch.s_v.clone()) < 1e-6);
        prop_assert!(difference(stream.saliency.iter().copied(), batch.saliency.iter().copied()) < 1e-6);
        prop_assert!(difference(stream.confidence.clone(), batch.confidence.clone()) < 1e-4);
    }

    #[test]
    fn compacted_words_equal_all_words((k, w, d, t, seed) in shapes(), copies in 1..5usize, shared in 0..4usize) {
        // Exact: `shared` rows alike in all categories, then `w` different rows, each `copies` times.
        let different = unit_rows(k * w, d, seed);
        let prompt = unit_rows(shared, d, seed + 1);
        let exact_w = shared + w * copies;
        let mut exact = Vec::new();
        for rows in different.chunks_exact(w * d) {
            exact.extend(&prompt);
            exact.extend(rows.chunks_exact(d).flat_map(|row| row.repeat(copies)));
        }
        // Compacted: each row once with its weight, and an unused row of nonsense after each.
        let mut compacted = Vec::new();
        let mut weights = Vec::new();
        for row in different.chunks_exact(d) {
            compacted.extend(row);
            compacted.extend(vec![0.5; d]);
            weights.extend([copies as f32, 0.0]);
        }
        let mut set = categories(k, 1, d, seed + 2);
        let frames = numbers(t * d, seed + 7);
        let mut score = |words: WordTable| {
            set.words = words;
            let mut recognizer = recognizer(spec(t), &set);
            push_all(&mut recognizer, &frames, d);
            recognizer.scores().unwrap().clone()
        };
        let exact = score(words(table(d, &exact), &vec![1.0; k * exact_w], exact_w));
        let compacted = score(WordTable {
            shared: (shared > 0).then(|| (table(d, &prompt), vec![1.0; shared])),
            ..words(table(d, &compacted), &weights, w * 2)
        });
        prop_assert!(difference(exact.s_v, compacted.s_v) < 1e-5);
        prop_assert!(difference(exact.saliency.iter().copied(), compacted.saliency.iter().copied()) < 1e-5);
    }

    #[test]
    fn mixed_words_equal_the_words_they_expand_to(
        (k, p, d, t, seed) in shapes(),
        rows in prop::collection::vec(1u32..6, 1..12),
        dtype in prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::I8]),
        half: bool,
    ) {
        let of_text: Vec<u32> = rows.iter().cycle().take(k).copied().collect();
        let first = Mixture::row_starts(&of_text);
        let (total, common) = (first[k], categories(1, p, d, seed + 3).words.own);
        let own = stored_as(&categories(total, 1, d, seed + 4).words.own, dtype);
        let mix = stored_as(&table(p, &numbers(total * p, seed + 5)), dtype);
        let row = |table: &Table, i| {
            let mut row = vec![0.0; table.width()];
            table.row_into(i, &mut row);
            row
        };
        let mut made = Vec::new();
        for ends in first.windows(2) {
            for i in 0..p {
                let mut word = row(&common, i);
                for j in ends[0]..ends[1] {
                    let share = row(&mix, j)[i];
                    word.iter_mut().zip(row(&own, j)).for_each(|(word, x)| *word += share * x);
                }
                made.extend(word);
            }
        }
        let mut set = categories(k, 1, d, seed);
        let shared = half.then(|| (categories(1, 2, d, seed + 6).words.own, vec![1.0; 2]));
        let frames = numbers(t * d, seed + 7);
        let mut score = |words: WordTable| {
            set.words = WordTable { shared: shared.clone(), ..words };
            let mut recognizer = recognizer(spec(t), &set);
            push_all(&mut recognizer, &frames, d);
            recognizer.scores().unwrap().clone()
        };
        let whole = score(words(table(d, &made), &vec![1.0; k * p], p));
        let mixed = score(WordTable { own, layout: WordLayout::Mixed(Mixture { mix, common, first }), shared: None });
        // Products add up in another order, and are divided by tau.
        prop_assert!(difference(whole.s_v, mixed.s_v) < 1e-4);
        prop_assert!(difference(whole.saliency.iter().copied(), mixed.saliency.iter().copied()) < 1e-4);
    }

    #[test]
    fn storage_types_equal_their_numbers((k, w, d, t, seed) in shapes(), half: bool) {
        let dtype = if half { Dtype::F16 } else { Dtype::I8 };
        let mut set = categories(k, w, d, seed);
        set.words.own = stored_as(&set.words.own, dtype);
        set.category = stored_as(&set.category, dtype);
        let widened = |stored: &Table| stored_as(stored, Dtype::F32);
        let mut plain = set.clone();
        (plain.words.own, plain.category) = (widened(&set.words.own), widened(&set.category));
        let frames = numbers(t * d, seed + 7);
        let score = |set: &CategorySet| {
            let mut recognizer = recognizer(spec(t), set);
            push_all(&mut recognizer, &frames, d);
            recognizer.scores().unwrap().s_v.clone()
        };
        prop_assert!(difference(score(&set), score(&plain)) < 1e-5);
    }
}
