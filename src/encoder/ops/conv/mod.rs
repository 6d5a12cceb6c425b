//! f32 convolutions of mobile networks with channels last, where every inner loop runs over channels.
//!
//! Between two of these operators nothing is transposed; see [`matching`].

mod depthwise;
pub(crate) mod matching;

use std::cell::RefCell;
use std::sync::Arc;

use tract_core::internal::*;

use super::engine::Engine;
use super::gemm::{Finish, Product, Write, columns, multiply, multiply_finished};
use super::level::by_level;
use super::math::bounded;
use super::shared::Shared;

/// Rows of a matrix product that one task works on.
const ROWS: usize = 64;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Height, width and channels of the input and of the output.
    pub(crate) input: [usize; 3],
    pub(crate) output: [usize; 3],
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Rows of zeros above, columns of zeros to the left.
    pub(crate) padding: [usize; 2],
}

/// What is multiplied with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All input channels for each output channel.
    Dense,
    /// Each channel by itself.
    Depthwise,
}

/// Input `[1, H, W, C]` and, with `residual`, one of the output's shape; output `[1, H', W', C']`.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    engine: Arc<Engine>,
    shape: Shape,
    kind: Kind,
    /// Dense: panels `[C' / tile][kh * kw * C][tile]`; depthwise: `[kh * kw][C]`.
    weights: Arc<[f32]>,
    bias: Arc<[f32]>,
    /// Answers are kept between these.
    bounds: [f32; 2],
    residual: bool,
}

impl PartialEq for Convolution {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights) && self.shape == other.shape && self.residual == other.residual
    }
}
impl Eq for Convolution {}

thread_local! {
    /// Input rows laid out for a matrix product, and a block of its answers.
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

impl Op for Convolution {
    fn name(&self) -> StaticName {
        "Convolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?} {:?}", self.kind, self.shape)])
    }

    op_as_typed_op!();
}

impl EvalOp for Convolution {
    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [height, width, channels] = self.shape.output;
        let shape = [1, height, width, channels];
        // SAFETY: every number is written below.
        let mut out = unsafe { Tensor::uninitialized_aligned_dt(f32::datum_type(), &shape, 64)? };
        let x = inputs[0].try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        ensure!(x.len() == self.shape.input.iter().product::<usize>(), "convolution got {:?}", inputs[0].shape());
        let residual = match inputs.get(1).filter(|_| self.residual) {
            Some(r) => r.try_as_plain_ram()?.as_slice::<f32>()?,
            None => &[],
        };
        ensure!(residual.len() == if self.residual { out.len() } else { 0 }, "convolution got another residual");
        let mut view = out.try_as_plain_ram_mut()?;
        let out_slice = view.as_slice_mut::<f32>()?;
        match self.kind {
            Kind::Dense => self.dense(x, residual, out_slice),
            Kind::Depthwise => self.depthwise(x, out_slice),
        }
        Ok(tvec!(out.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.iter().all(|i| i.datum_type == f32::datum_type()), "convolution works on f32");
        let [height, width, channels] = self.shape.output;
        Ok(tvec!(f32::fact([1, height, width, channels])))
    }

    as_op!();
}

impl Convolution {
    fn dense(&self, x: &[f32], residual: &[f32], out: &mut [f32]) {
        let Engine { level, pool, .. } = &*self.engine;
        let [height, width, channels] = self.shape.output;
        let (points, k) = (height * width, self.shape.kernel[0] * self.shape.kernel[1] * self.shape.input[2]);
        let tile = columns(*level);
        let half = tile / 2;
        let panels = channels.div_ceil(tile);
        let blocks = points.div_ceil(ROWS);
        // Where there are few rows, columns are shared out too.
        let groups = if blocks >= 4 * pool.threads() { 1 } else { panels.min(4 * pool.threads()) };
        let is_matrix = self.shape.kernel == [1, 1] && self.shape.stride == [1, 1] && self.shape.padding == [0, 0];
        let shared = Shared::new(out);
        pool.run(blocks * groups, &|task| {
            let (block, group) = (task / groups, task % groups);
            let (first, last) = (block * ROWS, points.min((block + 1) * ROWS));
            SCRATCH.with_borrow_mut(|[rows, answers]| {
                answers.resize(ROWS * tile, 0.0);
                let a = if is_matrix {
                    &x[first * k..last * k]
                } else {
                    rows.resize(ROWS * k, 0.0);
                    for (point, row) in (first..last).zip(rows.chunks_exact_mut(k)) {
                        self.shape.gather(x, point / width, point % width, row);
                    }
                    &rows[..(last - first) * k]
                };
                for panel in group * panels / groups..(group + 1) * panels / groups {
                    let start = panel * tile;
                    let used = tile.min(channels - start);
                    let n = used.next_multiple_of(half);
                    let b = &self.weights[start * k..][..k * n];
                    let product = Product { rows: last - first, a, a_stride: k, k, b, b_stride: n, n };
                    let at = first * channels + start;
                    let residual = if residual.is_empty() { residual } else { &residual[at..] };
                    let bias = &self.bias[start..start + used];
                    // SAFETY: only this task writes these points' channels.
                    let mut block = unsafe { shared.block(at, channels, last - first, used) };
                    if used == n {
                        multiply_finished(*level, product, Finish { bias, bounds: self.bounds, residual }, block);
                        continue;
                    }
                    // A panel filled up beyond the last channel.
                    multiply(*level, product, Write::Over, answers, n);
                    for (row, answer) in answers.chunks_exact(n).take(last - first).enumerate() {
                        let residual = if residual.is_empty() { residual } else { &residual[row * channels..] };
                        finish(*level, answer, bias, self.bounds, residual, block.row(row));
                    }
                }
            });
        });
    }
}

impl Shape {
    /// Writes what lies under the kernel for the output at (y, x) to `row`, zeros where that is outside.
    fn gather(&self, input: &[f32], y: usize, x: usize, row: &mut [f32]) {
        let [height, width, channels] = self.input;
        let mut cells = row.chunks_exact_mut(channels);
        for ky in 0..self.kernel[0] {
            for kx in 0..self.kernel[1] {
                let Some(cell) = cells.next() else { return };
                // Wraps to far outside where it would be negative.
                let iy = (y * self.stride[0] + ky).wrapping_sub(self.padding[0]);
                let ix = (x * self.stride[1] + kx).wrapping_sub(self.padding[1]);
                if iy < height && ix < width {
                    cell.copy_from_slice(&input[(iy * width + ix) * channels..][..channels]);
                } else {
                    cell.fill(0.0);
                }
            }
        }
    }
}

by_level! {
    /// out = bounded(x + bias) + residual; an empty residual counts as zeros.
    fn finish(x: &[f32], bias: &[f32], bounds: [f32; 2], residual: &[f32], out: &mut [f32]);
    avx512 = finish_body, avx2 = finish_body, base = finish_body
}

#[inline(always)]
fn finish_body(x: &[f32], bias: &[f32], [low, high]: [f32; 2], residual: &[f32], out: &mut [f32]) {
    let n = out.len();
    let (x, bias) = (&x[..n], &bias[..n]);
    if residual.is_empty() {
        for i in 0..n {
            out[i] = bounded(x[i] + bias[i], low, high);
        }
    } else {
        let residual = &residual[..n];
        for i in 0..n {
            out[i] = bounded(x[i] + bias[i], low, high) + residual[i];
        }
    }
}
