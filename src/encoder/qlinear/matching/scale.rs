//! The factors behind a layer's integer sums.

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::math::Mul;

use crate::encoder::ops::graph::constant_f32;

/// The product of factors behind a layer's sums: the activation's scale once, and constants.
#[derive(Default)]
pub(super) struct Scale {
    dynamic: bool,
    constants: Vec<Vec<f32>>,
}

impl Scale {
    /// Takes a factor in, if it is made of the activation's scale and constants of 1 or `n` numbers alone.
    pub(super) fn times(&mut self, model: &TypedModel, factor: OutletId, quantiser: usize, n: usize) -> bool {
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

    /// The constant part for each column, if the activation's scale was there.
    pub(super) fn finish(self, n: usize) -> Option<Vec<f32>> {
        let mut product = vec![1f32; n];
        for factor in &self.constants {
            product.iter_mut().enumerate().for_each(|(i, p)| *p *= factor[i % factor.len()]);
        }
        self.dynamic.then_some(product)
    }
}

/// Whether an operand has one number, or `n` along `axis`.
pub(super) fn lies_along(model: &TypedModel, operand: OutletId, axis: usize, n: usize) -> bool {
    let Ok(fact) = model.outlet_fact(operand) else { return false };
    let along = |(at, dim): (usize, &usize)| *dim == 1 || (at == axis && *dim == n);
    fact.shape.as_concrete().is_some_and(|shape| shape.iter().enumerate().all(along))
}
