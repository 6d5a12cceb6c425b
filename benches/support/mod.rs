//! Tables and settings that the benchmarks share.

use bike_edge::table::{Bytes, Dtype, Table};
use half::f16;

#[path = "../../tests/support/spec.rs"]
mod spec;
pub use spec::spec;

/// Rows of pseudo-random numbers of about unit length.
pub fn table(rows: usize, width: usize, dtype: Dtype) -> Table {
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
