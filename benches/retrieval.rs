//! Nearest attribute phrases. Target: the top five of 100,000 x 512 within 5 ms.
//!
//! `cargo bench --bench retrieval`

use std::sync::Arc;

use bike_edge::recognition::{CategorySet, FrameStamp, Lexicon, Recognizer, Vocabulary, WordTable};
use bike_edge::table::{Dtype, Table};
use divan::{Bencher, black_box};
use support::{spec, table};

mod support;

fn main() {
    println!("instruction set: {}", bike_edge::table::instruction_set());
    divan::main();
}

#[divan::bench(args = [Dtype::F32, Dtype::F16, Dtype::I8], sample_count = 50)]
fn dot_all_100_000_x_512(bencher: Bencher<'_, '_>, dtype: Dtype) {
    let table = table(100_000, 512, dtype);
    let x = vec![0.044; 512];
    let mut out = vec![0.0; 100_000];
    bencher.bench_local(|| table.dot_all(black_box(&x), black_box(&mut out)));
}

/// As the temporal header needs it: several vectors in one pass.
#[divan::bench(args = [1, 8, 16], sample_count = 50)]
fn vectors_in_one_pass_30_800_x_512_f16(bencher: Bencher<'_, '_>, vectors: usize) {
    let table = table(30_800, 512, Dtype::F16);
    let x = vec![0.044; 512 * vectors];
    let mut out = vec![0.0; 30_800 * vectors];
    bencher.bench_local(|| table.dot_range(0..30_800, black_box(&x), black_box(&mut out), 30_800));
}

fn words(rows: usize) -> WordTable {
    let weight = Table::from_f32(1, &vec![1.0; rows]).expect("shapes fit");
    WordTable::weighted(table(rows, 512, Dtype::I8), weight)
}

/// A frame in, the five nearest of 100,000 phrases out; two categories, so that spotting costs nothing.
#[divan::bench(args = [Dtype::F16, Dtype::I8], sample_count = 50)]
fn five_of_100_000_phrases(bencher: Bencher<'_, '_>, dtype: Dtype) {
    let names = || (0..2).map(|k| k.to_string()).collect();
    let set = CategorySet { names: names(), category: table(2, 512, Dtype::F32), words: words(2), attribute: None };
    let lexicon = Lexicon {
        phrases: (0..100_000).map(|n| n.to_string()).collect(),
        retrieval: table(100_000, 512, dtype),
        sentence: None,
        words: words(100_000),
        sentence_attribute: None,
        sentence_mean: None,
    };
    let vocabulary = Vocabulary::from_categories(&set);
    let mut recognizer = Recognizer::new(spec(8), vocabulary, Some(Arc::new(lexicon)), None, None).expect("tables fit");
    let mut embedding = vec![0.25; 512];
    let mut index = 0;
    bencher.bench_local(|| {
        embedding[index % 512] = -embedding[index % 512];
        let stamp = FrameStamp { time: index as f64, index: index as u64 };
        index += 1;
        recognizer.push(stamp, black_box(&embedding), None).expect("finite");
        recognizer.scores().expect("finite").attributes[0]
    });
}
