//! Dynamic MatMulInteger with constant weights.

use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;

use super::operands::{Columns, Product, Source, quantiser_of, sums_plainly};
use crate::encoder::ops::graph::constant;
use crate::encoder::weights::Weights;

/// The product of a dynamic MatMulInteger, if `node` is that with a matrix of its own.
pub(super) fn find<'a>(model: &TypedModel, beside: &Weights<'a>, node: &TypedNode) -> Option<Product<'a>> {
    let op = node.op_as::<EinSum>()?;
    let [a, b, bias, a_zero, a_scale, b_zero, b_scale, c_zero, c_scale] = *node.inputs else { return None };
    let plain = op.q_params == Some(i32::datum_type())
        && sums_plainly(model, [bias, b_zero, c_zero], [a_scale, b_scale, c_scale]);
    let quantiser = quantiser_of(model, a, a_zero).filter(|_| plain)?;
    let (weights, [k, n]) = source(model, beside, b)?;
    let last = multiplies_last_axis(model, node, op, k, n);
    last.then_some(Product { quantiser, weights, k, n, columns: Columns::Last })
}

/// Where the weights at an outlet lie, and their shape `[K, N]`.
fn source<'a>(model: &TypedModel, beside: &Weights<'a>, outlet: OutletId) -> Option<(Source<'a>, [usize; 2])> {
    let mut origin = outlet;
    while model.node(origin.node).op_is::<AxisOp>() {
        origin = model.node(origin.node).inputs[0];
    }
    if let Some((shape, bytes)) = beside.at(model, origin) {
        return Some((Source::File(bytes), shape));
    }
    let tensor = constant(model, outlet).filter(|tensor| tensor.datum_type() == i8::datum_type())?;
    let shape = tensor.shape().try_into().ok()?;
    Some((Source::Constant(tensor), shape))
}

/// Whether the product is `[.., K] x [K, N]`, the matrix having axes of length 1 in front at most.
fn multiplies_last_axis(model: &TypedModel, node: &TypedNode, op: &EinSum, k: usize, n: usize) -> bool {
    let rank = |i: usize| model.outlet_fact(node.inputs[i]).map_or(0, |f| f.rank());
    let (a, b) = (rank(0), rank(1));
    let out = node.outputs[0].fact.rank();
    if a < 2 || b < 2 || out != a {
        return false;
    }
    let axis = |io, at| op.axes.axis((io, at)).map(|axis| axis.repr).ok();
    let k_axis = axis(InOut::In(0), a - 1);
    let (b_k, b_n, out_n) = (axis(InOut::In(1), b - 2), axis(InOut::In(1), b - 1), axis(InOut::Out(0), a - 1));
    let leading = (0..a - 1).all(|i| axis(InOut::In(0), i) == axis(InOut::Out(0), i));
    let b_shape = model.outlet_fact(node.inputs[1]).ok().and_then(|f| f.shape.as_concrete().map(|s| s.to_vec()));
    let matrix = b_shape.is_some_and(|s| s[..b - 2].iter().all(|d| *d == 1) && s[b - 2..] == [k, n]);
    k_axis.is_some() && k_axis == b_k && b_n.is_some() && b_n == out_n && leading && matrix
}
