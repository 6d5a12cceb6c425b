//! Finds dynamic integer products (MatMulInteger, and ConvInteger with a 1x1 kernel) in a typed model, their weights
//! and the scale behind them.

use std::collections::HashMap;
use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::cnn::PaddingSpec;
use tract_core::ops::cnn::conv::{Conv, KernelFormat};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::konst::Const;
use tract_core::ops::math::Mul;
use tract_core::ops::nn::DataFormat;

use super::graph::{constant, constant_f32, is_constant};

/// Weights of int8 linear layers that were left in the file instead of being copied into the model. In the model an
/// input of the same name and shape represents each of them.
#[derive(Default)]
pub(crate) struct InFileWeights<'a>(HashMap<String, InFileMatrix<'a>>);

/// One matrix in the file.
pub(crate) struct InFileMatrix<'a> {
    /// `[K, N]`
    pub(crate) shape: [usize; 2],
    /// Row-major, two's complement.
    pub(crate) bytes: &'a [u8],
}

impl<'a> InFileWeights<'a> {
    /// Wraps matrices by the names of the inputs that represent them.
    pub(crate) fn new(matrices: HashMap<String, InFileMatrix<'a>>) -> Self {
        Self(matrices)
    }

    /// Returns the number of matrices.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the matrix that an outlet represents, if there is one.
    fn at(&self, model: &TypedModel, outlet: OutletId) -> Option<&InFileMatrix<'a>> {
        if !model.inputs.contains(&outlet) {
            return None;
        }
        self.0.get(&model.node(outlet.node).name)
    }

    /// Copies the matrices that are still read into the model, which then has only its true inputs.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn restore(self, model: &mut TypedModel) -> TractResult<()> {
        let (sources, inputs): (Vec<OutletId>, Vec<OutletId>) =
            model.inputs.iter().partition(|outlet| self.0.contains_key(&model.node(outlet.node).name));
        model.set_input_outlets(&inputs)?;
        for source in sources {
            let node = model.node_mut(source.node);
            let InFileMatrix { shape, bytes } = self.0[&node.name];
            if node.outputs[0].successors.is_empty() {
                continue;
            }
            // SAFETY: every bit pattern is an i8.
            let tensor = unsafe { Tensor::from_raw::<i8>(&shape, bytes)? }.into_arc_tensor();
            node.outputs[0].fact = TypedFact::try_from(tensor.clone())?;
            node.op = Box::new(Const::new(tensor)?);
        }
        Ok(())
    }
}

/// A dynamic integer product.
pub(crate) struct Product<'a> {
    /// The DynamicQuantizeLinear node of the activations.
    pub(crate) quantiser: usize,
    pub(crate) weights: Source<'a>,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) columns: ColumnAxis,
}

/// The axis of a layer's output that its columns are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnAxis {
    /// `[.., N]`
    Last,
    /// `[1, N, H, W]`
    Second,
}

/// Where the i8 weights of a layer are stored.
pub(crate) enum Source<'a> {
    /// In the model as `[K, N]`.
    Constant(Arc<Tensor>),
    /// In the model as `[N, K, 1, 1]`.
    Transposed(Arc<Tensor>),
    /// In the file as `[K, N]`; see [`InFileWeights`].
    File(&'a [u8]),
}

/// Returns the product that `node` computes, if it can be replaced.
pub(crate) fn find_product<'a>(
    model: &TypedModel,
    external: &InFileWeights<'a>,
    node: &TypedNode,
) -> Option<Product<'a>> {
    find_convolution(model, node).or_else(|| find_matrix(model, external, node))
}

/// Returns whether an integer product has neither a bias nor a separate scale.
fn sums_plainly(model: &TypedModel, zeros: [OutletId; 3], ones: [OutletId; 3]) -> bool {
    zeros.iter().all(|i| is_constant(model, *i, 0.0)) && ones.iter().all(|i| is_constant(model, *i, 1.0))
}

/// Returns the DynamicQuantizeLinear node whose integers and zero point these are.
fn quantiser_of(model: &TypedModel, integers: OutletId, mut zero: OutletId) -> Option<usize> {
    while model.node(zero.node).op_is::<Cast>() {
        zero = model.node(zero.node).inputs[0];
    }
    let quantiser = model.node(integers.node);
    let both = (integers.slot, zero) == (0, OutletId::new(quantiser.id, 2));
    (both && quantiser.op.name() == "DynamicQuantizeLinearU8").then_some(quantiser.id)
}

/// Returns the product of a dynamic MatMulInteger with a constant matrix, if `node` is one.
fn find_matrix<'a>(model: &TypedModel, external: &InFileWeights<'a>, node: &TypedNode) -> Option<Product<'a>> {
    let op = node.op_as::<EinSum>()?;
    let [a, b, bias, a_zero, a_scale, b_zero, b_scale, c_zero, c_scale] = *node.inputs else { return None };
    let plain = op.q_params == Some(i32::datum_type())
        && sums_plainly(model, [bias, b_zero, c_zero], [a_scale, b_scale, c_scale]);
    let quantiser = quantiser_of(model, a, a_zero).filter(|_| plain)?;
    let (weights, [k, n]) = source(model, external, b)?;
    let last = multiplies_last_axis(model, node, op, k, n);
    last.then_some(Product { quantiser, weights, k, n, columns: ColumnAxis::Last })
}

