//! Embeddings, tables and settings that cannot be used are refused with a message; no score is ever NaN.

use bike_edge::recognition::{
    FrameStamp, Interaction, Mixture, RecognitionSpec, Recognizer, Vocabulary, WordLayout, WordTable,
};

use crate::support::tables::{categories, numbers, push_all, recognizer, spec, table, words};

const D: usize = 8;
const STAMP: FrameStamp = FrameStamp { time: 1.5, index: 37 };

#[test]
fn embeddings_without_a_direction_are_refused_and_leave_the_window_unchanged() {
    let mut recognizer = recognizer(spec(2), &categories(3, 4, D, 1));
    push_all(&mut recognizer, &numbers(2 * D, 2), D);
    let before = recognizer.scores().unwrap().clone();
    for bad in [[0.0; D], [f32::NAN; D], [f32::INFINITY; D], [f32::NEG_INFINITY; D]] {
        let error = recognizer.push(STAMP, &bad, None).unwrap_err().to_string();
        assert!(error.contains("visual.onnx") && error.contains("frame 37 at 1.500 s"), "{error}");
    }
    let error = recognizer.push(STAMP, &[1.0; D + 1], None).unwrap_err().to_string();
    assert!(error.contains("9 numbers") && error.contains("have 8"), "{error}");
    let after = recognizer.scores().unwrap();
    assert_eq!((&before.s_v, &before.frames), (&after.s_v, &after.frames));
}

#[test]
fn huge_and_tiny_embeddings_score_as_their_directions_do() {
    let frames = numbers(4 * D, 2);
    let score = |size: f32, interaction| {
        let mut recognizer = recognizer(RecognitionSpec { interaction, ..spec(4) }, &categories(3, 4, D, 1));
        let frames: Vec<f32> = frames.iter().map(|x| x * size).collect();
        push_all(&mut recognizer, &frames, D);
        recognizer.scores().unwrap().s_v.clone()
    };
    for interaction in [Interaction::Vcs, Interaction::Dp] {
        let plain = score(1.0, interaction);
        for size in [1e-30, 1e30, 3e38] {
            for (a, b) in plain.iter().zip(score(size, interaction)) {
                assert!((a - b).abs() < 1e-5, "{size}");
            }
        }
    }
}

#[test]
fn frames_that_cancel_out_have_no_mean() {
    let mut recognizer =
        recognizer(RecognitionSpec { interaction: Interaction::Dp, ..spec(2) }, &categories(3, 4, D, 1));
    let frame = numbers(D, 2);
    push_all(&mut recognizer, &[frame.clone(), frame.iter().map(|x| -x).collect()].concat(), D);
    assert!(recognizer.scores().unwrap_err().to_string().contains("cancel out"));
}

#[test]
fn a_header_that_gives_nan_is_refused() {
    for interaction in [Interaction::Vcs, Interaction::Dp] {
        let header = |_: &[f32], out: &mut [f32]| {
            out.fill(f32::NAN);
            Ok(())
        };
        let vocabulary = Vocabulary::from_categories(&categories(3, 4, D, 1));
        let spec = RecognitionSpec { interaction, ..spec(2) };
        let mut recognizer = Recognizer::new(spec, vocabulary, None, Some(Box::new(header)), None).unwrap();
        push_all(&mut recognizer, &numbers(2 * D, 2), D);
        assert!(recognizer.scores().unwrap_err().to_string().contains("not finite"));
    }
}

#[test]
fn tables_with_nan_are_refused_even_without_an_earlier_check() {
    let mut set = categories(3, 4, D, 1);
    set.category = table(D, &[f32::NAN; 3 * D]);
    let mut recognizer = recognizer(spec(2), &set);
    push_all(&mut recognizer, &numbers(2 * D, 2), D);
    assert!(recognizer.scores().unwrap_err().to_string().contains("not finite"));
}

#[test]
fn one_category_gets_all_of_the_confidence() {
    let mut recognizer = recognizer(spec(2), &categories(1, 4, D, 1));
    push_all(&mut recognizer, &numbers(2 * D, 2), D);
    let scores = recognizer.scores().unwrap();
    assert_eq!((scores.score[0], scores.confidence[0]), (1.0, 1.0));
}

