//! Our own operators, and the pass over tract's typed model that puts them there.
//!
//! The pass runs on the model as parsed (`into_typed`), before it is decluttered: afterwards layers are split and axes
//! gone that tell what they are.

pub(crate) mod engine;
pub(crate) mod graph;
pub(crate) mod level;
pub(crate) mod math;
pub(crate) mod pool;

use std::sync::Arc;

use tract_onnx::prelude::*;

use engine::Engine;

/// What was replaced, for logs and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Dynamic int8 linear layers.
    pub(crate) linears: usize,
}

/// Replaces what our operators do faster in a model as parsed. The caller declutters and optimises it afterwards.
pub(crate) fn rewrite(model: &mut TypedModel, engine: &Arc<Engine>) -> TractResult<Report> {
    let linears = super::qlinear::matching::rewrite(model, engine)?;
    model.compact()?;
    Ok(Report { linears })
}
