//! Dynamic int8 convolutions of one point: at each place of a picture a linear layer over its channels.

use tract_core::internal::*;
use tract_core::ops::cnn::PaddingSpec;
use tract_core::ops::cnn::conv::{Conv, KernelFormat};
use tract_core::ops::nn::DataFormat;

use super::operands::{Columns, Product, Source, quantiser_of, sums_plainly};
use crate::encoder::ops::graph::constant;

/// The product of `[1, K, H, W]` and weights `[N, K, 1, 1]` by ConvInteger with a kernel of one point, if `node` is that and nothing is padded or left out.
pub(super) fn find<'a>(model: &TypedModel, node: &TypedNode) -> Option<Product<'a>> {
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
    Some(Product { quantiser, weights: Source::Transposed(weights), k, n, columns: Columns::Second })
}

/// i8 `[N, K]` as `[K, N]`.
pub(super) fn transposed(weights: &Tensor, k: usize) -> TractResult<Vec<u8>> {
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
