//! f32 convolutions of mobile networks with channels last, so that every inner loop runs over channels.
//!
//! Each convolution gets its input with channels moved last, and its output is moved back. Then pairs of moves that
//! cancel are removed, so that only those at the ends of the network remain.

use std::cell::RefCell;
use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::cnn::PaddingSpec;
use tract_core::ops::cnn::conv::{Conv, KernelFormat};
use tract_core::ops::math::Add;
use tract_core::ops::nn::DataFormat;

use super::graph::{CHANNELS_TO_LAST, CHANNELS_TO_SECOND, bounds_after, constant, only_reader, other_operand};
use crate::encoder::cpu::choice::CpuContext;
use crate::encoder::cpu::depthwise::{self, ConvShape};
use crate::encoder::cpu::gemm::{Epilogue, Product, Store, columns, multiply, multiply_with};
use crate::encoder::cpu::level::{bounded, by_level};
use crate::encoder::cpu::threads::SharedSlice;

/// The rows of a matrix product that one task computes.
const ROWS: usize = 64;

/// Which input channels an output channel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All of them.
    Dense,
    /// Only its own.
    Depthwise,
}

/// A convolution. Input `[1, H, W, C]` and, with `residual`, a second one of the output's shape; output
/// `[1, H', W', C']`.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    cpu: Arc<CpuContext>,
    shape: ConvShape,
    kind: Kind,
    /// Dense: panels `[C' / tile][kh * kw * C][tile]`; depthwise: `[kh * kw][C]`.
    weights: Arc<[f32]>,
    bias: Arc<[f32]>,
    /// The lowest and highest output before the residual is added.
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
    /// Input rows for a matrix product, and a block of its output.
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
        ensure!(
            x.len() == self.shape.input.iter().product::<usize>(),
            "convolution got an input of shape {:?}",
            inputs[0].shape()
        );
        let residual = match inputs.get(1).filter(|_| self.residual) {
            Some(r) => r.try_as_plain_ram()?.as_slice::<f32>()?,
            None => &[],
        };
        ensure!(
            residual.len() == if self.residual { out.len() } else { 0 },
            "convolution got a residual of another shape"
        );
        let mut view = out.try_as_plain_ram_mut()?;
        let out_slice = view.as_slice_mut::<f32>()?;
        match self.kind {
            Kind::Dense => self.dense(x, residual, out_slice),
            Kind::Depthwise => {
                let Self { shape, weights, bias, bounds, .. } = self;
                let operands = depthwise::Operands { shape, x, weights, bias, bounds: *bounds };
                depthwise::convolve(self.cpu.level, &self.cpu.pool, operands, out_slice);
            }
        }
        Ok(tvec!(out.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.iter().all(|i| i.datum_type == f32::datum_type()), "convolution needs f32 inputs");
        let [height, width, channels] = self.shape.output;
        Ok(tvec!(f32::fact([1, height, width, channels])))
    }

    as_op!();
}

impl Convolution {
    /// Computes a dense convolution as matrix products.
    fn dense(&self, x: &[f32], residual: &[f32], out: &mut [f32]) {
        let CpuContext { level, pool, .. } = &*self.cpu;
        let [height, width, channels] = self.shape.output;
        let (points, k) = (height * width, self.shape.kernel[0] * self.shape.kernel[1] * self.shape.input[2]);
        let tile = columns(*level);
        let half = tile / 2;
        let panels = channels.div_ceil(tile);
        let blocks = points.div_ceil(ROWS);
        // With few rows, the columns are divided among the tasks too.
        let groups = if blocks >= 4 * pool.threads() { 1 } else { panels.min(4 * pool.threads()) };
        let is_matrix = self.shape.kernel == [1, 1] && self.shape.stride == [1, 1] && self.shape.padding == [0, 0];
        let shared = SharedSlice::new(out);
        pool.run(blocks * groups, &|task| {
            let (block, group) = (task / groups, task % groups);
            let (first, last) = (block * ROWS, points.min((block + 1) * ROWS));
            SCRATCH.with_borrow_mut(|[rows, outputs]| {
                outputs.resize(ROWS * tile, 0.0);
                let a = if is_matrix {
                    &x[first * k..last * k]
                } else {
                    rows.resize(ROWS * k, 0.0);
                    for (point, row) in (first..last).zip(rows.chunks_exact_mut(k)) {
                        gather(&self.shape, x, point / width, point % width, row);
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
                        multiply_with(*level, product, Epilogue { bias, bounds: self.bounds, residual }, block);
                        continue;
                    }
                    // A panel that is padded beyond the last channel.
                    multiply(*level, product, Store::Overwrite, outputs, n);
                    for (row, output) in outputs.chunks_exact(n).take(last - first).enumerate() {
                        let residual = if residual.is_empty() { residual } else { &residual[row * channels..] };
                        finish(*level, output, bias, self.bounds, residual, block.row(row));
                    }
                }
            });
        });
    }
}

