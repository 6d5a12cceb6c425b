//! After construction, recognition allocates nothing, neither for a frame nor for scores.

use std::sync::Arc;

use bike_edge::recognition::{
    CategorySet, FrameStamp, Header, Interaction, Lexicon, Mixture, RecognitionSpec, Recognizer, Scoring,
    SentenceMethod, Vocabulary, WordLayout, WordTable,
};
use bike_edge::table::Table;

use crate::support::allocations::count;

const D: usize = 20;
const K: usize = 7;
const W: usize = 5;
const T: usize = 8;

fn table(rows: usize, width: usize) -> Table {
    let numbers: Vec<f32> = (0..rows * width).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0 - 0.5).collect();
    Table::from_f32(width, &numbers).unwrap()
}

fn words(count: usize) -> WordTable {
    let weight = Table::from_f32(W, &vec![1.0; count * W]).unwrap();
    WordTable { shared: Some((table(3, D), vec![1.0; 3])), ..WordTable::weighted(table(count * W, D), weight) }
}

/// Builds the words of this many categories.
type Words = fn(usize) -> WordTable;

/// Words at eight positions, mixed from three rows per category.
fn mixed(count: usize) -> WordTable {
    let (mix, common) = (table(count * 3, 8), table(8, D));
    let mixture = Mixture { mix, common, first: Mixture::row_starts(&vec![3; count]) };
    WordTable {
        own: table(count * 3, D),
        layout: WordLayout::Mixed(mixture),
        shared: Some((table(3, D), vec![1.0; 3])),
    }
}

fn recognizer(words: Words, interaction: Interaction, by: SentenceMethod, header: bool) -> Recognizer {
    let names = (0..K).map(|k| k.to_string()).collect();
    let set = CategorySet { names, category: table(K, D), words: words(K), attribute: None };
    let lexicon = Lexicon {
        phrases: (0..2000).map(|n| n.to_string()).collect(),
        retrieval: table(2000, D),
        sentence: None,
        words: words(2000),
        sentence_attribute: None,
        sentence_mean: Some(vec![0.01; D]),
    };
    let spec = RecognitionSpec {
        window: T,
        interaction,
        tau: 0.01,
        lambda: 0.8,
        logit_scale: 100.0,
        scoring: Scoring::Share,
        top_k: 5,
        sentence_method: by,
    };
    let header: Option<Box<dyn Header>> = header.then(|| {
        Box::new(|frames: &[f32], out: &mut [f32]| {
            out.copy_from_slice(frames);
            Ok(())
        }) as Box<dyn Header>
    });
    let composer = Box::new(|phrases: &[f32], out: &mut [f32]| {
        out.copy_from_slice(&phrases[..D]);
        Ok(())
    });
    let vocabulary = Vocabulary::from_categories(&set);
    Recognizer::new(spec, vocabulary, Some(Arc::new(lexicon)), header, Some(composer)).unwrap()
}

#[test]
fn pushing_frames_and_reading_scores_allocates_nothing() {
    let cases: [(Words, _); 3] = [(words, Interaction::Vcs), (mixed, Interaction::Vcs), (words, Interaction::Dp)];
    for (words, interaction) in cases {
        for sentence_method in [SentenceMethod::Composer, SentenceMethod::Mean] {
            for header in [false, true] {
                let mut recognizer = recognizer(words, interaction, sentence_method, header);
                let mut embedding = vec![0.5; D];
                let mut step = |index: u64| {
                    embedding[index as usize % D] += 0.25;
                    recognizer.push(FrameStamp { time: index as f64, index }, &embedding, None).unwrap();
                    let scores = recognizer.scores().unwrap();
                    assert_eq!(scores.full, index + 1 >= T as u64);
                };
                step(0);
                let allocated = count(|| (1..40).for_each(&mut step)).count;
                assert_eq!(allocated, 0, "{interaction:?}, {sentence_method:?}, header: {header}");
            }
        }
    }
}
