//! Bounds the memory and the work of constants that the network runtime computes while it loads a graph.
//!
//! tract evaluates every operator whose inputs are constants, as soon as it knows them, and only afterwards compares
//! the size of the result with a limit. A graph of a few kilobytes could therefore ask for all memory. Here the nodes
//! are visited in the same order, but the shapes of a node's outputs are inferred before it is evaluated.

use std::collections::HashSet;
use std::sync::Arc;

use tract_hir::infer::{Factoid, InferenceFact};
use tract_hir::internal::{OutletId, TVec};
use tract_onnx::prelude::{InferenceModel, Tensor, TractResult};

use super::limits::{CONSTANT_BYTES, CONSTANT_GROWTH, CONSTANT_OPERATIONS, SMALL_CONSTANT_BYTES};
use super::panic_guard::one_line;

/// Largest number of passes over a graph until its shapes no longer change. Exported graphs need two or three.
const MAX_PASSES: usize = 20;

/// Infers shapes and constants node by node, within the limits.
///
/// # Errors
/// A sentence about the node that exceeds them. Other errors of the runtime are left to its own analysis.
pub(super) fn analyse(model: &mut InferenceModel) -> Result<(), String> {
    let Ok(order) = model.eval_order() else { return Ok(()) };
    let mut budget = Budget { bytes: CONSTANT_BYTES as f64, operations: CONSTANT_OPERATIONS };
    let mut evaluated = HashSet::new();
    for _ in 0..MAX_PASSES {
        let mut changed = false;
        for &id in &order {
            let Ok(facts) = Facts::of(model, id) else { return Ok(()) };
            if let Ok(Some(sizes)) = facts.sizes(model, id)
                && evaluated.insert(id)
            {
                let (name, kind) = (&model.node(id).name, model.node(id).op.name());
                budget.spend(&kind, &sizes).map_err(|problem| {
                    format!("node `{}` ({}) {problem}; export the graph again", one_line(name), one_line(&kind))
                })?;
            }
            match facts.infer(model, id) {
                Ok(more) => changed |= more,
                // The analysis of the whole graph repeats this and reports the error.
                Err(_) => return Ok(()),
            }
        }
        if !changed {
            return Ok(());
        }
    }
    Err("the shapes of its values depend on each other; export it with fixed shapes".into())
}

/// What is known about the inputs, the outputs and the observed values of a node.
struct Facts {
    inputs: TVec<InferenceFact>,
    outputs: TVec<InferenceFact>,
    observed: TVec<(OutletId, InferenceFact)>,
}

impl Facts {
    fn of(model: &InferenceModel, id: usize) -> TractResult<Self> {
        let (inputs, outputs) = model.node_facts(id)?;
        let node = model.node(id);
        let observed = node.op.observe_outlets(model, node)?;
        let observed = observed.into_iter().map(|outlet| Ok((outlet, model.outlet_fact(outlet)?.clone())));
        Ok(Self {
            inputs: inputs.into_iter().cloned().collect(),
            outputs: outputs.into_iter().cloned().collect(),
            observed: observed.collect::<TractResult<_>>()?,
        })
    }

    /// Infers the sizes of a node's outputs without evaluating it; `None` for a node that is not evaluated because an
    /// input is no constant.
    fn sizes(&self, model: &InferenceModel, id: usize) -> TractResult<Option<Sizes>> {
        let (inputs, outputs, _) = model.node(id).op.clone().infer_facts(
            self.inputs.iter().collect(),
            self.outputs.iter().collect(),
            self.observed.iter().map(|(_, fact)| fact).collect(),
        )?;
        let Some(values) = inputs.iter().map(|fact| fact.value.concretize()).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        if values.is_empty() {
            return Ok(None);
        }
        let mut output = Some((0.0, 0.0));
        for fact in &outputs {
            let size = numbers(fact).zip(fact.datum_type.concretize());
            output = output
                .zip(size)
                .map(|((count, bytes), (more, datum_type))| (count + more, bytes + more * datum_type.size_of() as f64));
        }
        let bytes = |value: &Arc<Tensor>| value.volume() as f64 * value.datum_type().size_of() as f64;
        Ok(Some(Sizes {
            inputs: values.iter().map(|value| value.volume() as f64).collect(),
            input_bytes: values.iter().map(bytes).sum(),
            output,
        }))
    }

    /// Infers and evaluates the node. Returns whether something new was found.
    fn infer(&self, model: &mut InferenceModel, id: usize) -> TractResult<bool> {
        let observed = self.observed.iter().map(|(_, fact)| fact).collect();
        let op = &mut model.node_mut(id).op;
        let (inputs, outputs, observed) =
            op.infer(self.inputs.iter().collect(), self.outputs.iter().collect(), observed)?;
        let node = model.node(id);
        let outlets = node.inputs.iter().copied().chain((0..outputs.len()).map(|slot| OutletId::new(id, slot)));
        let outlets: Vec<_> = outlets.chain(self.observed.iter().map(|(outlet, _)| *outlet)).collect();
        let mut changed = false;
        for (outlet, fact) in outlets.into_iter().zip(inputs.iter().chain(&outputs).chain(&observed)) {
            let known = model.outlet_fact(outlet)?;
            let unified = fact.unify(known)?;
            if unified != *known {
                changed = true;
                model.set_outlet_fact(outlet, unified)?;
            }
        }
        Ok(changed)
    }
}

/// What evaluating a node takes.
struct Sizes {
    /// Numbers in each input.
    inputs: Vec<f64>,
    input_bytes: f64,
    /// Numbers and bytes of all outputs; `None` if they depend on the values of the inputs.
    output: Option<(f64, f64)>,
}

/// Returns the count of numbers in a fact's shape.
fn numbers(fact: &InferenceFact) -> Option<f64> {
    fact.shape.concretize()?.iter().map(|dim| dim.to_i64().ok().map(|dim| dim as f64)).product()
}

/// What is left for the constants of a graph. The numbers are floats, because products of hostile shapes overflow
/// integers.
struct Budget {
    bytes: f64,
    operations: f64,
}

impl Budget {
    /// Takes what a node needs.
    fn spend(&mut self, kind: &str, sizes: &Sizes) -> Result<(), &'static str> {
        let Some((count, bytes)) = sizes.output else {
            // Operators such as NonZero return at most some indices for each number.
            return if sizes.input_bytes <= SMALL_CONSTANT_BYTES {
                Ok(())
            } else {
                Err("computes a constant whose size depends on its values")
            };
        };
        if bytes > (sizes.input_bytes * CONSTANT_GROWTH).max(SMALL_CONSTANT_BYTES) {
            return Err("would create a constant that is too large");
        }
        self.bytes -= bytes;
        self.operations -= count.max(1.0) * operations_per_number(kind, &sizes.inputs, count);
        if self.bytes < 0.0 || self.operations < 0.0 {
            return Err("and the nodes before it would take too much to compute as constants");
        }
        Ok(())
    }
}

/// Returns how many operations each number of a node's output takes, at most.
fn operations_per_number(kind: &str, inputs: &[f64], count: f64) -> f64 {
    let largest = inputs.iter().copied().fold(1.0, f64::max);
    match inputs {
        // [m, k] x [k, n]: the sizes multiply to k * k times that of the output.
        [a, b] if kind.contains("MatMul") || kind.contains("Gemm") => (a * b / count.max(1.0)).sqrt().max(1.0),
        _ if kind.contains("Conv") || kind.contains("Ein") => largest,
        _ => 1.0,
    }
}