/// Writes the input under the kernel for the output at (y, x) to `row`, zeros where that is outside.
fn gather(shape: &ConvShape, input: &[f32], y: usize, x: usize, row: &mut [f32]) {
    let [height, width, channels] = shape.input;
    let mut cells = row.chunks_exact_mut(channels);
    for ky in 0..shape.kernel[0] {
        for kx in 0..shape.kernel[1] {
            let Some(cell) = cells.next() else { return };
            // A negative value wraps to one far outside.
            let iy = (y * shape.stride[0] + ky).wrapping_sub(shape.padding[0]);
            let ix = (x * shape.stride[1] + kx).wrapping_sub(shape.padding[1]);
            if iy < height && ix < width {
                cell.copy_from_slice(&input[(iy * width + ix) * channels..][..channels]);
            } else {
                cell.fill(0.0);
            }
        }
    }
}

by_level! {
    /// Computes `out = clamp(x + bias) + residual`; an empty residual counts as zeros.
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

/// Replaces every supported convolution; returns their number.
pub(crate) fn rewrite(model: &mut TypedModel, cpu: &Arc<CpuContext>) -> TractResult<usize> {
    let ids: Vec<usize> = model.nodes.iter().filter(|n| n.op_is::<Conv>()).map(|n| n.id).collect();
    let mut count = 0;
    for id in ids {
        let Some(found) = find(model, id, cpu)? else { continue };
        let name = model.node(id).name.clone();
        let mut patch = TypedModelPatch::new("channels-last convolution");
        let mut inputs = tvec!();
        for (i, input) in [Some(found.input), found.residual].into_iter().flatten().enumerate() {
            let tap = patch.tap_model(model, input)?;
            inputs.push(patch.wire_node(format!("{name}.channels_last.{i}"), CHANNELS_TO_LAST, &[tap])?[0]);
        }
        let wire = patch.wire_node(format!("{name}.convolution"), found.op, &inputs)?;
        let wire = patch.wire_node(format!("{name}.channels_second"), CHANNELS_TO_SECOND, &wire)?[0];
        patch.shunt_outside(model, found.output, wire)?;
        patch.apply(model)?;
        count += 1;
    }
    model.compact()?;
    cancel_moves(model)?;
    Ok(count)
}

/// Removes moves to the last axis that directly follow a move from there.
fn cancel_moves(model: &mut TypedModel) -> TractResult<()> {
    let ids: Vec<usize> = model.nodes.iter().map(|n| n.id).collect();
    for id in ids {
        let node = model.node(id);
        let (Some(op), Some(input)) = (node.op_as::<AxisOp>(), node.inputs.first()) else { continue };
        let before = model.node(input.node);
        if *op != CHANNELS_TO_LAST || before.op_as::<AxisOp>() != Some(&CHANNELS_TO_SECOND) {
            continue;
        }
        let mut patch = TypedModelPatch::new("moves that cancel");
        let tap = patch.tap_model(model, before.inputs[0])?;
        patch.shunt_outside(model, id.into(), tap)?;
        patch.apply(model)?;
    }
    model.compact()
}

/// A convolution that can be replaced.
struct Found {
    op: Convolution,
    input: OutletId,
    residual: Option<OutletId>,
    output: OutletId,
}

/// Returns the convolution of node `id`, with the clamp and the addition that follow it, if it is supported.
fn find(model: &TypedModel, id: usize, cpu: &Arc<CpuContext>) -> TractResult<Option<Found>> {
    let node = model.node(id);
    let Some(conv) = node.op_as::<Conv>() else { return Ok(None) };
    let pool = &conv.pool_spec;
    let [input, weights, bias] = *node.inputs else { return Ok(None) };
    let (Some(weights), Some(bias)) = (constant(model, weights), constant(model, bias)) else { return Ok(None) };
    rule_if!(conv.q_params.is_none() && conv.kernel_fmt == KernelFormat::OIHW);
    rule_if!(pool.data_format == DataFormat::NCHW && pool.dilations.iter().flatten().all(|d| *d == 1));
    rule_if!(weights.datum_type() == f32::datum_type() && bias.datum_type() == f32::datum_type());
    let Some(&[1, channels, height, width]) = model.outlet_fact(input)?.shape.as_concrete() else { return Ok(None) };
    let Some(&[1, out_channels, out_height, out_width]) = node.outputs[0].fact.shape.as_concrete() else {
        return Ok(None);
    };
    let [o, i, kernel_height, kernel_width] = *weights.shape() else { return Ok(None) };
    let padding = match &pool.padding {
        PaddingSpec::Valid => [0, 0],
        PaddingSpec::Explicit(before, _) if before.len() == 2 => [before[0], before[1]],
        _ => return Ok(None),
    };
    let stride = match pool.strides.as_deref() {
        None => [1, 1],
        Some(&[down, right]) => [down, right],
        Some(_) => return Ok(None),
    };
    let kind = match conv.group {
        1 => Kind::Dense,
        group if group == channels && i == 1 => Kind::Depthwise,
        _ => return Ok(None),
    };
    rule_if!(o == out_channels && i * conv.group == channels);
    let square = kernel_height == kernel_width && depthwise::SIZES.contains(&kernel_height);
    let whole = square && channels == out_channels && channels.is_multiple_of(depthwise::CHANNELS);
    rule_if!(kind == Kind::Dense || whole);
    // A larger kernel would need too much scratch memory.
    rule_if!(kernel_height * kernel_width * i <= 1 << 14);

    let shape = ConvShape {
        input: [height, width, channels],
        output: [out_height, out_width, out_channels],
        kernel: [kernel_height, kernel_width],
        stride,
        padding,
    };
    let weights = weights.try_as_plain_ram()?;
    let weights = arrange(kind, &shape, columns(cpu.level), weights.as_slice::<f32>()?);
    let bias = bias.try_as_plain_ram()?;
    let bias = bias.as_slice::<f32>()?;
    rule_if!(bias.len() == 1 || bias.len() == out_channels);
    let bias = (0..out_channels).map(|n| bias[n % bias.len()]).collect();
    let (output, bounds) = bounds_after(model, id.into());
    let (output, residual) = match kind {
        Kind::Dense => residual_after(model, output),
        Kind::Depthwise => (output, None),
    };
    let (cpu, has_residual) = (Arc::clone(cpu), residual.is_some());
    let op = Convolution { cpu, shape, kind, weights: weights.into(), bias, bounds, residual: has_residual };
    Ok(Some(Found { op, input, residual, output }))
}

/// Lays out weights `[O, I, kh, kw]` for [`Convolution::weights`]; the last panel is padded to half a tile.
fn arrange(kind: Kind, shape: &ConvShape, tile: usize, weights: &[f32]) -> Vec<f32> {
    let [_, _, channels] = shape.output;
    let taps = shape.kernel[0] * shape.kernel[1];
    let inner = weights.len() / channels / taps;
    let k = inner * taps;
    let mut out = vec![0f32; if kind == Kind::Dense { channels.next_multiple_of(tile / 2) * k } else { weights.len() }];
    for (o, weights) in weights.chunks_exact(k).enumerate() {
        let panel = o / tile * tile;
        let width = tile.min(channels.next_multiple_of(tile / 2) - panel);
        for (i, weights) in weights.chunks_exact(taps).enumerate() {
            for (tap, w) in weights.iter().enumerate() {
                match kind {
                    Kind::Dense => out[panel * k + (tap * inner + i) * width + o - panel] = *w,
                    Kind::Depthwise => out[tap * channels + o] = *w,
                }
            }
        }
    }
    out
}

/// Returns the end of a following addition of another tensor of the same shape, and that tensor.
fn residual_after(model: &TypedModel, outlet: OutletId) -> (OutletId, Option<OutletId>) {
    let found = only_reader(model, outlet).and_then(|reader| {
        let other = other_operand::<Add>(reader, outlet)?;
        let same = model.outlet_fact(other).ok()?.shape == model.outlet_fact(outlet).ok()?.shape;
        (same && constant(model, other).is_none()).then_some((reader.id.into(), Some(other)))
    });
    found.unwrap_or((outlet, None))
}
