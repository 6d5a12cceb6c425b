//! What a graph must not hold before the network runtime sees it.
//!
//! Data in other files (which could read anything), loops and branches (which could run for ever), operators of
//! unknown meaning, values used before they are made (cycles), tensors whose shapes lie about their data.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::cut::{Cut, cut};
use super::tensors::{self, shown};
use super::{graph, limits};

/// Reads a graph and checks it, without loading it.
///
/// # Errors
/// A sentence, without the file's name, with what is wrong and the remedy.
pub fn check_graph(onnx: &[u8]) -> Result<(), String> {
    check(&decode(onnx)?).map(drop)
}

/// A graph as read, with the data of large int8 initialisers left in the file.
pub(super) struct Decoded<'a> {
    pub model: ModelProto,
    /// Initialisers whose data are not in the model but here in the file; as long as their shapes say.
    pub cut: HashMap<String, Range<usize>>,
    pub file: &'a [u8],
}

/// Reads the protobuf.
pub(super) fn decode(onnx: &[u8]) -> Result<Decoded<'_>, String> {
    if onnx.is_empty() {
        return Err("it is empty; export or download it again".into());
    }
    if onnx.len() as u64 > limits::GRAPH_BYTES {
        return Err(format!("it has {} bytes, and {} are the most allowed", onnx.len(), limits::GRAPH_BYTES));
    }
    graph::check_structure(onnx)?;
    let damaged = |e: String| format!("it is not a readable ONNX graph{e}; export or download it again");
    let Cut { onnx: rest, data } = cut(onnx).ok_or_else(|| damaged(String::new()))?;
    let model = ModelProto::decode(&*rest).map_err(|e| damaged(format!(" ({e})")))?;
    Ok(Decoded { model, cut: data, file: onnx })
}

/// Checks a whole model and hands out its graph.
///
/// # Errors
/// As [`check_graph`].
pub(super) fn check<'a>(decoded: &'a Decoded<'_>) -> Result<&'a GraphProto, String> {
    let Decoded { model, cut, .. } = decoded;
    let graph = model.graph.as_ref().ok_or("it holds no graph; export or download it again")?;
    if !model.functions.is_empty() || !model.training_info.is_empty() {
        return Err("it holds local functions or training graphs; export plain operators for inference".into());
    }
    let standard = model.opset_import.iter().find(|opset| is_standard(&opset.domain));
    match standard.map(|opset| opset.version) {
        Some(9..=24) => {}
        Some(version) => return Err(format!("it uses operator set {version}; export it with 13 to 18")),
        None => return Err("it names no standard operator set; export it with 13 to 18".into()),
    }
    let (count, most) = (graph.node.len(), limits::NODES);
    if !(1..=most).contains(&count) {
        return Err(format!("it has {count} nodes; 1 to {most} are allowed"));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err("it holds sparse tensors; export it with dense ones".into());
    }
    graph.initializer.iter().try_for_each(|tensor| tensors::check(tensor, cut.get(&tensor.name)))?;
    let known = tract_onnx::onnx().op_register;
    for node in &graph.node {
        check_node(node)?;
        if !known.0.contains_key(&node.op_type) {
            let (kind, name) = (shown(&node.op_type), describe(node));
            return Err(format!("operator {kind} of {name} is not supported; export the graph without it"));
        }
    }
    check_values(graph)?;
    Ok(graph)
}

fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// How a node is called in messages.
pub(super) fn describe(node: &NodeProto) -> String {
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    format!("node `{}`", shown(name))
}

fn check_node(node: &NodeProto) -> Result<(), String> {
    let name = || describe(node);
    if !is_standard(&node.domain) {
        return Err(format!(
            "{} is of operator domain `{}`; export the graph with standard ONNX operators alone",
            name(),
            shown(&node.domain)
        ));
    }
    for attribute in &node.attribute {
        if attribute.g.is_some() || !attribute.graphs.is_empty() {
            return Err(format!(
                "{} ({}) branches or loops; export the graph without that",
                name(),
                shown(&node.op_type)
            ));
        }
        if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
            return Err(format!("{} holds a sparse tensor; export it with dense ones", name()));
        }
        attribute.t.iter().chain(&attribute.tensors).try_for_each(|tensor| tensors::check(tensor, None))?;
    }
    Ok(())
}

/// Every value is made once, before it is used; there is one input and one output.
fn check_values(graph: &GraphProto) -> Result<(), String> {
    let mut made: HashSet<&str> = HashSet::new();
    for tensor in &graph.initializer {
        if tensor.name.is_empty() || !made.insert(&tensor.name) {
            return Err(format!(
                "tensor `{}` is there twice or has no name; export the graph again",
                shown(&tensor.name)
            ));
        }
    }
    let inputs: Vec<&str> = inputs(graph).map(|i| graph.input[i].name.as_str()).collect();
    if inputs.len() != 1 || graph.output.len() != 1 {
        return Err(format!(
            "it has {} inputs and {} outputs; export it with one of each",
            inputs.len(),
            graph.output.len()
        ));
    }
    made.extend(inputs);
    let later: HashMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect();
    for node in &graph.node {
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            if made.contains(input.as_str()) {
                continue;
            }
            let (name, value) = (describe(node), shown(input));
            return Err(match later.get(input.as_str()) {
                Some(_) => {
                    format!("{name} uses `{value}` before it is made: the graph is cyclic or unsorted; export it again")
                }
                None => format!("{name} uses `{value}`, which nothing makes; export the graph again"),
            });
        }
        if node.output.iter().all(String::is_empty) {
            return Err(format!("{} makes nothing; export the graph again", describe(node)));
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !made.insert(output) {
                return Err(format!("`{}` is made twice; export the graph again", shown(output)));
            }
        }
    }
    let output = &graph.output[0].name;
    if !later.contains_key(output.as_str()) {
        return Err(format!("its output `{}` is made by no node; export the graph again", shown(output)));
    }
    Ok(())
}

/// Indices of the graph's true inputs: older exporters list initialisers among them.
pub(super) fn inputs(graph: &GraphProto) -> impl Iterator<Item = usize> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    (0..graph.input.len()).filter(move |i| !constants.contains(graph.input[*i].name.as_str()))
}
