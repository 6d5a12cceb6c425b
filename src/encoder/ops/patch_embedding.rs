//! Patch embedding, a convolution whose patches do not overlap, as one matrix product.

use std::cell::RefCell;
use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::cnn::PaddingSpec;
use tract_core::ops::cnn::conv::{Conv, KernelFormat};
use tract_core::ops::nn::DataFormat;

use super::graph::{constant, destination, strides};
use crate::encoder::cpu::bf16::{self, Bf16};
use crate::encoder::cpu::choice::CpuContext;
use crate::encoder::cpu::gemm::{Product, Store, columns, multiply};
use crate::encoder::cpu::threads::SharedSlice;

/// About how many numbers of a patch are multiplied at a time, so that patches and weights stay in the second-level
/// cache.
const BLOCK: usize = 384;

/// A patch embedding. Input `[1, C, H, W]` f32; output `[patches, N]`, patches in row order, in the shape `shape`.
#[derive(Clone, Debug)]
pub(crate) struct PatchEmbedding {
    cpu: Arc<CpuContext>,
    channels: usize,
    /// Height and width of a patch.
    patch: [usize; 2],
    /// Patches down and across.
    grid: [usize; 2],
    /// N
    width: usize,
    weights: Weights,
    bias: Arc<[f32]>,
    shape: TVec<usize>,
}

impl PartialEq for PatchEmbedding {
    fn eq(&self, other: &Self) -> bool {
        self.weights == other.weights && self.shape == other.shape
    }
}

/// Panels of `tile` columns, the last one padded with zeros; `tile` is [`columns`].
#[derive(Clone, Debug, PartialEq)]
enum Weights {
    /// `[ceil(N / tile)][K][tile]`
    Full(Arc<[f32]>),
    /// `[ceil(N / tile)][K / 2][tile]` pairs
    Fast(Bf16, Arc<[u32]>),
}

impl Eq for PatchEmbedding {}

