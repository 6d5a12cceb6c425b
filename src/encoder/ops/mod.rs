//! Operators that replace tract's where those are slow, and the pass over tract's typed model that inserts them.
//!
//! The pass runs on the parsed model (`into_typed`), before it is decluttered: afterwards layers are split, and the
//! axes that identify them are gone.

mod attention;
mod conv;
mod graph;
mod layer_norm;
mod linear;
mod match_attention;
mod match_linear;
mod match_product;
mod patch_embedding;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::array::{Gather, Slice};

use self::attention::Attention;
use self::graph::constant;
use self::layer_norm::LayerNorm;
use self::linear::Int8Linear;
pub(crate) use self::match_product::{InFileMatrix, InFileWeights};
use super::cpu::choice::CpuContext;

/// How many operators were replaced, for logs and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Dynamic int8 linear layers; layers that share an input count once.
    pub(crate) linears: usize,
    pub(crate) attentions: usize,
    pub(crate) norms: usize,
    pub(crate) patch_embeddings: usize,
    /// Other f32 convolutions.
    pub(crate) convolutions: usize,
    /// Operators that compute one row after pruning.
    pub(crate) pruned: usize,
}

/// Whether the last block is computed only for the class token: after the last attention only that row is used.
///
/// Pruning slightly changes int8 networks: the activations of a layer are then quantised by the range of one row
/// instead of all rows, which is finer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pruning {
    /// Unused rows are not computed.
    #[default]
    On,
    /// Everything is computed, as in the file.
    Off,
}

/// Returns an ONNX parser with the operators of this module.
pub(crate) fn parser() -> tract_onnx::Onnx {
    let mut parser = tract_onnx::onnx();
    layer_norm::register(&mut parser.op_register);
    parser
}

/// Replaces what our operators compute faster in a parsed model. The caller declutters and optimises it afterwards.
///
/// `weights` were left in the file when the graph was parsed; those that no operator takes are copied into the model.
///
/// # Errors
/// No memory, or an operator that tract rejects.
pub(crate) fn rewrite(
    model: &mut TypedModel,
    cpu: &Arc<CpuContext>,
    pruning: Pruning,
    weights: InFileWeights<'_>,
) -> TractResult<Report> {
    let linears = match_linear::rewrite(model, cpu, &weights)?;
    weights.restore(model)?;
    // A network whose file is entirely f32 is computed in f32. For int8 networks, rounding to bfloat16 is far below the
    // rounding to int8.
    let bf16 = if linears > 0 { cpu.bf16 } else { None };
    let attentions = match_attention::rewrite(model, cpu, bf16)?;
    let patch_embeddings = patch_embedding::rewrite(model, cpu, bf16)?;
    let convolutions = conv::rewrite(model, cpu)?;
    let norms = layer_norm::rewrite(model, cpu);
    let pruned = if pruning == Pruning::On { prune(model)? } else { 0 };
    Ok(Report { linears, attentions, norms, patch_embeddings, convolutions, pruned })
}

/// Moves selections of one row upwards through operators that work row by row. Returns the number of operators that now
/// compute only one row.
fn prune(model: &mut TypedModel) -> TractResult<usize> {
    slices_for_gathers(model)?;
    let mut count = 0;
    loop {
        let ids: Vec<usize> = model.nodes.iter().filter(|n| n.op_is::<Slice>()).map(|n| n.id).collect();
        let patch = ids.into_iter().find_map(|id| pull(model, id).transpose());
        let Some(patch) = patch.transpose()? else { return Ok(count) };
        patch.apply(model)?;
        model.compact()?;
        count += 1;
    }
}

/// Replaces each gather of one constant index by a slice whose axis is removed.
fn slices_for_gathers(model: &mut TypedModel) -> TractResult<()> {
    let ids: Vec<usize> = model.nodes.iter().filter(|n| n.op_is::<Gather>()).map(|n| n.id).collect();
    for id in ids {
        let node = model.node(id);
        let (Some(gather), [x, index]) = (node.op_as::<Gather>(), &*node.inputs) else { continue };
        let Some(index) = constant(model, *index).filter(|i| i.rank() == 0) else { continue };
        let fact = model.outlet_fact(*x)?;
        let (Ok(index), Ok(length)) = (index.cast_to_scalar::<i64>(), fact.shape[gather.axis].to_i64()) else {
            continue;
        };
        let index = if index < 0 { index + length } else { index };
        if !(0..length).contains(&index) || gather.output_type.is_some_and(|dt| dt != fact.datum_type) {
            continue;
        }
        let mut patch = TypedModelPatch::new("slice for gather");
        let tap = patch.tap_model(model, *x)?;
        let slice = Slice::new(gather.axis, index as usize, index as usize + 1);
        let row = patch.wire_node(format!("{}.row", node.name), slice, &[tap])?;
        let row = patch.wire_node(format!("{}.flat", node.name), AxisOp::Rm(gather.axis), &row)?[0];
        patch.shunt_outside(model, id.into(), row)?;
        patch.apply(model)?;
    }
    model.compact()
}

/// Returns a patch that computes only one row, if slice `id` and all other readers of its input take that row.
fn pull(model: &TypedModel, id: usize) -> TractResult<Option<TypedModelPatch>> {
    let node = model.node(id);
    let Some(slice) = node.op_as::<Slice>() else { return Ok(None) };
    let x = node.inputs[0];
    let fact = model.outlet_fact(x)?;
    let (Ok(start), Ok(end)) = (slice.start.to_usize(), slice.end.to_usize()) else { return Ok(None) };
    rule_if!(end == start + 1 && slice.axis + 1 < fact.rank() && fact.shape[slice.axis] != 1.to_dim());
    rule_if!(!model.outputs.contains(&x));
    let readers = &model.node(x.node).outputs[x.slot].successors;
    rule_if!(readers.iter().all(|r| model.node(r.node).op_as::<Slice>() == Some(slice)));
    let producer = model.node(x.node);
    let mut patch = TypedModelPatch::new("one row");
    let row_by_row = if producer.op_is::<Int8Linear>() {
        producer.inputs.len()
    } else if producer.op_is::<LayerNorm>() {
        1
    } else {
        0
    };
    let mut inputs = patch.taps(model, &producer.inputs)?;
    let op: Box<dyn TypedOp> = if row_by_row > 0 {
        for (i, input) in inputs.iter_mut().enumerate().take(row_by_row) {
            *input = patch.wire_node(format!("{}.{}.row.{i}", producer.name, node.name), slice.clone(), &[*input])?[0];
        }
        producer.op.clone()
    } else {
        let Some(attention) = producer.op_as::<Attention>() else { return Ok(None) };
        let Some(attention) = attention.one_query(slice.axis, start) else { return Ok(None) };
        Box::new(attention)
    };
    let row = patch.wire_node(format!("{}.row", producer.name), op, &inputs)?[0];
    for reader in readers {
        patch.shunt_outside(model, reader.node.into(), row)?;
    }
    Ok(Some(patch))
}
