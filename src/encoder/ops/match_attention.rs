//! Finds attention in a typed model: a softmax between two products, however the heads are split and joined around it.

use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::Add;
use tract_core::ops::nn::{Softmax, SoftmaxKind};

use super::attention::{Attention, MatrixLayout};
use super::graph::{constant_f32, destination, only_reader, origin, strides, unscaled};
use crate::encoder::cpu::bf16::Bf16;
use crate::encoder::cpu::choice::CpuContext;

/// Replaces every attention that it finds; returns their number.
pub(crate) fn rewrite(model: &mut TypedModel, cpu: &Arc<CpuContext>, bf16: Option<Bf16>) -> TractResult<usize> {
    let ids: Vec<usize> = model.nodes.iter().filter(|n| n.op_is::<Softmax>()).map(|n| n.id).collect();
    let mut count = 0;
    for id in ids {
        let Some((op, inputs, output)) = find(model, id, cpu)? else { continue };
        let op = Attention { bf16, ..op };
        let mut patch = TypedModelPatch::new("attention");
        let taps = inputs.iter().map(|i| patch.tap_model(model, *i)).collect::<TractResult<TVec<_>>>()?;
        let name = format!("{}.attention", model.node(id).name);
        let wire = patch.wire_node(name, op, &taps)?[0];
        patch.shunt_outside(model, output, wire)?;
        patch.apply(model)?;
        count += 1;
    }
    Ok(count)
}

/// An operand with its axes by role. An axis that does not exist has length 1 and stride 0.
struct Operand {
    input: OutletId,
    layout: MatrixLayout,
    factor: f32,
    heads: usize,
    tokens: usize,
    dim: usize,
}

/// The operator, its inputs and the outlet that it replaces.
type Found = (Attention, TVec<OutletId>, OutletId);

/// Returns the attention around softmax `id`, if it can be replaced.
fn find(model: &TypedModel, id: usize, cpu: &Arc<CpuContext>) -> TractResult<Option<Found>> {
    let node = model.node(id);
    let Some(softmax) = node.op_as::<Softmax>() else { return Ok(None) };
    let rank = node.outputs[0].fact.rank();
    rule_if!(softmax.quant_output_dt.is_none() && matches!(softmax.kind, SoftmaxKind::Softmax));
    rule_if!(rank > 0 && *softmax.axes == [rank - 1] && node.outputs[0].fact.datum_type == f32::datum_type());

    // Upwards: scores = scale * product(queries, keys), perhaps with a causal mask in between.
    let (masked, factor) = unscaled(model, node.inputs[0]);
    let unmasked = without_causal_mask(model, masked, factor);
    let (scores, scale) = unscaled(model, unmasked.unwrap_or(masked));
    let scale = scale * factor;
    let first = model.node(scores.node);
    let Some(second) = only_reader(model, id.into()) else { return Ok(None) };
    let (Some(product), Some(mix)) = (first.op_as::<EinSum>(), second.op_as::<EinSum>()) else { return Ok(None) };
    rule_if!(product.q_params.is_none() && mix.q_params.is_none());
    rule_if!(first.inputs.len() == 2 && second.inputs.len() == 2);

    // The operand with the axis that the softmax runs over holds the keys.
    let key_axis = product.axes.axis((InOut::Out(0), rank - 1))?;
    let k_slot = usize::from(key_axis.inputs[1].len() == 1);
    rule_if!(key_axis.inputs[k_slot].len() == 1 && key_axis.inputs[1 - k_slot].is_empty());
    let Some(q) = operand(model, product, first.inputs[1 - k_slot], 1 - k_slot, k_slot)? else { return Ok(None) };
    let Some(k) = operand(model, product, first.inputs[k_slot], k_slot, 1 - k_slot)? else { return Ok(None) };

    let v_slot = usize::from(second.inputs[0] == id.into());
    let mix_key = mix.axes.axis((InOut::In(1 - v_slot), rank - 1))?;
    rule_if!(mix_key.inputs[v_slot].len() == 1 && mix_key.outputs[0].is_empty());
    let Some(v) = values(model, mix, second.inputs[v_slot], v_slot)? else { return Ok(None) };
    rule_if!(q.heads == k.heads && k.heads == v.heads && k.tokens == v.tokens && q.dim == k.dim);
    rule_if!(v.factor == 1.0 && (unmasked.is_none() || q.tokens == k.tokens));

    // Downwards: where the results go.
    let (output, indices) = destination(model, second.id.into())?;
    let Some((start, steps)) = strides(&indices) else { return Ok(None) };
    let axis_of_queries = product.axes.axis((InOut::Out(0), rank - 2))?;
    rule_if!(axis_of_queries.inputs[1 - k_slot].len() == 1);
    let mix_query = mix.axes.axis((InOut::In(1 - v_slot), rank - 2))?.outputs[0].clone();
    let mix_dim = mix.axes.iter_all_axes().find(|a| a.inputs[1 - v_slot].is_empty() && a.inputs[v_slot].len() == 1);
    let Some(mix_dim) = mix_dim.map(|a| a.outputs[0].clone()) else { return Ok(None) };
    let ([query_at], [dim_at]) = (&*mix_query, &*mix_dim) else { return Ok(None) };
    let lengths = indices.shape();
    let heads_at: TVec<usize> =
        (0..lengths.len()).filter(|i| i != query_at && i != dim_at && lengths[*i] > 1).collect();
    rule_if!(heads_at.len() <= 1 && (steps[*dim_at] == 1 || v.dim == 1));
    let head = heads_at.first().map_or(0, |i| steps[*i]);
    let shape: TVec<usize> = model.outlet_fact(output)?.shape.as_concrete().context("an open shape")?.into();
    // Every number of the output must be written. The indices are a permutation, so equal counts suffice.
    rule_if!(shape.iter().product::<usize>() == q.heads * q.tokens * v.dim);

    let mut inputs: TVec<OutletId> = tvec!();
    let mut layout = |operand: &Operand| {
        let input = inputs.iter().position(|i| *i == operand.input).unwrap_or_else(|| {
            inputs.push(operand.input);
            inputs.len() - 1
        });
        MatrixLayout { input, ..operand.layout }
    };
    let op = Attention {
        cpu: Arc::clone(cpu),
        bf16: None,
        causal: unmasked.is_some(),
        heads: q.heads,
        queries: q.tokens,
        keys: k.tokens,
        dim: q.dim,
        value_dim: v.dim,
        scale: scale * q.factor * k.factor,
        q: layout(&q),
        k: layout(&k),
        v: layout(&v),
        out: MatrixLayout { input: 0, start, head_stride: head, token_stride: steps[*query_at] },
        shape,
    };
    Ok(Some((op, inputs, output)))
}

