//! Tables of embedding rows, read in place (from a mapped file, the binary or the heap), and the kernels over them.

mod kernel;
mod rows;

pub(crate) use kernel::{Group, LANES, MAX_COLUMNS, SoftmaxSums};
pub use rows::{Bytes, Dtype, Rows, Table};
pub(crate) use rows::{RowSet, TableId};

/// Scales `x` to length 1. Returns `None` if it has no direction: a number is not finite, or all are zero.
pub(crate) fn normalise(x: &mut [f32]) -> Option<()> {
    let square: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if !square.is_finite() || square == 0.0 {
        return None;
    }
    let inverse = 1.0 / square.sqrt();
    x.iter_mut().for_each(|x| *x = (f64::from(*x) * inverse) as f32);
    Some(())
}

/// Writes the mean of vectors `[n, D]`, scaled to length 1, to `out`, `[D]`. Returns `None` if it has no direction.
pub(crate) fn mean_direction(vectors: &[f32], out: &mut [f32]) -> Option<()> {
    // Divided before they are added, so that no sum of finite numbers overflows.
    let share = out.len() as f32 / vectors.len().max(1) as f32;
    out.fill(0.0);
    for vector in vectors.chunks_exact(out.len().max(1)) {
        out.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x * share);
    }
    normalise(out)
}

/// Returns the name of the instruction set that the kernels use on this CPU.
pub fn instruction_set() -> &'static str {
    kernel::kernels().name
}

/// Computes `out[i] = exp((x[i] - shift) * scale)`, within 1e-7 of the true value. The exponent must not exceed 88, and
/// is raised to -86 if it is below that.
pub(crate) fn exp_all(x: &[f32], shift: f32, scale: f32, out: &mut [f32]) {
    (kernel::kernels().exp_all)(x, shift, scale, out);
}

/// Computes for each group g of rows and each column t:
/// `out[g * out_stride + t] = sum over the rows j of weight_j * softmax_t(similarity[j, t] / tau)`.
pub(crate) fn softmax_sums(matrix: SoftmaxSums<'_>, groups: &[Group], out: &mut [f32], out_stride: usize) {
    (kernel::kernels().softmax_sums)(matrix, groups, out, out_stride);
}
