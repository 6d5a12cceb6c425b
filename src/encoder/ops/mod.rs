//! Our own operators, and the pass over tract's typed model that puts them there.
//!
//! The pass runs on the model as parsed (`into_typed`), before it is decluttered: afterwards layers are split and axes
//! gone that tell what they are.

mod attention;
mod bf16;
#[cfg(test)]
mod chosen;
pub(crate) mod conv;
pub(crate) mod engine;
mod gemm;
pub(crate) mod graph;
mod layernorm;
mod layout;
pub(crate) mod level;
pub(crate) mod math;
mod patch;
pub(crate) mod pool;
mod prune;
pub(crate) mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::weights::Weights;

pub(crate) use engine::{Engine, engine};
pub use engine::{Precision, force_kernel};

/// What was replaced, for logs and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Dynamic int8 linear layers, those of one input counted once.
    pub(crate) linears: usize,
    pub(crate) attentions: usize,
    pub(crate) norms: usize,
    pub(crate) patch_embeddings: usize,
    /// Other f32 convolutions.
    pub(crate) convolutions: usize,
    /// Operators that work on one row after pruning.
    pub(crate) pruned: usize,
}

/// Whether the last block is computed for the class token alone; see [`prune`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pruning {
    /// Rows that nobody reads are not computed.
    #[default]
    On,
    /// Everything is computed, as the file says.
    Off,
}

/// An ONNX parser that knows our operators.
pub(crate) fn parser() -> tract_onnx::Onnx {
    let mut parser = tract_onnx::onnx();
    layernorm::register(&mut parser.op_register);
    parser
}

/// Replaces what our operators do faster in a model as parsed. The caller declutters and optimises it afterwards.
///
/// `weights` were left in the file when the graph was parsed; what no operator of ours takes is put into the model.
pub(crate) fn rewrite(
    model: &mut TypedModel,
    engine: &Arc<Engine>,
    pruning: Pruning,
    weights: Weights<'_>,
) -> TractResult<Report> {
    let linears = super::qlinear::matching::rewrite(model, engine, &weights)?;
    weights.restore(model)?;
    // A network whose file is f32 throughout is computed so; rounding to bfloat16 is far below what int8 rounds away.
    let bf16 = if linears > 0 { engine.bf16 } else { None };
    let attentions = attention::matching::rewrite(model, engine, bf16)?;
    let patch_embeddings = patch::rewrite(model, engine, bf16)?;
    let convolutions = conv::matching::rewrite(model, engine)?;
    let norms = layernorm::rewrite(model, engine);
    let pruned = if pruning == Pruning::On { prune::rewrite(model)? } else { 0 };
    Ok(Report { linears, attentions, norms, patch_embeddings, convolutions, pruned })
}
