//! Looking around in tract's typed model.

use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;

/// The constant that an outlet holds, seen through casts and operators that only move axes; its shape is then the
/// original one.
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

/// Numbers of a constant f32, see [`constant`].
pub(crate) fn constant_f32(model: &TypedModel, outlet: OutletId) -> Option<Vec<f32>> {
    let tensor = constant(model, outlet)?;
    Some(tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec())
}

/// Whether an outlet is a constant whose numbers all equal `value`, whatever their type.
pub(crate) fn is_constant(model: &TypedModel, outlet: OutletId, value: f32) -> bool {
    let numbers = constant(model, outlet).and_then(|t| t.cast_to::<f32>().ok().map(|t| t.into_owned()));
    let equal = |t: &Tensor| t.try_as_plain_ram().and_then(|t| Ok(t.as_slice::<f32>()?.iter().all(|x| *x == value)));
    numbers.is_some_and(|t| equal(&t).unwrap_or(false))
}

/// The one node that reads an outlet; None where it is read several times or is a result of the model.
pub(crate) fn only_reader(model: &TypedModel, outlet: OutletId) -> Option<&TypedNode> {
    match &*model.node(outlet.node).outputs[outlet.slot].successors {
        [reader] if !model.outputs.contains(&outlet) => Some(model.node(reader.node)),
        _ => None,
    }
}

/// For a binary operator of kind `M` that reads `outlet` once: the other operand.
pub(crate) fn other_operand<M: BinMiniOp>(node: &TypedNode, outlet: OutletId) -> Option<OutletId> {
    node.op_as::<TypedBinOp>().filter(|op| op.0.is::<M>())?;
    match &*node.inputs {
        [a, b] if *a == outlet && *b != outlet => Some(*b),
        [a, b] if *b == outlet && *a != outlet => Some(*a),
        _ => None,
    }
}

/// What a chain of element-wise operators makes of one number.
pub(crate) struct Pointwise {
    /// The chain's end.
    pub(crate) output: OutletId,
    /// Its values at the points asked for.
    pub(crate) values: Vec<f32>,
}

/// Follows everything that is computed from `start` by element-wise operators and scalar constants alone, and returns
/// each place where it all comes together again in one outlet, nearest first, with its values at `points`.
pub(crate) fn pointwise_after(model: &TypedModel, start: OutletId, points: &[f32]) -> Vec<Pointwise> {
    const LONGEST: usize = 10;
    let mut found = vec![];
    let Ok(fact) = model.outlet_fact(start) else { return found };
    let mut shape: TVec<usize> = tvec!(1; fact.rank());
    let Some(last) = shape.last_mut() else { return found };
    *last = points.len();
    let Ok(sample) = Tensor::from_shape(&shape, points) else { return found };
    let mut known: Vec<(OutletId, TValue)> = vec![(start, sample.into_tvalue())];
    while known.len() < LONGEST {
        let next = known.iter().find_map(|(outlet, _)| {
            let readers = &model.node(outlet.node).outputs[outlet.slot].successors;
            readers.iter().find_map(|reader| apply_to_known(model, model.node(reader.node), &known))
        });
        let Some(next) = next else { break };
        known.push(next);
        // Everything but the newest must be used up inside the chain.
        let is_inside = |id: usize| known.iter().any(|(o, _)| o.node == id && *o != start);
        let closed = known[..known.len() - 1].iter().all(|(outlet, _)| {
            let readers = &model.node(outlet.node).outputs[outlet.slot].successors;
            !model.outputs.contains(outlet) && readers.iter().all(|r| is_inside(r.node))
        });
        let Some((output, value)) = known.last() else { break };
        let values = value.try_as_plain_ram().and_then(|v| Ok(v.as_slice::<f32>()?.to_vec()));
        if let (true, Ok(values)) = (closed, values) {
            found.push(Pointwise { output: *output, values });
        }
    }
    found
}

/// The end of a clip (ReLU, ReLU6) that follows, and its bounds; without one, `outlet` and no bounds.
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

fn apply_to_known(model: &TypedModel, node: &TypedNode, known: &[(OutletId, TValue)]) -> Option<(OutletId, TValue)> {
    let output = OutletId::new(node.id, 0);
    let element_wise = node.op_is::<TypedBinOp>() || node.op_is::<ElementWiseOp>();
    if !element_wise || node.outputs.len() != 1 || known.iter().any(|(o, _)| *o == output) {
        return None;
    }
    let inputs: Option<TVec<TValue>> = node
        .inputs
        .iter()
        .map(|input| match known.iter().find(|(o, _)| o == input) {
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