/// Returns where the weights of an outlet are stored, and their shape `[K, N]`.
fn source<'a>(model: &TypedModel, external: &InFileWeights<'a>, outlet: OutletId) -> Option<(Source<'a>, [usize; 2])> {
    let mut origin = outlet;
    while model.node(origin.node).op_is::<AxisOp>() {
        origin = model.node(origin.node).inputs[0];
    }
    if let Some(matrix) = external.at(model, origin) {
        return Some((Source::File(matrix.bytes), matrix.shape));
    }
    let tensor = constant(model, outlet).filter(|tensor| tensor.datum_type() == i8::datum_type())?;
    let shape = tensor.shape().try_into().ok()?;
    Some((Source::Constant(tensor), shape))
}

/// Returns whether the product is `[.., K] x [K, N]`, where the matrix may only have leading axes of length 1.
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

/// Returns the product of `[1, K, H, W]` and weights `[N, K, 1, 1]`, if `node` is a ConvInteger with a 1x1 kernel that
/// neither pads nor skips positions.
fn find_convolution<'a>(model: &TypedModel, node: &TypedNode) -> Option<Product<'a>> {
    let op = node.op_as::<Conv>()?;
    let pool = &op.pool_spec;
    let [x, weights, bias, x_zero, x_scale, w_zero, w_scale, y_zero, y_scale] = *node.inputs else { return None };
    let padded = match &pool.padding {
        PaddingSpec::Valid => false,
        PaddingSpec::Explicit(before, after) => before.iter().chain(after).any(|rows| *rows != 0),
        _ => true,
    };
    let one_point = pool.kernel_shape.as_slice() == [1, 1] && pool.strides.iter().flatten().all(|stride| *stride == 1);
    let plain = op.q_params == Some(i32::datum_type())
        && op.group == 1
        && op.kernel_fmt == KernelFormat::OIHW
        && pool.data_format == DataFormat::NCHW
        && sums_plainly(model, [bias, w_zero, y_zero], [x_scale, w_scale, y_scale]);
    if padded || !one_point || !plain {
        return None;
    }
    let weights = constant(model, weights).filter(|weights| weights.datum_type() == i8::datum_type())?;
    let [n, k, 1, 1] = *weights.shape() else { return None };
    if n == 0 || k == 0 {
        return None;
    }
    let batch = model.outlet_fact(x).ok()?.shape.as_concrete()?.first() == Some(&1);
    let quantiser = quantiser_of(model, x, x_zero).filter(|_| batch)?;
    Some(Product { quantiser, weights: Source::Transposed(weights), k, n, columns: ColumnAxis::Second })
}

/// Returns i8 weights `[N, K]` as `[K, N]`.
pub(crate) fn transposed(weights: &Tensor, k: usize) -> TractResult<Vec<u8>> {
    let weights = weights.try_as_plain_ram()?;
    let rows = weights.as_bytes();
    let n = rows.len() / k.max(1);
    let mut out = vec![0; rows.len()];
    for (column, weights) in rows.chunks_exact(k).enumerate() {
        for (row, w) in weights.iter().enumerate() {
            out[row * n + column] = *w;
        }
    }
    Ok(out)
}

/// The product of the factors behind a layer's sums: the scale of the activations once, and constants.
#[derive(Default)]
pub(crate) struct Scale {
    dynamic: bool,
    constants: Vec<Vec<f32>>,
}

impl Scale {
    /// Multiplies by a factor. Returns false if it consists of anything but the scale of the activations and constants
    /// of 1 or `n` numbers.
    pub(crate) fn times(&mut self, model: &TypedModel, factor: OutletId, quantiser: usize, n: usize) -> bool {
        if let Some(numbers) = constant_f32(model, factor).filter(|c| c.len() == 1 || c.len() == n) {
            self.constants.push(numbers);
            return true;
        }
        let node = model.node(factor.node);
        if factor == OutletId::new(quantiser, 1) {
            return !std::mem::replace(&mut self.dynamic, true);
        }
        if node.op_is::<AxisOp>() {
            return self.times(model, node.inputs[0], quantiser, n);
        }
        node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<Mul>())
            && node.inputs.iter().all(|input| self.times(model, *input, quantiser, n))
    }

    /// Returns the constant part for each column, if the scale of the activations was among the factors.
    pub(crate) fn finish(self, n: usize) -> Option<Vec<f32>> {
        let mut product = vec![1f32; n];
        for factor in &self.constants {
            product.iter_mut().enumerate().for_each(|(i, p)| *p *= factor[i % factor.len()]);
        }
        self.dynamic.then_some(product)
    }
}

/// Returns whether an operand has one number, or `n` along `axis`.
pub(crate) fn lies_along(model: &TypedModel, operand: OutletId, axis: usize, n: usize) -> bool {
    let Ok(fact) = model.outlet_fact(operand) else { return false };
    let along = |(at, dim): (usize, &usize)| *dim == 1 || (at == axis && *dim == n);
    fact.shape.as_concrete().is_some_and(|shape| shape.iter().enumerate().all(along))
}
