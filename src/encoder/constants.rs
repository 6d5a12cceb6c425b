//! Constants of a graph, made what the network runtime uses best.
//!
//! tract does not fold constants over 4 MiB, and would turn small-stored weights (int8 behind DequantizeLinear, f16
//! behind Cast) into f32 again for every frame. So they are made f32 initialisers here, once.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::dequantise::{dequantise, integer_attribute};
use super::guard::describe;
use super::limits::CONSTANT_BYTES;
use super::tensors::{self, Numbers};

/// Turns `Constant` nodes into initialisers.
pub(super) fn inline(graph: &mut GraphProto) {
    let initialisers = &mut graph.initializer;
    graph.node.retain_mut(|node| {
        let Some(output) = node.output.first().filter(|_| node.op_type == "Constant").cloned() else { return true };
        let value = node.attribute.iter_mut().find(|attribute| attribute.name == "value");
        let Some(mut tensor) = value.and_then(|attribute| attribute.t.take()) else { return true };
        tensor.name = output;
        initialisers.push(tensor);
        false
    });
}

/// Replaces DequantizeLinear and Cast of initialisers by f32 initialisers, and drops what is then unused.
///
/// # Errors
/// A sentence about a node whose inputs do not fit together, or where the weights would take too much memory.
pub(super) fn fold(graph: &mut GraphProto) -> Result<(), String> {
    let mut constants: HashMap<String, TensorProto> =
        graph.initializer.drain(..).map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut kept = Vec::with_capacity(graph.node.len());
    let mut uses = count_uses(graph);
    let mut bytes = 0;
    for node in std::mem::take(&mut graph.node) {
        let Some(folded) = fold_node(&node, &constants).map_err(|problem| format!("{}: {problem}", describe(&node)))?
        else {
            kept.push(node);
            continue;
        };
        bytes += 4 * folded.float_data.len() as u64;
        if bytes > CONSTANT_BYTES {
            return Err(format!("its weights take more than {CONSTANT_BYTES} bytes as f32; use a smaller model"));
        }
        // What was stored small goes at once, so that both forms of all weights are never held together.
        for input in &node.input {
            if let Some(left) = uses.get_mut(input) {
                *left -= 1;
                if *left == 0 {
                    constants.remove(input);
                }
            }
        }
        constants.insert(folded.name.clone(), folded);
    }
    graph.node = kept;
    let used: HashSet<&str> = graph.node.iter().flat_map(|node| node.input.iter().map(String::as_str)).collect();
    graph.initializer = constants.into_values().filter(|tensor| used.contains(tensor.name.as_str())).collect();
    graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

fn count_uses(graph: &GraphProto) -> HashMap<String, usize> {
    let mut uses = HashMap::new();
    let named = graph.node.iter().flat_map(|node| &node.input).chain(graph.output.iter().map(|output| &output.name));
    named.for_each(|name| *uses.entry(name.clone()).or_default() += 1);
    uses
}

/// The f32 tensor that stands for the node, `None` for all other nodes.
fn fold_node(node: &NodeProto, constants: &HashMap<String, TensorProto>) -> Result<Option<TensorProto>, String> {
    let dequantises = node.op_type == "DequantizeLinear";
    let casts = node.op_type == "Cast" && integer_attribute(node, "to") == Some(DataType::Float as i64);
    let [output] = node.output.as_slice() else { return Ok(None) };
    if !dequantises && !casts {
        return Ok(None);
    }
    let inputs = node.input.iter().filter(|input| !input.is_empty()).map(|input| constants.get(input.as_str()));
    let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let Some(stored) = inputs.first() else { return Ok(None) };
    if dequantises {
        let numbers = dequantise(node, &inputs)?;
        return Ok(Some(tensors::f32_tensor(output, &stored.dims, numbers)));
    }
    Ok(match tensors::numbers(stored) {
        Some(Numbers::Floats(numbers)) => Some(tensors::f32_tensor(output, &stored.dims, numbers)),
        _ => None,
    })
}
