//! Embedding tables used where they lie: in a mapped file, in the binary, or on the heap.

mod bytes;
mod kernel;
mod row_set;
mod rows;

pub use bytes::Bytes;
pub use kernel::{Group, LANES, MAX_COLUMNS, SoftmaxSums};
pub use row_set::{RowSet, TableId};
pub use rows::{Dtype, Rows, Table};

/// Brings `x` to length 1; `None` where it has no direction: a number is not finite, or all are zero.
pub(crate) fn normalise(x: &mut [f32]) -> Option<()> {
    let square: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if !square.is_finite() || square == 0.0 {
        return None;
    }
    let inverse = 1.0 / square.sqrt();
    x.iter_mut().for_each(|x| *x = (f64::from(*x) * inverse) as f32);
    Some(())
}

/// The instruction set that tables are searched with on this CPU.
pub fn instruction_set() -> &'static str {
    kernel::kernels().name
}

/// `out[i] = exp((x[i] - shift) * scale)`, within 1e-7 of the true value; the exponent must not exceed 88, and counts
/// as -86 where it is below that.
pub fn exp_all(x: &[f32], shift: f32, scale: f32, out: &mut [f32]) {
    (kernel::kernels().exp_all)(x, shift, scale, out);
}

/// For each group g of rows and each column t:
/// `out[g * out_stride + t] = sum over the rows j of weight_j * softmax_t(similarity[j, t] / tau)`.
pub fn softmax_sums(matrix: SoftmaxSums<'_>, groups: &[Group], out: &mut [f32], out_stride: usize) {
    (kernel::kernels().softmax_sums)(matrix, groups, out, out_stride);
}
