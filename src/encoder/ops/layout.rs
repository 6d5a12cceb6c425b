//! Where a tensor's elements come from or go to, through operators that only move them.
//!
//! Exporters split heads, transpose and join them again in many ways. Instead of knowing them all, the operators in
//! between are run on a tensor of element numbers, and what comes out is read as strides.

use tract_core::internal::*;
use tract_core::ops::array::Slice;
use tract_core::ops::math::{Div, Mul};

use super::graph::{constant_f32, only_reader};
use tract_core::ops::binary::TypedBinOp;

/// Largest tensor whose elements are followed.
const MOST_ELEMENTS: usize = 1 << 24;

/// A tensor as a view of another one: element numbers there, and a factor.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The outlet looked at.
    pub(crate) source: OutletId,
    /// Element numbers in `source`, i64.
    pub(crate) elements: Tensor,
    /// What all elements are multiplied by on the way.
    pub(crate) factor: f32,
}

fn numbered(shape: &[usize]) -> TractResult<Tensor> {
    let len = shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).filter(|len| *len <= MOST_ELEMENTS);
    let numbers: Vec<i64> = (0..len.context("too many elements to follow")? as i64).collect();
    Tensor::from_shape(shape, &numbers)
}

fn moved(node: &TypedNode, elements: Tensor) -> TractResult<Tensor> {
    let outcome = node.op.eval_out_of_plan(tvec!(elements.into_tvalue()))?.context("an operator needs its plan")?;
    Ok(outcome.into_iter().next().context("an operator without output")?.into_tensor())
}

/// For an operator that multiplies by a positive scalar: the operand and the scalar.
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

/// `outlet` as a view of the tensor that it is moved and scaled from.
pub(crate) fn origin(model: &TypedModel, outlet: OutletId) -> TractResult<View> {
    let node = model.node(outlet.node);
    if node.op_is::<AxisOp>() || node.op_is::<Slice>() {
        let mut view = origin(model, node.inputs[0])?;
        view.elements = moved(node, view.elements)?;
        return Ok(view);
    }
    if let Some((operand, factor)) = scaled(model, node) {
        let mut view = origin(model, operand)?;
        view.factor *= factor;
        return Ok(view);
    }
    let shape = model.outlet_fact(outlet)?.shape.as_concrete().context("an open shape")?.to_vec();
    Ok(View { source: outlet, elements: numbered(&shape)?, factor: 1.0 })
}

/// What `outlet` is a positive multiple of, and the factor.
pub(crate) fn unscaled(model: &TypedModel, outlet: OutletId) -> (OutletId, f32) {
    match scaled(model, model.node(outlet.node)) {
        Some((operand, factor)) => {
            let (source, more) = unscaled(model, operand);
            (source, factor * more)
        }
        None => (outlet, 1.0),
    }
}

/// Follows `outlet` as long as its axes are only moved; returns the end and, in `outlet`'s shape, where each element
/// lies there.
pub(crate) fn destination(model: &TypedModel, outlet: OutletId) -> TractResult<(OutletId, Tensor)> {
    let shape = model.outlet_fact(outlet)?.shape.as_concrete().context("an open shape")?.to_vec();
    let mut elements = numbered(&shape)?;
    let mut end = outlet;
    while let Some(reader) = only_reader(model, end).filter(|reader| reader.op_is::<AxisOp>()) {
        elements = moved(reader, elements)?;
        end = reader.id.into();
    }
    let elements = elements.try_as_plain_ram()?;
    let mut places = vec![0i64; elements.as_slice::<i64>()?.len()];
    for (place, element) in elements.as_slice::<i64>()?.iter().enumerate() {
        places[*element as usize] = place as i64;
    }
    Ok((end, Tensor::from_shape(&shape, &places)?))
}

/// First element number and steps along the axes of `elements`, if it is as regular as that.
pub(crate) fn strides(elements: &Tensor) -> Option<(usize, TVec<usize>)> {
    let shape = elements.shape();
    let numbers = elements.try_as_plain_ram().ok()?;
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
    // An index that counts up like the tensor's elements, last axis fastest.
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
    fn regular_views_give_strides_and_others_do_not() {
        let view = |shape: &[usize], numbers: &[i64]| strides(&Tensor::from_shape(shape, numbers).unwrap());
        let steps = |steps: &[usize]| steps.iter().copied().collect::<TVec<usize>>();
        assert_eq!(view(&[2, 3], &[5, 7, 9, 15, 17, 19]), Some((5, steps(&[10, 2]))));
        assert_eq!(view(&[3, 1, 2], &[0, 1, 2, 3, 4, 5]), Some((0, steps(&[2, 0, 1]))));
        assert_eq!(view(&[1, 1], &[4]), Some((4, steps(&[0, 0]))));
        assert_eq!(view(&[2, 2], &[0, 1, 2, 4]), None);
        assert_eq!(view(&[2], &[1, 0]), None);
    }
}
