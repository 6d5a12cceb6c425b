//! Small builders of what tests need.

pub mod bundle;
pub mod onnx;
pub mod schema;

/// Numbers in -1..1 that are exact in f32; tests/data/make_goldens_onnx.py makes the same.
pub fn pattern(count: usize, seed: u64) -> Vec<f32> {
    let number = |i: u64| {
        let mixed = (i + seed).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        (mixed >> 16) as f32 / 32768.0 - 1.0
    };
    (0..count as u64).map(number).collect()
}