#[test]
fn equal_categories_share_confidence_equally() {
    let mut set = categories(4, 2, D, 1);
    set.category = table(D, &[0.0; 4 * D]);
    let mut recognizer = recognizer(spec(2), &set);
    push_all(&mut recognizer, &numbers(2 * D, 2), D);
    assert_eq!(recognizer.scores().unwrap().confidence, [0.25; 4]);
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |spec: RecognitionSpec| {
        let vocabulary = Vocabulary::from_categories(&categories(1, 1, D, 1));
        Recognizer::new(spec, vocabulary, None, None, None).err().expect("should have been refused").to_string()
    };
    assert!(refused(spec(0)).contains("window: 0 is out of range"));
    assert!(refused(spec(65)).contains("window: 65 is out of range"));
    assert!(refused(RecognitionSpec { tau: 0.0, ..spec(1) }).contains("tau: 0 is out of range"));
    assert!(refused(RecognitionSpec { tau: f32::NAN, ..spec(1) }).contains("tau: NaN is out of range"));
    assert!(refused(RecognitionSpec { lambda: 1.5, ..spec(1) }).contains("lambda: 1.5 is out of range"));
    assert!(refused(RecognitionSpec { lambda: f32::NAN, ..spec(1) }).contains("lambda: NaN is out of range"));
    assert!(
        refused(RecognitionSpec { logit_scale: f32::INFINITY, ..spec(1) }).contains("logit_scale: inf is out of range")
    );
}

/// Words of `count` categories at 5 positions, with two rows each, modified by `change`.
fn mixed(count: usize, positions: usize, change: fn(&mut Mixture)) -> WordTable {
    let rows = 2 * count;
    let (mix, common) = (table(positions, &vec![0.1; rows * positions]), table(D, &vec![0.1; positions * D]));
    let mut mixture = Mixture { mix, common, first: Mixture::row_starts(&vec![2; count]) };
    change(&mut mixture);
    WordTable { own: table(D, &vec![0.1; rows * D]), layout: WordLayout::Mixed(mixture), shared: None }
}

#[test]
fn tables_that_do_not_fit_together_are_refused() {
    let refused = |change: fn(&mut bike_edge::recognition::CategorySet)| {
        let mut set = categories(3, 4, D, 1);
        change(&mut set);
        let recognizer = Recognizer::new(spec(2), Vocabulary::from_categories(&set), None, None, None);
        recognizer.err().expect("should have been refused").to_string()
    };
    assert!(refused(|set| set.names.truncate(2)).contains("one name per category"));
    assert!(refused(|set| set.words = words(table(D, &[0.1; 12 * D]), &[1.0; 15], 5)).contains("do not fit"));
    assert!(refused(|set| set.words.own = table(D + 1, &[0.1; 12 * (D + 1)])).contains("do not fit"));
    assert!(refused(|set| set.words = words(table(D, &[0.1; 12 * D]), &[0.0; 12], 4)).contains("no words to spot"));
    assert!(refused(|set| set.words = mixed(2, 5, |_| ())).contains("do not fit"));
    assert!(refused(|set| set.words = mixed(3, 5, |m| m.first = [0, 2, 4, 7].into())).contains("do not fit"));
    assert!(refused(|set| set.words = mixed(3, 5, |m| m.first = [0, 5, 4, 6].into())).contains("do not fit"));
    assert!(refused(|set| set.words = mixed(3, 5, |m| m.common = table(D, &[0.1; 4 * D]))).contains("do not fit"));
    assert!(
        refused(|set| set.words = mixed(3, 5, |m| m.common = table(D + 1, &[0.1; 5 * (D + 1)]))).contains("do not")
    );
    assert!(refused(|set| set.category = table(D, &[0.1; 2 * D])).contains("one name per category"));
    assert!(refused(|set| set.words.shared = Some((table(D, &[0.1; D]), vec![]))).contains("do not fit"));
}

#[test]
fn a_header_receives_few_frames_repeated_and_saliency_stays_with_the_real_frames() {
    let frames = numbers(3 * D, 2);
    let expected: Vec<f32> = [0, 0, 0, 1, 1, 1, 2, 2].iter().flat_map(|i| frames[i * D..][..D].to_vec()).collect();
    let header = move |input: &[f32], out: &mut [f32]| {
        assert_eq!(input, expected);
        out.copy_from_slice(input);
        Ok(())
    };
    let vocabulary = Vocabulary::from_categories(&categories(3, 4, D, 1));
    let mut recognizer = Recognizer::new(spec(8), vocabulary, None, Some(Box::new(header)), None).unwrap();
    push_all(&mut recognizer, &frames, D);
    let scores = recognizer.scores().unwrap();
    assert!(!scores.full);
    for row in scores.saliency.rows() {
        assert!((row.iter().take(3).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(row.iter().skip(3).all(|share| *share == 0.0));
    }
}
