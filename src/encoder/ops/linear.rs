//! The dynamic int8 linear layer as one operator.
//!
//! ```text
//! x f32 -> quantise, once for all layers that share an input -> kernel -> scale, bias, activation, residual -> f32
//! ```
//!
//! The arithmetic is that of ONNX's DynamicQuantizeLinear, MatMulInteger, Cast, Mul and Add, which it replaces. The
//! integers are the same on every kernel, and the output of onnxruntime on the same file differs only by f32 rounding.

use std::cell::RefCell;
use std::sync::Arc;

use tract_core::internal::*;

use crate::encoder::cpu::choice::CpuContext;
use crate::encoder::cpu::int8_convert::{Activation, ColumnConstants, QuantisedMatrix, finish};
use crate::encoder::cpu::int8_kernel::{MAX_NR, MAX_TILE};
use crate::encoder::cpu::int8_weights::{PackedWeights, WeightArena};
use crate::encoder::cpu::threads::SharedSlice;

thread_local! {
    /// One quantised activation matrix per thread, which each layer fills again.
    static QUANTISED: RefCell<QuantisedMatrix> = RefCell::default();
}

/// About how many columns one task computes.
const TASK_COLUMNS: usize = 64;
/// The rows that one task computes if there are many rows and few weights, as in a convolution of a large picture: its
/// activations stay in the cache for all panels.
const TASK_ROWS: usize = 128;
/// The most weights that stay in the second-level cache.
const SMALL_WEIGHTS: usize = 1 << 18;
/// A dynamic int8 linear layer, activation(x W + b), plus a second input if there is one.
///
/// Inputs: x `[.., K]` f32 and, with `residual`, r `[.., N]` f32. Output `[.., N]` f32. x is quantised by its range
/// over all rows.
#[derive(Clone, Debug)]
pub(crate) struct Int8Linear {
    pub(crate) cpu: Arc<CpuContext>,
    pub(crate) arena: Arc<WeightArena>,
    pub(crate) weights: PackedWeights,
    /// The scale of each column, `panels * nr` of them.
    pub(crate) scale: Arc<[f32]>,
    /// The bias of each column, `panels * nr` of them.
    pub(crate) bias: Arc<[f32]>,
    pub(crate) activation: Activation,
    pub(crate) residual: bool,
}

impl PartialEq for Int8Linear {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.arena, &other.arena)
            && self.weights == other.weights
            && self.scale == other.scale
            && self.bias == other.bias
            && (self.activation, self.residual) == (other.activation, other.residual)
    }
}
impl Eq for Int8Linear {}

impl Op for Int8Linear {
    fn name(&self) -> StaticName {
        "Int8Linear".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let (k, n) = (self.weights.k(), self.weights.n());
        Ok(vec![format!("{k}x{n} {:?} {:?} residual:{}", self.cpu.kernel, self.activation, self.residual)])
    }

    op_as_typed_op!();
}

impl EvalOp for Int8Linear {
    fn eval(&self, _ctx: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 1 + usize::from(self.residual), "Int8Linear got {} inputs", inputs.len());
        let residual = if self.residual { inputs.pop() } else { None };
        let x = &inputs[0];
        ensure!(
            x.shape().last() == Some(&self.weights.k()),
            "Int8Linear got {:?} for K = {}",
            x.shape(),
            self.weights.k()
        );
        let mut shape: TVec<usize> = x.shape().into();
        if let Some(last) = shape.last_mut() {
            *last = self.weights.n();
        }
        // The output reuses the memory of the residual, unless something else still needs it.
        let mut out = match residual {
            Some(residual) => residual.into_tensor(),
            // SAFETY: every number is written below.
            None => unsafe { Tensor::uninitialized_aligned_dt(f32::datum_type(), &shape, 64)? },
        };
        ensure!(out.shape() == &*shape, "Int8Linear got a residual of {:?} for {shape:?}", out.shape());
        let x = x.try_as_plain_ram()?;
        let mut view = out.try_as_plain_ram_mut()?;
        self.apply(x.as_slice::<f32>()?, view.as_slice_mut::<f32>()?);
        Ok(tvec!(out.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for Int8Linear {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape: TVec<TDim> = inputs[0].shape.iter().cloned().collect();
        ensure!(inputs[0].datum_type == f32::datum_type(), "Int8Linear needs an f32 input");
        let last = shape.last_mut().context("Int8Linear needs rows")?;
        ensure!(*last == self.weights.k().to_dim(), "Int8Linear of K = {} on {last}", self.weights.k());
        *last = self.weights.n().to_dim();
        Ok(tvec!(f32::fact(shape)))
    }

    as_op!();
}

impl Int8Linear {
    /// Computes `out`, `[m, N]`, from `x`, `[m, K]`. With `residual`, the result is added to `out`.
    fn apply(&self, x: &[f32], out: &mut [f32]) {
        let CpuContext { kernel, level, pool, .. } = &*self.cpu;
        QUANTISED.with_borrow_mut(|quantised| {
            quantised.set(kernel, *level, pool, x, self.weights.k());
            let quantised = &*quantised;
            let rows = x.len() / self.weights.k();
            let output = SharedSlice::new(out);
            let panels = self.weights.panels();
            if rows > 2 * TASK_ROWS && self.weights.k() * self.weights.n() <= SMALL_WEIGHTS {
                pool.run(rows.div_ceil(TASK_ROWS), &|task| {
                    let block = task * TASK_ROWS..rows.min((task + 1) * TASK_ROWS);
                    for panel in 0..panels {
                        self.panel(panel, quantised, block.clone(), &output);
                    }
                });
                return;
            }
            let per_task = (TASK_COLUMNS / kernel.nr).max(1);
            pool.run(panels.div_ceil(per_task), &|task| {
                for panel in task * per_task..panels.min((task + 1) * per_task) {
                    self.panel(panel, quantised, 0..rows, &output);
                }
            });
        });
    }

    /// Computes some rows of the columns of one panel.
    fn panel(&self, panel: usize, x: &QuantisedMatrix, rows: std::ops::Range<usize>, output: &SharedSlice<'_>) {
        let kernel = self.cpu.kernel;
        let (nr, n) = (kernel.nr, self.weights.n());
        let first_column = panel * nr;
        let columns = nr.min(n - first_column);
        let (mut correction, mut scale) = ([0i32; MAX_NR], [0f32; MAX_NR]);
        let part = first_column..first_column + columns;
        for (to, sum) in correction.iter_mut().zip(&self.weights.column_sums()[part.clone()]) {
            *to = x.zero_point().wrapping_mul(*sum);
        }
        for (to, weight) in scale.iter_mut().zip(&self.scale[part]) {
            *to = x.scale() * weight;
        }
        let bias = &self.bias[first_column..first_column + columns];
        let constants = ColumnConstants { correction: &correction[..columns], scale: &scale[..columns], bias };
        let mut sums = [0i32; MAX_TILE];
        // Tiles of about equal height: 8 rows are 4 and 4, not 6 and 2.
        let tiles = rows.len().div_ceil(kernel.mr);
        for tile in 0..tiles {
            let at = |tile: usize| rows.start + tile * rows.len() / tiles;
            let (first, last) = (at(tile), at(tile + 1));
            self.weights.tile(kernel, &self.arena, x, panel, first, last - first, &mut sums);
            // SAFETY: only this task writes these rows of this panel's columns, one tile at a time.
            let out = unsafe { output.block(first * n + first_column, n, last - first, columns) };
            finish(self.cpu.level, &sums, nr, constants, self.activation, self.residual, out);
        }
    }
}
