//! Queries on tract's typed model: constants and readers, chains of element-wise operators, and where the elements of a
//! tensor come from or go to through operators that only move them.
//!
//! Exporters split heads, transpose and join them again in many ways. Instead of listing them all, the operators in
//! between are run on a tensor of element indices, and the result is read as strides.

use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::array::Slice;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::{Div, Mul};

/// Returns the constant of an outlet. Casts are applied, and operators that only move axes are skipped, so that the
/// shape is the original one.
pub(crate) fn constant(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    let node = model.node(outlet.node);
    if let Some(cast) = node.op_as::<Cast>() {
        let from = constant(model, node.inputs[0])?;
        return if from.datum_type() == cast.to {
            Some(from)
        } else {
            Some(from.cast_to_dt(cast.to).ok()?.into_owned().into_arc_tensor())
        };
    }
    if node.op_is::<AxisOp>() {
        return constant(model, node.inputs[0]);
    }
    model.outlet_fact(outlet).ok()?.konst.clone()
}

/// Returns the numbers of an f32 constant; see [`constant`].
pub(crate) fn constant_f32(model: &TypedModel, outlet: OutletId) -> Option<Vec<f32>> {
    let tensor = constant(model, outlet)?;
    Some(tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec())
}

/// Returns whether an outlet is a constant of any type whose numbers all equal `value`.
pub(crate) fn is_constant(model: &TypedModel, outlet: OutletId, value: f32) -> bool {
    let numbers = constant(model, outlet).and_then(|t| t.cast_to::<f32>().ok().map(|t| t.into_owned()));
    let equal = |t: &Tensor| t.try_as_plain_ram().and_then(|t| Ok(t.as_slice::<f32>()?.iter().all(|x| *x == value)));
    numbers.is_some_and(|t| equal(&t).unwrap_or(false))
}

/// Returns the only node that reads an outlet, or `None` if several do or the outlet is an output of the model.
pub(crate) fn only_reader(model: &TypedModel, outlet: OutletId) -> Option<&TypedNode> {
    match &*model.node(outlet.node).outputs[outlet.slot].successors {
        [reader] if !model.outputs.contains(&outlet) => Some(model.node(reader.node)),
        _ => None,
    }
}

/// Returns the other operand of a binary operator of kind `M` that reads `outlet` once.
pub(crate) fn other_operand<M: BinMiniOp>(node: &TypedNode, outlet: OutletId) -> Option<OutletId> {
    node.op_as::<TypedBinOp>().filter(|op| op.0.is::<M>())?;
    match &*node.inputs {
        [a, b] if *a == outlet && *b != outlet => Some(*b),
        [a, b] if *b == outlet && *a != outlet => Some(*a),
        _ => None,
    }
}

/// A chain of element-wise operators, evaluated at some points.
pub(crate) struct Pointwise {
    /// The end of the chain.
    pub(crate) output: OutletId,
    /// The values at the points.
    pub(crate) values: Vec<f32>,
}

/// Follows everything that is computed from `start` with only element-wise operators and scalar constants. Returns each
/// outlet in which all of it is joined again, nearest first, with its values at `points`.
pub(crate) fn pointwise_after(model: &TypedModel, start: OutletId, points: &[f32]) -> Vec<Pointwise> {
    const MAX_LENGTH: usize = 10;
    let mut found = vec![];
    let Ok(fact) = model.outlet_fact(start) else { return found };
    let mut shape: TVec<usize> = tvec!(1; fact.rank());
    let Some(last) = shape.last_mut() else { return found };
    *last = points.len();
    let Ok(sample) = Tensor::from_shape(&shape, points) else { return found };
    let mut values: Vec<(OutletId, TValue)> = vec![(start, sample.into_tvalue())];
    while values.len() < MAX_LENGTH {
        let next = values.iter().find_map(|(outlet, _)| {
            let readers = &model.node(outlet.node).outputs[outlet.slot].successors;
            readers.iter().find_map(|reader| apply_to_values(model, model.node(reader.node), &values))
        });
        let Some(next) = next else { break };
        values.push(next);
        // All values but the newest must have readers only inside the chain.
        let is_inside = |id: usize| values.iter().any(|(o, _)| o.node == id && *o != start);
        let closed = values[..values.len() - 1].iter().all(|(outlet, _)| {
            let readers = &model.node(outlet.node).outputs[outlet.slot].successors;
            !model.outputs.contains(outlet) && readers.iter().all(|r| is_inside(r.node))
        });
        let Some((output, value)) = values.last() else { break };
        let at_points = value.try_as_plain_ram().and_then(|v| Ok(v.as_slice::<f32>()?.to_vec()));
        if let (true, Ok(at_points)) = (closed, at_points) {
            found.push(Pointwise { output: *output, values: at_points });
        }
    }
    found
}

