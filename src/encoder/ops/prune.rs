//! Leaving out what nobody reads: after the last attention only the class token's row is used, so the rest of the last
//! block is computed for it alone.
//!
//! This makes a small difference to int8 networks: a layer's activations are then quantised by the range of one row
//! and not of all, which is finer.

use tract_core::internal::*;
use tract_core::ops::array::{Gather, Slice};

use super::attention::Attention;
use super::graph::constant;
use super::layernorm::LayerNorm;
use crate::encoder::qlinear::QLinear;

/// Moves selections of one row upwards through operators that work row by row; returns how many operators now work on
/// one row alone.
pub(crate) fn rewrite(model: &mut TypedModel) -> TractResult<usize> {
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

/// Writes a gather of one constant index as a slice without its axis.
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

/// The patch that computes only the row that slice `id`, and every other reader of the same tensor, takes.
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
    let row_by_row = if producer.op_is::<QLinear>() {
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
