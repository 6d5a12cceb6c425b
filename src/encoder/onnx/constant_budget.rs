//! Bounds the memory and the work of constants that the network runtime computes while it loads a graph.
//!
//! tract evaluates every operator whose inputs are constants, as soon as it knows them, and only afterwards compares
//! the size of the result with a limit. A graph of a few kilobytes could therefore ask for all memory. Here the nodes
//! are visited in the same order, but the shapes of a node's outputs are inferred before it is evaluated. Constants that
//! tract folds only when it optimises the typed graph are checked there ([`check_typed`]).

use std::collections::HashSet;
use std::sync::Arc;

use tract_core::axes::Axis;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::konst::Const;
use tract_hir::infer::{Factoid, InferenceFact};
use tract_hir::internal::{OutletId, TVec, TypedFact};
use tract_onnx::prelude::{InferenceModel, Tensor, TractResult, TypedModel};

use super::limits::{CONSTANT_BYTES, CONSTANT_GROWTH, CONSTANT_OPERATIONS, SMALL_CONSTANT_BYTES};
use super::panic_guard::{one_line, unsupported};

/// Largest number of passes over a graph until its shapes no longer change. Exported graphs need two or three.
const MAX_PASSES: usize = 20;

/// Infers shapes and constants node by node, within the limits.
///
/// # Errors
/// A sentence about the node that exceeds them, or that the runtime cannot analyse.
pub(super) fn analyse(model: &mut InferenceModel) -> Result<(), String> {
    let mut budget = Budget::new();
    let mut evaluated = HashSet::new();
    for _ in 0..MAX_PASSES {
        let mut changed = false;
        // The nodes of a graph are sorted, and the runtime numbers them in this order.
        for id in 0..model.nodes().len() {
            let facts = Facts::of(model, id).map_err(unsupported)?;
            if let Ok(Some(sizes)) = facts.sizes(model, id)
                && evaluated.insert(id)
            {
                let (name, kind) = (&model.node(id).name, model.node(id).op.name());
                let operations = operations(&kind, &sizes.inputs, sizes.output.map_or(0.0, |(count, _)| count));
                budget.spend(&sizes, operations).map_err(|problem| refusal(name, &kind, problem))?;
            }
            changed |= facts.infer(model, id).map_err(unsupported)?;
        }
        if !changed {
            return Ok(());
        }
    }
    Err("the shapes of its values depend on each other; export it with fixed shapes".into())
}

/// Checks the constants that tract computes when it optimises a graph: those of every node whose inputs are constants,
/// or are computed from constants.
///
/// # Errors
/// A sentence about the node that exceeds the limits.
pub(super) fn check_typed(model: &TypedModel) -> Result<(), String> {
    let mut budget = Budget::new();
    let mut constant = vec![false; model.nodes().len()];
    for node in model.nodes() {
        let is_const = node.op_is::<Const>() || node.outputs.iter().all(|output| output.fact.konst.is_some());
        constant[node.id] = is_const || !node.inputs.is_empty() && node.inputs.iter().all(|input| constant[input.node]);
        if is_const || !constant[node.id] {
            continue;
        }
        let Ok((inputs, outputs)) = model.node_facts(node.id) else { continue };
        let size = |fact: &TypedFact| {
            let count: f64 =
                fact.shape.iter().map(|dim| dim.to_i64().map_or(f64::INFINITY, |dim| dim as f64)).product();
            (count, count * fact.datum_type.size_of() as f64)
        };
        let total = |facts: &[&TypedFact]| {
            facts.iter().map(|fact| size(fact)).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        let output = total(&outputs);
        let volumes: Vec<f64> = inputs.iter().map(|fact| size(fact).0).collect();
        let kind = node.op.name();
        let operations = match node.op_as::<EinSum>() {
            Some(einsum) => einsum_operations(einsum, &inputs),
            None => operations(&kind, &volumes, output.0),
        };
        let sizes = Sizes { inputs: volumes, input_bytes: total(&inputs).1, output: Some(output) };
        budget.spend(&sizes, operations).map_err(|problem| refusal(&node.name, &kind, problem))?;
    }
    Ok(())
}

/// The product of the sizes of all axes.
fn einsum_operations(einsum: &EinSum, inputs: &[&TypedFact]) -> f64 {
    let axis_size = |axis: &Axis| {
        let places = axis.inputs.iter().zip(inputs).flat_map(|(at, fact)| at.iter().map(move |at| &fact.shape[*at]));
        places.filter_map(|dim| dim.to_i64().ok()).max().unwrap_or(1) as f64
    };
    einsum.axes.iter_all_axes().map(axis_size).product()
}

fn refusal(name: &str, kind: &str, problem: &str) -> String {
    format!("node `{}` ({}) {problem}; export the graph again", one_line(name), one_line(kind))
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
    fn new() -> Self {
        Self { bytes: CONSTANT_BYTES as f64, operations: CONSTANT_OPERATIONS }
    }

    /// Takes what a node needs.
    fn spend(&mut self, sizes: &Sizes, operations: f64) -> Result<(), &'static str> {
        let Some((_, bytes)) = sizes.output else {
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
        self.operations -= operations;
        if self.bytes < 0.0 || self.operations < 0.0 {
            return Err("and the nodes before it would take too much to compute as constants");
        }
        Ok(())
    }
}

/// Returns how many operations a node takes, at most. `count` is the number of its outputs' numbers.
fn operations(kind: &str, inputs: &[f64], count: f64) -> f64 {
    let (total, product): (f64, f64) = (inputs.iter().sum(), inputs.iter().map(|volume| volume.max(1.0)).product());
    match inputs {
        // [m, k] x [k, n]: the sizes multiply to k * k times that of the output.
        [a, b, ..] if kind.contains("MatMul") || kind.contains("Gemm") => {
            count * (a * b / count.max(1.0)).sqrt().max(1.0)
        }
        // The same, unless most of the work is summed up.
        [a, b] if kind.contains("Ein") && count * 64.0 >= a.max(*b) => (a * b * count).sqrt(),
        _ if kind.contains("Ein") => product,
        // A cubic resize reads 64 numbers for each in three dimensions.
        _ if kind.contains("Resize") => count * 64.0,
        // Each number may depend on every input.
        _ if ["Conv", "Pool", "Scan", "Lstm", "LSTM", "GRU", "RNN"].iter().any(|part| kind.contains(part)) => {
            count * total
        }
        _ => count.max(total),
    }
}