/// Returns the end of a clamp (ReLU, ReLU6) that follows `outlet` and its bounds, or `outlet` and infinite bounds if
/// none follows.
pub(crate) fn bounds_after(model: &TypedModel, outlet: OutletId) -> (OutletId, [f32; 2]) {
    let points = [-1e30, -100.0, -7.5, -1.0, -0.25, 0.0, 0.25, 1.0, 3.0, 5.5, 7.5, 100.0, 1e30f32];
    let mut best = (outlet, [f32::NEG_INFINITY, f32::INFINITY]);
    for chain in pointwise_after(model, outlet, &points) {
        let (low, high) = (chain.values[0], chain.values[points.len() - 1]);
        let low = if low == points[0] { f32::NEG_INFINITY } else { low };
        let high = if high == points[points.len() - 1] { f32::INFINITY } else { high };
        let clips = low <= high && points.iter().zip(&chain.values).all(|(x, y)| x.clamp(low, high) == *y);
        if clips {
            best = (chain.output, [low, high]);
        }
    }
    best
}

/// Evaluates an element-wise node if all its inputs are in `values` or are scalar constants.
fn apply_to_values(model: &TypedModel, node: &TypedNode, values: &[(OutletId, TValue)]) -> Option<(OutletId, TValue)> {
    let output = OutletId::new(node.id, 0);
    let element_wise = node.op_is::<TypedBinOp>() || node.op_is::<ElementWiseOp>();
    if !element_wise || node.outputs.len() != 1 || values.iter().any(|(o, _)| *o == output) {
        return None;
    }
    let inputs: Option<TVec<TValue>> = node
        .inputs
        .iter()
        .map(|input| match values.iter().find(|(o, _)| o == input) {
            Some((_, value)) => Some(value.clone()),
            None => {
                let constant = model.outlet_fact(*input).ok()?.konst.clone()?;
                (constant.len() == 1).then(|| constant.into_tvalue())
            }
        })
        .collect();
    let value = node.op.eval_out_of_plan(inputs?).ok()??.pop()?;
    (value.datum_type() == f32::datum_type()).then_some((output, value))
}

/// Moves the channels of `[1, C, H, W]` from the second axis to the last.
pub(crate) const CHANNELS_TO_LAST: AxisOp = AxisOp::Move(1, 3);
/// Moves them back.
pub(crate) const CHANNELS_TO_SECOND: AxisOp = AxisOp::Move(3, 1);

/// The largest tensor whose elements are tracked.
const MAX_ELEMENTS: usize = 1 << 24;

/// A tensor whose elements are those of another tensor, moved and scaled.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The other tensor.
    pub(crate) source: OutletId,
    /// The indices of the elements in `source`, i64.
    pub(crate) indices: Tensor,
    /// The factor that all elements are multiplied by.
    pub(crate) factor: f32,
}

/// Returns a tensor of that shape whose elements count up from 0.
fn numbered(shape: &[usize]) -> TractResult<Tensor> {
    let len = shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).filter(|len| *len <= MAX_ELEMENTS);
    let numbers: Vec<i64> = (0..len.context("too many elements to track")? as i64).collect();
    Tensor::from_shape(shape, &numbers)
}

/// Applies an operator that only moves elements.
fn moved(node: &TypedNode, indices: Tensor) -> TractResult<Tensor> {
    let outcome = node.op.eval_out_of_plan(tvec!(indices.into_tvalue()))?.context("an operator needs its plan")?;
    Ok(outcome.into_iter().next().context("an operator without output")?.into_tensor())
}

/// Returns the operand and the scalar of an operator that multiplies by a positive scalar.
fn scaled(model: &TypedModel, node: &TypedNode) -> Option<(OutletId, f32)> {
    let op = node.op_as::<TypedBinOp>()?;
    let scalar = |outlet| constant_f32(model, outlet).filter(|c| c.len() == 1).map(|c| c[0]);
    let (a, b) = (*node.inputs.first()?, *node.inputs.get(1)?);
    let (operand, factor) = match (scalar(a), scalar(b)) {
        (None, Some(factor)) if op.0.is::<Mul>() => (a, factor),
        (Some(factor), None) if op.0.is::<Mul>() => (b, factor),
        (None, Some(divisor)) if op.0.is::<Div>() => (a, 1.0 / divisor),
        _ => return None,
    };
    (factor > 0.0 && factor.is_finite()).then_some((operand, factor))
}

