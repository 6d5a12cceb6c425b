//! One step of concept spotting: a frame's embedding in, scores out. Target: 1 ms without a header for 400 categories
//! of 77 words, 512 wide, over 8 frames, on one core.
//!
//! `cargo bench --bench spotting`

use bike_edge::recognition::{CategorySet, FrameStamp, Header, Mixture, Recognizer, Vocabulary, WordLayout, WordTable};
use bike_edge::table::{Dtype, Table};
use divan::{Bencher, black_box};
use support::{spec, table};

mod support;

const K: usize = 400;
const D: usize = 512;
const T: usize = 8;

fn main() {
    println!("instruction set: {}", bike_edge::table::instruction_set());
    divan::main();
}

/// How words are stored: all of them, or the six of the prompt once and the others as mixtures of 16 rows.
#[derive(Clone, Copy, Debug)]
enum Words {
    ExactF32,
    ExactF16,
    ExactI8,
    MixedI8,
}

const WORDS: [Words; 4] = [Words::ExactF32, Words::ExactF16, Words::ExactI8, Words::MixedI8];

fn recognizer(words: Words, header: bool) -> Recognizer {
    let names = (0..K).map(|k| k.to_string()).collect();
    let weighted = |rows: usize, dtype| {
        let weight = Table::from_f32(rows, &vec![1.0; K * rows]).expect("shapes fit");
        WordTable::weighted(table(K * rows, D, dtype), weight)
    };
    let words = match words {
        Words::ExactF32 => weighted(77, Dtype::F32),
        Words::ExactF16 => weighted(77, Dtype::F16),
        Words::ExactI8 => weighted(77, Dtype::I8),
        Words::MixedI8 => {
            let (mix, common) = (table(K * 16, 71, Dtype::I8), table(71, D, Dtype::F16));
            let mixture = Mixture { mix, common, first: Mixture::row_starts(&[16; K]) };
            let layout = WordLayout::Mixed(mixture);
            WordTable {
                own: table(K * 16, D, Dtype::I8),
                layout,
                shared: Some((table(6, D, Dtype::F16), vec![1.0; 6])),
            }
        }
    };
    let set = CategorySet { names, category: table(K, D, Dtype::F16), words, attribute: None };
    let header = header.then(|| {
        Box::new(|frames: &[f32], out: &mut [f32]| {
            out.copy_from_slice(frames);
            Ok(())
        }) as Box<dyn Header>
    });
    Recognizer::new(spec(T), Vocabulary::from_categories(&set), None, header, None).expect("tables fit")
}

fn step(bencher: Bencher<'_, '_>, words: Words, header: bool) {
    let mut recognizer = recognizer(words, header);
    let mut embedding = vec![0.25; D];
    let mut index = 0;
    bencher.bench_local(|| {
        embedding[index % D] = -embedding[index % D];
        let stamp = FrameStamp { time: index as f64, index: index as u64 };
        index += 1;
        recognizer.push(stamp, black_box(&embedding), None).expect("finite");
        recognizer.scores().expect("finite").s_v[0]
    });
}

/// A frame costs one column.
#[divan::bench(args = WORDS, sample_count = 300)]
fn step_without_header(bencher: Bencher<'_, '_>, words: Words) {
    step(bencher, words, false);
}

/// A frame costs T columns; the header itself is left out.
#[divan::bench(args = WORDS, sample_count = 100)]
fn step_with_header(bencher: Bencher<'_, '_>, words: Words) {
    step(bencher, words, true);
}
