//! Finding convolutions in a typed model and putting channels-last ones there.
//!
//! Each gets its input with channels moved last and gives its output with channels moved back; then moves that follow
//! on each other are taken out, so that only those at the network's ends stay.

use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::cnn::PaddingSpec;
use tract_core::ops::cnn::conv::{Conv, KernelFormat};
use tract_core::ops::math::Add;
use tract_core::ops::nn::DataFormat;

use super::{Convolution, Kind, Shape, depthwise};
use crate::encoder::ops::engine::Engine;
use crate::encoder::ops::gemm::columns;
use crate::encoder::ops::graph::{bounds_after, constant, only_reader, other_operand};

/// Channels of `[1, C, H, W]` from the second axis to the last, and back.
pub(crate) const TO_LAST: AxisOp = AxisOp::Move(1, 3);
pub(crate) const TO_SECOND: AxisOp = AxisOp::Move(3, 1);

/// Replaces every convolution that there is code for; returns their number.
pub(crate) fn rewrite(model: &mut TypedModel, engine: &Arc<Engine>) -> TractResult<usize> {
    let ids: Vec<usize> = model.nodes.iter().filter(|n| n.op_is::<Conv>()).map(|n| n.id).collect();
    let mut count = 0;
    for id in ids {
        let Some(found) = find(model, id, engine)? else { continue };
        let name = model.node(id).name.clone();
        let mut patch = TypedModelPatch::new("channels-last convolution");
        let mut inputs = tvec!();
        for (i, input) in [Some(found.input), found.residual].into_iter().flatten().enumerate() {
            let tap = patch.tap_model(model, input)?;
            inputs.push(patch.wire_node(format!("{name}.last.{i}"), TO_LAST, &[tap])?[0]);
        }
        let wire = patch.wire_node(format!("{name}.convolution"), found.op, &inputs)?;
        let wire = patch.wire_node(format!("{name}.second"), TO_SECOND, &wire)?[0];
        patch.shunt_outside(model, found.output, wire)?;
        patch.apply(model)?;
        count += 1;
    }
    model.compact()?;
    cancel_moves(model)?;
    Ok(count)
}

/// Takes out moves to the last axis of what was just moved from there.
fn cancel_moves(model: &mut TypedModel) -> TractResult<()> {
    let ids: Vec<usize> = model.nodes.iter().map(|n| n.id).collect();
    for id in ids {
        let node = model.node(id);
        let (Some(op), Some(input)) = (node.op_as::<AxisOp>(), node.inputs.first()) else { continue };
        let before = model.node(input.node);
        if *op != TO_LAST || before.op_as::<AxisOp>() != Some(&TO_SECOND) {
            continue;
        }
        let mut patch = TypedModelPatch::new("moves that cancel");
        let tap = patch.tap_model(model, before.inputs[0])?;
        patch.shunt_outside(model, id.into(), tap)?;
        patch.apply(model)?;
    }
    model.compact()
}

struct Found {
    op: Convolution,
    input: OutletId,
    residual: Option<OutletId>,
    output: OutletId,
}

fn find(model: &TypedModel, id: usize, engine: &Arc<Engine>) -> TractResult<Option<Found>> {
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
    // A kernel taller than this would need more scratch than it is worth.
    rule_if!(kernel_height * kernel_width * i <= 1 << 14);

    let shape = Shape {
        input: [height, width, channels],
        output: [out_height, out_width, out_channels],
        kernel: [kernel_height, kernel_width],
        stride,
        padding,
    };
    let weights = weights.try_as_plain_ram()?;
    let weights = arrange(kind, &shape, columns(engine.level), weights.as_slice::<f32>()?);
    let bias = bias.try_as_plain_ram()?;
    let bias = bias.as_slice::<f32>()?;
    rule_if!(bias.len() == 1 || bias.len() == out_channels);
    let bias = (0..out_channels).map(|n| bias[n % bias.len()]).collect();
    let (output, bounds) = bounds_after(model, id.into());
    let (output, residual) = match kind {
        Kind::Dense => residual_after(model, output),
        Kind::Depthwise => (output, None),
    };
    let (engine, residual_too) = (Arc::clone(engine), residual.is_some());
    let op = Convolution { engine, shape, kind, weights: weights.into(), bias, bounds, residual: residual_too };
    Ok(Some(Found { op, input, residual, output }))
}

/// Weights `[O, I, kh, kw]` as [`Convolution::weights`] wants them; the last panel is filled up to half a tile.
fn arrange(kind: Kind, shape: &Shape, tile: usize, weights: &[f32]) -> Vec<f32> {
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

/// The end of an addition of another tensor of the same shape that follows, and that tensor.
fn residual_after(model: &TypedModel, outlet: OutletId) -> (OutletId, Option<OutletId>) {
    let found = only_reader(model, outlet).and_then(|reader| {
        let other = other_operand::<Add>(reader, outlet)?;
        let same = model.outlet_fact(other).ok()?.shape == model.outlet_fact(outlet).ok()?.shape;
        (same && constant(model, other).is_none()).then_some((reader.id.into(), Some(other)))
    });
    found.unwrap_or((outlet, None))
}