/// Returns the tensor that `outlet` was moved and scaled from.
pub(crate) fn origin(model: &TypedModel, outlet: OutletId) -> TractResult<Origin> {
    let node = model.node(outlet.node);
    if node.op_is::<AxisOp>() || node.op_is::<Slice>() {
        let mut found = origin(model, node.inputs[0])?;
        found.indices = moved(node, found.indices)?;
        return Ok(found);
    }
    if let Some((operand, factor)) = scaled(model, node) {
        let mut found = origin(model, operand)?;
        found.factor *= factor;
        return Ok(found);
    }
    let shape = model.outlet_fact(outlet)?.shape.as_concrete().context("an open shape")?.to_vec();
    Ok(Origin { source: outlet, indices: numbered(&shape)?, factor: 1.0 })
}

/// Returns the outlet that `outlet` is a positive multiple of, and the factor.
pub(crate) fn unscaled(model: &TypedModel, outlet: OutletId) -> (OutletId, f32) {
    match scaled(model, model.node(outlet.node)) {
        Some((operand, factor)) => {
            let (source, more) = unscaled(model, operand);
            (source, factor * more)
        }
        None => (outlet, 1.0),
    }
}

/// Follows `outlet` as long as its axes are only moved. Returns the end and, in the shape of `outlet`, the index of
/// each element there.
pub(crate) fn destination(model: &TypedModel, outlet: OutletId) -> TractResult<(OutletId, Tensor)> {
    let shape = model.outlet_fact(outlet)?.shape.as_concrete().context("an open shape")?.to_vec();
    let mut elements = numbered(&shape)?;
    let mut end = outlet;
    while let Some(reader) = only_reader(model, end).filter(|reader| reader.op_is::<AxisOp>()) {
        elements = moved(reader, elements)?;
        end = reader.id.into();
    }
    let elements = elements.try_as_plain_ram()?;
    let mut indices = vec![0i64; elements.as_slice::<i64>()?.len()];
    for (index, element) in elements.as_slice::<i64>()?.iter().enumerate() {
        indices[*element as usize] = index as i64;
    }
    Ok((end, Tensor::from_shape(&shape, &indices)?))
}

/// Returns the first index and the strides along the axes of `indices`, or `None` if the indices are irregular.
pub(crate) fn strides(indices: &Tensor) -> Option<(usize, TVec<usize>)> {
    let shape = indices.shape();
    let numbers = indices.try_as_plain_ram().ok()?;
    let numbers = numbers.as_slice::<i64>().ok()?;
    let base = *numbers.first()?;
    let mut steps: TVec<usize> = tvec!(0; shape.len());
    let mut inner = 1;
    for axis in (0..shape.len()).rev() {
        if shape[axis] > 1 {
            steps[axis] = usize::try_from(numbers[inner] - base).ok()?;
        }
        inner *= shape[axis];
    }
    // A position that advances in the order of the elements, last axis fastest.
    let mut at: TVec<usize> = tvec!(0; shape.len());
    let mut expected = base;
    for number in numbers {
        if *number != expected {
            return None;
        }
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            expected += steps[axis] as i64;
            if at[axis] < shape[axis] {
                break;
            }
            expected -= (at[axis] * steps[axis]) as i64;
            at[axis] = 0;
        }
    }
    Some((usize::try_from(base).ok()?, steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_indices_have_strides_and_others_do_not() {
        let strides_of = |shape: &[usize], numbers: &[i64]| strides(&Tensor::from_shape(shape, numbers).unwrap());
        let steps = |steps: &[usize]| steps.iter().copied().collect::<TVec<usize>>();
        assert_eq!(strides_of(&[2, 3], &[5, 7, 9, 15, 17, 19]), Some((5, steps(&[10, 2]))));
        assert_eq!(strides_of(&[3, 1, 2], &[0, 1, 2, 3, 4, 5]), Some((0, steps(&[2, 0, 1]))));
        assert_eq!(strides_of(&[1, 1], &[4]), Some((4, steps(&[0, 0]))));
        assert_eq!(strides_of(&[2, 2], &[0, 1, 2, 4]), None);
        assert_eq!(strides_of(&[2], &[1, 0]), None);
    }
}
