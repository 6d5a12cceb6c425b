//! Helpers that tests share.

pub mod allocations;
pub mod bundle;
pub mod clips;
pub mod fake_camera;
pub mod mp4;
pub mod onnx;
pub mod pictures;
pub mod program;
pub mod recordings;
pub mod schema;
#[cfg(target_os = "linux")]
pub mod service;
pub mod skip;
pub mod spec;
pub mod tables;

/// Returns numbers in -1..1 that are exact in f32. tests/data/make_goldens_onnx.py produces the same.
pub fn pattern(count: usize, seed: u64) -> Vec<f32> {
    let number = |i: u64| {
        let mixed = (i + seed).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        (mixed >> 16) as f32 / 32768.0 - 1.0
    };
    (0..count as u64).map(number).collect()
}
