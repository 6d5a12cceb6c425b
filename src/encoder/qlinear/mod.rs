//! Dynamic int8 linear layers as one operator.
//!
//! ```text
//! x f32 -> quantise (once for all layers of one input) -> integer kernel -> scale, bias, activation, residual -> f32
//! ```
//!
//! The arithmetic is that of ONNX's DynamicQuantizeLinear, MatMulInteger, Cast, Mul and Add, which this replaces: the
//! integers are the same on every kernel, and onnxruntime's answer on the same file differs only by roundings in f32.

mod finish;
pub(crate) mod kernel;
pub(crate) mod matching;
mod pack;
mod product;
mod quantise;

use std::cell::RefCell;
use std::sync::Arc;

use tract_core::internal::*;

pub(crate) use finish::Activation;
use finish::{Columns, finish};
pub(crate) use pack::{Arena, Packed, pack_all};
pub use product::IntegerProduct;
use quantise::Quantised;

use super::ops::engine::Engine;
use super::ops::shared::Shared;

thread_local! {
    /// One quantised activation matrix a thread, filled again by each layer.
    static QUANTISED: RefCell<Quantised> = RefCell::default();
}

/// Columns that one task of the pool works on, about.
const TASK_COLUMNS: usize = 64;
/// Rows that one task works on where there are many and the weights are few, as in a convolution of a large picture: its
/// activations stay near while the panels take turns.
const TASK_ROWS: usize = 128;
/// Weights that stay in the second-level cache.
const SMALL_WEIGHTS: usize = 1 << 18;
/// No kernel has panels wider, or tiles of more numbers, than these.
const MAX_NR: usize = 64;
const MAX_TILE: usize = 6 * 64;
// aarch64: 8 * 8, 5 * 16 and 4 * 4; AVX2: 6 * 16.

/// activation(x W + b), or the same added to a second input.
///
/// Inputs: x `[.., K]` f32 and, with `residual`, r `[.., N]` f32. Output `[.., N]` f32. x is quantised by its range
/// over all rows.
#[derive(Clone, Debug)]
pub(crate) struct QLinear {
    pub(crate) engine: Arc<Engine>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) weights: Packed,
    /// Weight scales, `panels * nr`.
    pub(crate) scale: Arc<[f32]>,
    /// `panels * nr`.
    pub(crate) bias: Arc<[f32]>,
    pub(crate) activation: Activation,
    pub(crate) residual: bool,
}

impl PartialEq for QLinear {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.arena, &other.arena)
            && self.weights == other.weights
            && self.scale == other.scale
            && self.bias == other.bias
            && (self.activation, self.residual) == (other.activation, other.residual)
    }
}
impl Eq for QLinear {}

impl Op for QLinear {
    fn name(&self) -> StaticName {
        "QLinear".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let (k, n) = (self.weights.k(), self.weights.n());
        Ok(vec![format!("{k}x{n} {:?} {:?} residual:{}", self.engine.kernel, self.activation, self.residual)])
    }

    op_as_typed_op!();
}

impl EvalOp for QLinear {
    fn eval(&self, _ctx: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 1 + usize::from(self.residual), "QLinear got {} inputs", inputs.len());
        let residual = if self.residual { inputs.pop() } else { None };
        let x = &inputs[0];
        ensure!(
            x.shape().last() == Some(&self.weights.k()),
            "QLinear got {:?} for K = {}",
            x.shape(),
            self.weights.k()
        );
        let mut shape: TVec<usize> = x.shape().into();
        if let Some(last) = shape.last_mut() {
            *last = self.weights.n();
        }
        // The residual's own memory becomes the output's, unless something else still needs it.
        let mut out = match residual {
            Some(residual) => residual.into_tensor(),
            // SAFETY: every number is written below.
            None => unsafe { Tensor::uninitialized_aligned_dt(f32::datum_type(), &shape, 64)? },
        };
        ensure!(out.shape() == &*shape, "QLinear got a residual of {:?} for {shape:?}", out.shape());
        let x = x.try_as_plain_ram()?;
        let mut view = out.try_as_plain_ram_mut()?;
        self.apply(x.as_slice::<f32>()?, view.as_slice_mut::<f32>()?);
        Ok(tvec!(out.into_tvalue()))
    }

    op_out_of_plan!();
}

impl TypedOp for QLinear {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape: TVec<TDim> = inputs[0].shape.iter().cloned().collect();
        ensure!(inputs[0].datum_type == f32::datum_type(), "QLinear works on f32");
        let last = shape.last_mut().context("QLinear needs rows")?;
        ensure!(*last == self.weights.k().to_dim(), "QLinear of K = {} on {last}", self.weights.k());
        *last = self.weights.n().to_dim();
        Ok(tvec!(f32::fact(shape)))
    }

    as_op!();
}

impl QLinear {
    /// `x` `[m, K]`, `out` `[m, N]`; with `residual`, `out` holds what is added to.
    fn apply(&self, x: &[f32], out: &mut [f32]) {
        let Engine { kernel, level, pool, .. } = &*self.engine;
        QUANTISED.with_borrow_mut(|quantised| {
            quantised.set(kernel, *level, pool, x, self.weights.k());
            let quantised = &*quantised;
            let rows = x.len() / self.weights.k();
            let output = Shared::new(out);
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

    /// Some rows of one panel's columns.
    fn panel(&self, panel: usize, x: &Quantised, rows: std::ops::Range<usize>, output: &Shared<'_>) {
        let kernel = self.engine.kernel;
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
        let constants = Columns { correction: &correction[..columns], scale: &scale[..columns], bias };
        let mut sums = [0i32; MAX_TILE];
        // Tiles of about equal height: 8 rows are 4 and 4, not 6 and 2.
        let tiles = rows.len().div_ceil(kernel.mr);
        for tile in 0..tiles {
            let at = |tile: usize| rows.start + tile * rows.len() / tiles;
            let (first, last) = (at(tile), at(tile + 1));
            self.weights.tile(kernel, &self.arena, x, panel, first, last - first, &mut sums);
            // SAFETY: these rows of this panel's columns are written by this task alone, one tile at a time.
            let out = unsafe { output.block(first * n + first_column, n, last - first, columns) };
            finish(self.engine.level, &sums, nr, constants, self.activation, self.residual, out);
        }
    }
}
