//! Refuses graphs that tract would load, but whose results would be wrong or random, or for which it would allocate too
//! much memory.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::constants::{describe_node, escape_name, largest_and_product};
use super::limits;

/// Operators that combine the numbers of a row although they keep the shape.
const MIXING: [&str; 8] = [
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "LayerNormalization",
    "RMSNormalization",
    "InstanceNormalization",
    "LpNormalization",
    "CumSum",
];

/// Checks a graph whose constants are all initialisers.
///
/// # Errors
/// A sentence about the node and the remedy.
pub(super) fn check(graph: &GraphProto) -> Result<(), String> {
    let constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    for node in &graph.node {
        if node.op_type.starts_with("Random") || matches!(node.op_type.as_str(), "Multinomial" | "Bernoulli") {
            return Err(format!("{} generates random numbers; export the graph for inference", describe_node(node)));
        }
        check_growth(node, &constants)?;
    }
    check_quantised_mixing(graph)
}

/// Checks constant shapes and counts before anything of that size is allocated.
fn check_growth(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Result<(), String> {
    /// What the constant inputs of an operator contain.
    enum Sizes {
        /// The shape of its output.
        Shape,
        /// Repeats, pads, scales or counts.
        Factors,
    }
    // The indices of the inputs, and what they contain.
    let (inputs, sizes): (&[usize], Sizes) = match node.op_type.as_str() {
        "ConstantOfShape" => (&[0], Sizes::Shape),
        "Expand" => (&[1], Sizes::Shape),
        "Tile" | "Pad" | "Upsample" | "OneHot" => (&[1], Sizes::Factors),
        "Range" => (&[0, 1, 2], Sizes::Factors),
        "Resize" => (&[2, 3], Sizes::Factors),
        _ => return Ok(()),
    };
    let tensors = inputs.iter().filter_map(|i| constants.get(node.input.get(*i)?.as_str()));
    for tensor in tensors {
        let (largest, product) = largest_and_product(tensor);
        let too_large = match sizes {
            Sizes::Shape => product > limits::VOLUME,
            Sizes::Factors => largest > limits::FACTOR,
        };
        if too_large {
            let kind = escape_name(&node.op_type);
            return Err(format!(
                "{} ({kind}) would create a tensor that is too large; export the graph again",
                describe_node(node)
            ));
        }
    }
    Ok(())
}

/// Refuses operators of [`MIXING`] between DequantizeLinear and QuantizeLinear. tract 0.23.9 replaces `DequantizeLinear
/// -> op -> QuantizeLinear` by a table of 256 entries if the op keeps the shape. For a softmax that is silently wrong
/// (cosine 0.3 to 0.4 on attention).
fn check_quantised_mixing(graph: &GraphProto) -> Result<(), String> {
    let mut users: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
    for node in &graph.node {
        node.input.iter().for_each(|input| users.entry(input).or_default().push(node));
    }
    for start in graph.node.iter().filter(|node| node.op_type == "DequantizeLinear") {
        let mut at = start;
        let mut mixing = None;
        // Only chains without a branch are rewritten. Nodes are sorted, so this loop ends.
        while let Some([next]) = at.output.first().and_then(|output| users.get(output.as_str())).map(Vec::as_slice) {
            if next.op_type == "QuantizeLinear"
                && let Some(mixing) = mixing
            {
                return Err(format!(
                    "{} is between DequantizeLinear and QuantizeLinear, which the network runtime computes wrongly; \
                     keep attention in f32 when quantising",
                    describe_node(mixing)
                ));
            }
            if MIXING.contains(&next.op_type.as_str()) {
                mixing = Some(next);
            }
            at = next;
        }
    }
    Ok(())
}
