//! Our own operators, and the pass over tract's typed model that puts them there.
//!
//! The pass runs on the model as parsed (`into_typed`), before it is decluttered: afterwards layers are split and axes
//! gone that tell what they are.

mod attention;
pub(crate) mod engine;
mod gemm;
pub(crate) mod graph;
mod layernorm;
mod layout;
pub(crate) mod level;
pub(crate) mod math;
pub(crate) mod pool;
pub(crate) mod shared;

use std::sync::Arc;

use tract_onnx::prelude::*;

use engine::Engine;

/// What was replaced, for logs and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Dynamic int8 linear layers, those of one input counted once.
    pub(crate) linears: usize,
    pub(crate) attentions: usize,
    pub(crate) norms: usize,
}

/// An ONNX parser that knows our operators.
pub(crate) fn parser() -> tract_onnx::Onnx {
    let mut parser = tract_onnx::onnx();
    layernorm::register(&mut parser.op_register);
    parser
}

/// Replaces what our operators do faster in a model as parsed. The caller declutters and optimises it afterwards.
pub(crate) fn rewrite(model: &mut TypedModel, engine: &Arc<Engine>) -> TractResult<Report> {
    let linears = super::qlinear::matching::rewrite(model, engine)?;
    let attentions = attention::matching::rewrite(model, engine)?;
    model.compact()?;
    let norms = layernorm::rewrite(model, engine);
    Ok(Report { linears, attentions, norms })
}
