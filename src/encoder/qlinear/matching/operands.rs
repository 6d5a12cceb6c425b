//! What dynamic integer products have in common, whatever multiplies.

use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::cast::Cast;

use crate::encoder::ops::graph::is_constant;

/// What is multiplied.
pub(super) struct Product<'a> {
    /// The DynamicQuantizeLinear of the activations.
    pub(super) quantiser: usize,
    pub(super) weights: Source<'a>,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) columns: Columns,
}

/// Which axis of its answer a layer's columns are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// `[.., N]`
    Last,
    /// `[1, N, H, W]`
    Second,
}

/// Where a layer's weights, i8 `[K, N]`, lie.
pub(super) enum Source<'a> {
    /// In the model.
    Constant(Arc<Tensor>),
    /// In the model as `[N, K, 1, 1]`.
    Transposed(Arc<Tensor>),
    /// In the file, see [`crate::encoder::weights`].
    File(&'a [u8]),
}

/// Whether an integer product has nothing added and no scale of its own.
pub(super) fn sums_plainly(model: &TypedModel, zeros: [OutletId; 3], ones: [OutletId; 3]) -> bool {
    zeros.iter().all(|i| is_constant(model, *i, 0.0)) && ones.iter().all(|i| is_constant(model, *i, 1.0))
}

/// The DynamicQuantizeLinear whose integers and zero point these are.
pub(super) fn quantiser_of(model: &TypedModel, integers: OutletId, mut zero: OutletId) -> Option<usize> {
    while model.node(zero.node).op_is::<Cast>() {
        zero = model.node(zero.node).inputs[0];
    }
    let quantiser = model.node(integers.node);
    let both = (integers.slot, zero) == (0, OutletId::new(quantiser.id, 2));
    (both && quantiser.op.name() == "DynamicQuantizeLinearU8").then_some(quantiser.id)
}
