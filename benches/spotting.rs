//! One step of concept spotting: a frame's embedding in, scores out. Target: 1 ms without a header for 400 categories
//! of 77 words, 512 wide, over 8 frames, on one core.
//!
//! `cargo bench --bench spotting`

use bike_edge::recognition::{
    CategorySet, FrameStamp, Header, Interaction, Mixture, RecognitionSpec, Recognizer, SentenceMethod, Vocabulary,
    WordLayout, WordTable,
};
use bike_edge::table::{Bytes, Dtype, Table};
use divan::{Bencher, black_box};
use half::f16;

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

/// Rows of pseudo-random numbers of about unit length.
fn table(rows: usize, width: usize, dtype: Dtype) -> Table {
    let mut state = 1u32;
    let numbers = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(rows * width);
    let size = (3.0 / width as f32).sqrt();
    let bytes: Vec<u8> = match dtype {
        Dtype::F32 => numbers.flat_map(|x| (x * size).to_le_bytes()).collect(),
        Dtype::F16 => numbers.flat_map(|x| f16::from_f32(x * size).to_le_bytes()).collect(),
        Dtype::I8 => numbers.map(|x| (x * 127.0) as i8 as u8).collect(),
    };
    let scale: Vec<u8> = std::iter::repeat_n((size / 127.0).to_le_bytes(), rows).flatten().collect();
    let scale = (dtype == Dtype::I8).then(|| Bytes::copy_of(&scale));
    Table::new(rows, width, dtype, Bytes::copy_of(&bytes), scale).expect("shapes fit")
}

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
    let spec = RecognitionSpec {
        window: T,
        interaction: Interaction::Vcs,
        tau: 0.01,
        lambda: 1.0,
        logit_scale: 100.0,
        top_k: 5,
        attribute_scores: SentenceMethod::Mean,
    };
    let header = header.then(|| {
        Box::new(|frames: &[f32], out: &mut [f32]| {
            out.copy_from_slice(frames);
            Ok(())
        }) as Box<dyn Header>
    });
    Recognizer::new(spec, Vocabulary::from_categories(&set), None, header, None).expect("tables fit")
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