/// Returns the scores to which a causal mask is added: one that hides only the later keys from each query.
fn without_causal_mask(model: &TypedModel, outlet: OutletId, factor: f32) -> Option<OutletId> {
    /// A score at or below this is hidden: its exponential is 0, whatever the other scores are.
    const HIDDEN: f32 = -9e3;
    let node = model.node(outlet.node);
    node.op_as::<TypedBinOp>().filter(|op| op.0.is::<Add>())?;
    let shape = node.outputs[0].fact.shape.as_concrete()?;
    let [.., rows, columns] = *shape else { return None };
    let is_mask = |numbers: &[f32]| {
        let fits = |(i, x): (usize, &f32)| if i % columns > i / columns { *x * factor <= HIDDEN } else { *x == 0.0 };
        rows == columns && numbers.len() == rows * columns && numbers.iter().enumerate().all(fits)
    };
    let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
    [(a, b), (b, a)]
        .into_iter()
        .find(|(mask, _)| constant_f32(model, *mask).is_some_and(|m| is_mask(&m)))
        .map(|(_, x)| x)
}

/// Returns queries or keys: input `slot` of the product whose other input is `other`.
fn operand(
    model: &TypedModel,
    product: &EinSum,
    outlet: OutletId,
    slot: usize,
    other: usize,
) -> TractResult<Option<Operand>> {
    let mut roles = tvec!();
    for axis in product.axes.iter_all_axes() {
        if let [at] = &*axis.inputs[slot] {
            let role = match (axis.inputs[other].len(), axis.outputs[0].len()) {
                (1, 1) => Role::Head,
                (1, 0) => Role::Dim,
                (0, 1) => Role::Token,
                _ => return Ok(None),
            };
            roles.push((*at, role));
        }
    }
    in_place(model, outlet, &roles)
}

/// Returns the values: input `slot` of the product with the output of the softmax.
fn values(model: &TypedModel, mix: &EinSum, outlet: OutletId, slot: usize) -> TractResult<Option<Operand>> {
    let mut roles = tvec!();
    for axis in mix.axes.iter_all_axes() {
        if let [at] = &*axis.inputs[slot] {
            let role = match (axis.inputs[1 - slot].len(), axis.outputs[0].len()) {
                (1, 1) => Role::Head,
                (1, 0) => Role::Token,
                (0, 1) => Role::Dim,
                _ => return Ok(None),
            };
            roles.push((*at, role));
        }
    }
    in_place(model, outlet, &roles)
}

/// What an axis of an operand counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Head,
    Token,
    Dim,
}

/// Returns `outlet` as an operand in the tensor that it was moved from; `roles` are its axes.
fn in_place(model: &TypedModel, outlet: OutletId, roles: &[(usize, Role)]) -> TractResult<Option<Operand>> {
    let origin = origin(model, outlet)?;
    let Some((start, steps)) = strides(&origin.indices) else { return Ok(None) };
    let shape = origin.indices.shape();
    rule_if!(roles.len() == shape.len() && model.outlet_fact(origin.source)?.datum_type == f32::datum_type());
    // The length and stride of the only axis of a role that is longer than 1.
    let axis = |role: Role| {
        let axes: TVec<usize> =
            roles.iter().filter(|(at, r)| *r == role && shape[*at] > 1).map(|(at, _)| *at).collect();
        (axes.len() <= 1).then(|| axes.first().map_or((1, 0), |at| (shape[*at], steps[*at])))
    };
    let (Some((heads, head)), Some((tokens, token)), Some((dim, dim_step))) =
        (axis(Role::Head), axis(Role::Token), axis(Role::Dim))
    else {
        return Ok(None);
    };
    rule_if!(dim == 1 || dim_step == 1);
    rule_if!(tokens == 1 || token >= dim);
    let token = if tokens == 1 { dim } else { token };
    let layout = MatrixLayout { input: 0, start, head_stride: head, token_stride: token };
    Ok(Some(Operand { input: origin.source, layout, factor: origin.factor, heads, tokens, dim }))
}
