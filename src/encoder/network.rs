//! One ONNX graph with one input and one output, ready to run.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use super::ops::engine::Engine;
use super::ops::{self, Precision, Pruning, Report};
use super::qlinear::kernel::Kernel;

/// How a network is to run.
#[derive(Clone, Debug, Default)]
pub struct NetworkOptions {
    /// Threads to compute with; 0 counts as 1.
    pub threads: usize,
    /// Name of the integer kernel to use instead of the best one.
    pub kernel: Option<String>,
    /// Whether rows that nobody reads are left out.
    pub pruning: Pruning,
    /// Whether attention may be computed in bfloat16.
    pub precision: Precision,
}

/// See the module.
pub struct Network {
    state: TypedSimpleState,
    shape: Vec<usize>,
    report: Report,
    kernel: &'static str,
}

impl Network {
    /// Reads a graph; its input's shape must be fixed.
    pub fn load(onnx: &[u8], options: &NetworkOptions) -> TractResult<Self> {
        let kernel = options.kernel.as_deref().map(Kernel::named).transpose().map_err(TractError::msg)?;
        let engine = Arc::new(Engine::new(options.threads, kernel, options.precision)?);
        let parser = ops::parser();
        let mut model = parser.model_for_read(&mut &*onnx)?.into_typed()?;
        let report = ops::rewrite(&mut model, &engine, options.pruning)?;
        let model = model.into_optimized()?;
        let shape = model.input_fact(0)?.shape.as_concrete().context("the input's shape is open")?.to_vec();
        Ok(Self { state: model.into_runnable()?.spawn()?, shape, report, kernel: engine.kernel.name() })
    }

    /// Runs once.
    pub fn run(&mut self, x: &[f32]) -> TractResult<Vec<f32>> {
        let x = Tensor::from_shape(&self.shape, x)?;
        let y = self.state.run(tvec!(x.into_tvalue()))?.swap_remove(0);
        Ok(y.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }

    /// Numbers in the input.
    pub fn input_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The integer kernel, and what our operators replaced.
    pub fn report(&self) -> String {
        format!("kernel {}: {:?}", self.kernel, self.report)
    }
}
