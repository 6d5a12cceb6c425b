//! Small tables of pseudo-random embeddings, and recognizers that use them.

use bike_edge::recognition::{CategorySet, FrameStamp, Lexicon, RecognitionSpec, Recognizer, Vocabulary, WordTable};
use bike_edge::table::{Bytes, Dtype, Table};
use half::f16;

pub use super::spec::spec;

/// Returns numbers between -1 and 1, the same for the same seed.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Returns rows of length 1.
pub fn unit_rows(rows: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut numbers = numbers(rows * width, seed);
    for row in numbers.chunks_exact_mut(width) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    numbers
}

/// Creates an f32 table.
pub fn table(width: usize, numbers: &[f32]) -> Table {
    Table::from_f32(width, numbers).unwrap()
}

/// Returns the same rows in another storage type.
pub fn stored_as(table: &Table, dtype: Dtype) -> Table {
    let (rows, width) = (table.rows(), table.width());
    let mut row = vec![0.0; width];
    let (mut bytes, mut scales) = (Vec::new(), Vec::new());
    for i in 0..rows {
        table.row_into(i, &mut row);
        let scale = row.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0;
        scales.extend(scale.to_le_bytes());
        for x in &row {
            match dtype {
                Dtype::F32 => bytes.extend(x.to_le_bytes()),
                Dtype::F16 => bytes.extend(f16::from_f32(*x).to_le_bytes()),
                Dtype::I8 => bytes.push((x / scale).round() as i8 as u8),
            }
        }
    }
    let scales = (dtype == Dtype::I8).then(|| Bytes::copy_of(&scales));
    Table::new(rows, width, dtype, Bytes::copy_of(&bytes), scales).unwrap()
}

/// Creates words `[K, W, D]` with weights `[K, W]`.
pub fn words(own: Table, weights: &[f32], rows_per_category: usize) -> WordTable {
    WordTable::weighted(own, table(rows_per_category, weights))
}

/// Creates K categories `category 0`, ... with W words each, all of weight 1.
pub fn categories(k: usize, w: usize, d: usize, seed: u64) -> CategorySet {
    CategorySet {
        names: (0..k).map(|k| format!("category {k}")).collect(),
        category: table(d, &unit_rows(k, d, seed)),
        words: words(table(d, &unit_rows(k * w, d, seed + 1)), &vec![1.0; k * w], w),
        attribute: None,
    }
}

/// Creates a lexicon of N phrases `phrase 0`, ... with two words each.
pub fn lexicon(n: usize, d: usize, seed: u64) -> Lexicon {
    Lexicon {
        phrases: (0..n).map(|n| format!("phrase {n}")).collect(),
        retrieval: table(d, &unit_rows(n, d, seed)),
        sentence: None,
        words: words(table(d, &unit_rows(n * 2, d, seed + 1)), &vec![1.0; n * 2], 2),
        sentence_attribute: None,
        sentence_mean: None,
    }
}

/// Creates a recognizer without lexicon, header or composer.
pub fn recognizer(spec: RecognitionSpec, set: &CategorySet) -> Recognizer {
    Recognizer::new(spec, Vocabulary::from_categories(set), None, None, None).unwrap()
}

/// Pushes frames `[n, D]`, one second apart.
pub fn push_all(recognizer: &mut Recognizer, frames: &[f32], width: usize) {
    for (index, frame) in frames.chunks_exact(width).enumerate() {
        recognizer.push(FrameStamp { time: index as f64, index: index as u64 }, frame, None).unwrap();
    }
}

/// Returns the largest difference.
#[track_caller]
pub fn difference(a: impl IntoIterator<Item = f32>, b: impl IntoIterator<Item = f32>) -> f64 {
    let (a, b): (Vec<f32>, Vec<f32>) = (a.into_iter().collect(), b.into_iter().collect());
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max)
}