thread_local! {
    /// Patches as rows, in blocks `[K / block][patches][block]`.
    static PATCHES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// The same as bfloat16 pairs.
    static PAIRS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// The output of one panel.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Replaces every patch embedding; returns their number.
pub(crate) fn rewrite(model: &mut TypedModel, cpu: &Arc<CpuContext>, bf16: Option<Bf16>) -> TractResult<usize> {
    let ids: Vec<usize> = model.nodes.iter().filter(|n| n.op_is::<Conv>()).map(|n| n.id).collect();
    let mut count = 0;
    for id in ids {
        let Some((op, input, output)) = find(model, id, cpu, bf16)? else { continue };
        let mut patch = TypedModelPatch::new("patch embedding");
        let tap = patch.tap_model(model, input)?;
        let wire = patch.wire_node(format!("{}.patches", model.node(id).name), op, &[tap])?[0];
        patch.shunt_outside(model, output, wire)?;
        patch.apply(model)?;
        count += 1;
    }
    Ok(count)
}

/// The operator, its input and the outlet that it replaces.
type Found = (PatchEmbedding, OutletId, OutletId);

/// Returns the patch embedding of convolution `id`, if it is one.
fn find(model: &TypedModel, id: usize, cpu: &Arc<CpuContext>, bf16: Option<Bf16>) -> TractResult<Option<Found>> {
    let node = model.node(id);
    let Some(conv) = node.op_as::<Conv>() else { return Ok(None) };
    let pool = &conv.pool_spec;
    let [x, kernel, bias] = *node.inputs else { return Ok(None) };
    let (Some(kernel), Some(bias)) = (constant(model, kernel), constant(model, bias)) else { return Ok(None) };
    let no_padding = match &pool.padding {
        PaddingSpec::Valid => true,
        PaddingSpec::Explicit(before, after) => before.iter().chain(after).all(|p| *p == 0),
        _ => false,
    };
    rule_if!(no_padding && conv.q_params.is_none() && conv.group == 1 && conv.kernel_fmt == KernelFormat::OIHW);
    rule_if!(pool.data_format == DataFormat::NCHW && pool.dilations.iter().flatten().all(|d| *d == 1));
    rule_if!(pool.strides.as_ref() == Some(&pool.kernel_shape));
    rule_if!(kernel.datum_type() == f32::datum_type() && bias.datum_type() == f32::datum_type());
    let [width, channels, height, across] = *kernel.shape() else { return Ok(None) };
    // A 1x1 kernel is no patch.
    rule_if!(height * across > 1);
    let Some(&[1, c, h, w]) = model.outlet_fact(x)?.shape.as_concrete() else { return Ok(None) };
    rule_if!(c == channels && h % height == 0 && w % across == 0);
    let grid = [h / height, w / across];
    let (output, indices) = destination(model, id.into())?;
    rule_if!(indices.shape() == [1, width, grid[0], grid[1]]);
    let Some((0, steps)) = strides(&indices) else { return Ok(None) };
    let expected = [1, grid[1] * width, width];
    rule_if!((1..4).all(|i| steps[i] == expected[i - 1] || indices.shape()[i] == 1));

    let k = channels * height * across;
    let tile = columns(cpu.level);
    let kernel = kernel.try_as_plain_ram()?;
    let rows = kernel.as_slice::<f32>()?;
    let mut weights = vec![0f32; width.next_multiple_of(tile) * k];
    for (n, row) in rows.chunks_exact(k).enumerate() {
        let start = n / tile * tile * k + n % tile;
        row.iter().enumerate().for_each(|(i, w)| weights[start + i * tile] = *w);
    }
    let bias = bias.try_as_plain_ram()?;
    let bias = bias.as_slice::<f32>()?;
    rule_if!(bias.len() == 1 || bias.len() == width);
    let bias: Vec<f32> = (0..width).map(|n| bias[n % bias.len()]).collect();
    let shape = model.outlet_fact(output)?.shape.as_concrete().context("an open shape")?.into();
    let cpu = Arc::clone(cpu);
    let weights = match bf16 {
        Some(bf16) if across % 2 == 0 => {
            let mut pairs = vec![0u32; weights.len() / 2];
            for (two, out) in weights.chunks_exact(2 * tile).zip(pairs.chunks_exact_mut(tile)) {
                let (first, second) = two.split_at(tile);
                bf16::zip(cpu.level, first, second, out);
            }
            Weights::Fast(bf16, pairs.into())
        }
        _ => Weights::Full(weights.into()),
    };
    let bias = bias.into();
    let op = PatchEmbedding { cpu, channels, patch: [height, across], grid, width, weights, bias, shape };
    Ok(Some((op, x, output)))
}

impl Op for PatchEmbedding {
    fn name(&self) -> StaticName {
        "PatchEmbedding".into()
    }

    op_as_typed_op!();
}

impl EvalOp for PatchEmbedding {
    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // SAFETY: every number is written below: patches times N is the shape's size, as the matcher checked.
        let mut out = unsafe { Tensor::uninitialized_aligned_dt(f32::datum_type(), &self.shape, 64)? };
        let x = inputs[0].try_as_plain_ram()?;
        let mut view = out.try_as_plain_ram_mut()?;
        self.apply(x.as_slice::<f32>()?, view.as_slice_mut::<f32>()?)?;
        Ok(tvec!(out.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for PatchEmbedding {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == f32::datum_type(), "patch embedding needs an f32 input");
        Ok(tvec!(f32::fact(&self.shape)))
    }

    as_op!();
}

impl PatchEmbedding {
    /// Computes `out`, `[patches, N]`, from `x`, `[C, H, W]`.
    fn apply(&self, x: &[f32], out: &mut [f32]) -> TractResult<()> {
        let k = self.channels * self.patch[0] * self.patch[1];
        let patches = self.grid[0] * self.grid[1];
        ensure!(x.len() == k * patches, "patch embedding got an input of {} numbers", x.len());
        // A block is whole rows of a patch. A gap between the rows of the store keeps them off the same cache sets.
        let block = (BLOCK / self.patch[1]).max(1) * self.patch[1];
        let (level, tile, shared) = (self.cpu.level, columns(self.cpu.level), SharedSlice::new(out));
        match &self.weights {
            Weights::Full(weights) => PATCHES.with_borrow_mut(|store| {
                let stride = block + 16;
                store.resize(k.div_ceil(block) * patches * stride, 0.0);
                self.pieces(x, |at, patch, piece| {
                    let start = (at / block * patches + patch) * stride + at % block;
                    store[start..start + piece.len()].copy_from_slice(piece);
                });
                self.panels(&shared, |panel, result| {
                    let weights = &weights[panel * k * tile..][..k * tile];
                    for (i, (a, b)) in store.chunks(patches * stride).zip(weights.chunks(block * tile)).enumerate() {
                        let k = b.len() / tile;
                        let product = Product { rows: patches, a, a_stride: stride, k, b, b_stride: tile, n: tile };
                        multiply(level, product, Store::for_part(i), result, tile);
                    }
                });
            }),
            Weights::Fast(bf16, weights) => PAIRS.with_borrow_mut(|store| {
                let (k, block) = (k / 2, block / 2);
                let stride = block + 16;
                store.resize(k.div_ceil(block) * patches * stride, 0);
                self.pieces(x, |at, patch, piece| {
                    let start = (at / 2 / block * patches + patch) * stride + at / 2 % block;
                    bf16::pairs(level, piece, &mut store[start..start + piece.len() / 2]);
                });
                self.panels(&shared, |panel, result| {
                    let weights = &weights[panel * k * tile..][..k * tile];
                    for (i, (a, b)) in store.chunks(patches * stride).zip(weights.chunks(block * tile)).enumerate() {
                        let pairs = b.len() / tile;
                        let product = bf16::Product { rows: patches, a, a_stride: stride, pairs, b, n: tile };
                        bf16.multiply(product, Store::for_part(i), result, tile);
                    }
                });
            }),
        }
        Ok(())
    }

    /// Calls `put` with each row of each patch: its offset in the patch, the patch, and its numbers.
    fn pieces(&self, x: &[f32], mut put: impl FnMut(usize, usize, &[f32])) {
        let ([height, across], [down, right]) = (self.patch, self.grid);
        // The rows of all channels, one after another.
        for (row, line) in x.chunks_exact(right * across).enumerate() {
            let (channel, y) = (row / (down * height), row % (down * height));
            let at = (channel * height + y % height) * across;
            for (i, piece) in line.chunks_exact(across).enumerate() {
                put(at, y / height * right + i, piece);
            }
        }
    }

    /// Computes `[patches, tile]` for each panel with `compute`, and writes it with the bias to the output.
    fn panels(&self, out: &SharedSlice<'_>, compute: impl Fn(usize, &mut [f32]) + Sync) {
        let (patches, tile) = (self.grid[0] * self.grid[1], columns(self.cpu.level));
        self.cpu.pool.run(self.width.div_ceil(tile), &|panel| {
            PANEL.with_borrow_mut(|result| {
                result.resize(patches * tile, 0.0);
                compute(panel, result);
                let first = panel * tile;
                let bias = &self.bias[first..self.width.min(first + tile)];
                for (patch, row) in result.chunks_exact(tile).enumerate() {
                    // SAFETY: only this task writes these columns.
                    let out = unsafe { out.part(patch * self.width + first, bias.len()) };
                    for ((out, x), bias) in out.iter_mut().zip(row).zip(bias) {
                        *out = x + bias;
                    }
                }
            });
        });
    }
}
