//! Decodes a graph and refuses what the network runtime must not read.
//!
//! It refuses data in other files (which could be any file), loops and branches (which could run for ever), unknown
//! operators, values that are used before they are produced (cycles), and tensors whose data does not match their
//! shape.
//!
//! A few bytes of protobuf can become hundreds in memory: an empty node takes two bytes in the file. A file of moderate
//! size could therefore take all memory when decoded. Tensor data does not grow, and everything else of a real graph is
//! small, so the bytes outside tensor data are counted and bounded before decoding.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::constants::{check_tensor, describe_node, escape_name};
use super::large_tensors::{Extracted, extract, fields};
use super::limits;

/// Decodes and checks a graph without loading it.
///
/// # Errors
/// A sentence, without the file's name, with the problem and the remedy.
pub fn check_graph(onnx: &[u8]) -> Result<(), String> {
    check(&decode(onnx)?).map(drop)
}

/// A decoded graph. The data of large int8 initialisers is still in the file.
pub(super) struct Decoded<'a> {
    pub model: ModelProto,
    /// Where in the file the data of each extracted initializer starts; its length follows from its shape.
    pub extracted: HashMap<String, Range<usize>>,
    pub file: &'a [u8],
}

/// Decodes the protobuf.
///
/// # Errors
/// As [`check_graph`].
pub(super) fn decode(onnx: &[u8]) -> Result<Decoded<'_>, String> {
    if onnx.is_empty() {
        return Err("it is empty; export or download it again".into());
    }
    if onnx.len() as u64 > limits::GRAPH_BYTES {
        return Err(format!(
            "it has {} bytes, and at most {} are allowed; use a smaller model",
            onnx.len(),
            limits::GRAPH_BYTES
        ));
    }
    check_structure(onnx)?;
    let damaged = |e: String| format!("it is not a readable ONNX graph{e}; export or download it again");
    let Extracted { onnx: rest, data } = extract(onnx).ok_or_else(|| damaged(String::new()))?;
    let model = ModelProto::decode(&*rest).map_err(|e| damaged(format!(" ({e})")))?;
    Ok(Decoded { model, extracted: data, file: onnx })
}

/// Messages that can contain each other on the way to tensor data: a field of one kind leads to another kind.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

/// What a field of a message contains.
enum Content {
    Message(Kind),
    /// Numbers or bytes that take no more memory than a few times their length.
    Data,
    Other,
}

impl Kind {
    /// Returns the content of a field by its number in onnx.proto.
    fn content(self, number: u64) -> Content {
        match (self, number) {
            (Self::Model, 7) => Content::Message(Self::Graph),
            (Self::Graph, 1) => Content::Message(Self::Node),
            (Self::Graph, 5) => Content::Message(Self::Tensor),
            (Self::Node, 5) => Content::Message(Self::Attribute),
            (Self::Attribute, 5) => Content::Message(Self::Tensor),
            (Self::Tensor, 4 | 9 | 10) => Content::Data,
            _ => Content::Other,
        }
    }
}

/// Checks that the structure of a graph has a bounded size.
fn check_structure(onnx: &[u8]) -> Result<(), String> {
    let data = data_bytes(onnx, Kind::Model).ok_or("it is not a readable ONNX graph; export or download it again")?;
    let (found, max) = (onnx.len() - data, limits::STRUCTURE_BYTES);
    if found > max {
        return Err(format!(
            "it has {found} bytes besides its tensors, and at most {max} are allowed; store tensors as raw data"
        ));
    }
    Ok(())
}

/// Returns the bytes of tensor data in a message, `None` if it is not protobuf.
fn data_bytes(message: &[u8], kind: Kind) -> Option<usize> {
    let mut data = 0;
    for field in fields(message) {
        let field = field?;
        if let Some(content) = field.content {
            data += match kind.content(field.number) {
                Content::Message(inner) => data_bytes(content, inner)?,
                Content::Data => content.len(),
                Content::Other => 0,
            };
        }
    }
    Some(data)
}

/// Checks a whole model and returns its graph.
///
/// # Errors
/// As [`check_graph`].
pub(super) fn check<'a>(decoded: &'a Decoded<'_>) -> Result<&'a GraphProto, String> {
    let Decoded { model, extracted, .. } = decoded;
    let graph = model.graph.as_ref().ok_or("it contains no graph; export or download it again")?;
    if !model.functions.is_empty() || !model.training_info.is_empty() {
        return Err("it contains local functions or training graphs; export plain operators for inference".into());
    }
    let standard = model.opset_import.iter().find(|opset| is_standard(&opset.domain));
    match standard.map(|opset| opset.version) {
        Some(9..=24) => {}
        Some(version) => {
            return Err(format!("it uses operator set {version}; export it with 9 to 24 (13 to 18 recommended)"));
        }
        None => {
            return Err("it declares no standard operator set; export it with 9 to 24 (13 to 18 recommended)".into());
        }
    }
    let (count, max) = (graph.node.len(), limits::NODES);
    if !(1..=max).contains(&count) {
        return Err(format!("it has {count} nodes; export a graph with 1 to {max}"));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err("it contains sparse tensors; export it with dense ones".into());
    }
    graph.initializer.iter().try_for_each(|tensor| check_tensor(tensor, extracted.get(&tensor.name)))?;
    let known = tract_onnx::onnx().op_register;
    for node in &graph.node {
        check_node(node)?;
        if !known.0.contains_key(&node.op_type) {
            let (kind, name) = (escape_name(&node.op_type), describe_node(node));
            return Err(format!("operator {kind} of {name} is not supported; export the graph without it"));
        }
    }
    check_values(graph)?;
    Ok(graph)
}

fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Checks the operator domain and the attributes of a node.
fn check_node(node: &NodeProto) -> Result<(), String> {
    let name = || describe_node(node);
    if !is_standard(&node.domain) {
        return Err(format!(
            "{} has the operator domain `{}`; export the graph with only standard ONNX operators",
            name(),
            escape_name(&node.domain)
        ));
    }
    for attribute in &node.attribute {
        if attribute.g.is_some() || !attribute.graphs.is_empty() {
            return Err(format!(
                "{} ({}) branches or loops; export the graph without control flow",
                name(),
                escape_name(&node.op_type)
            ));
        }
        if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
            return Err(format!("{} contains a sparse tensor; export it with dense ones", name()));
        }
        attribute.t.iter().chain(&attribute.tensors).try_for_each(|tensor| check_tensor(tensor, None))?;
    }
    Ok(())
}

/// Checks that every value is produced once, before it is used, and that there is one input and one output.
fn check_values(graph: &GraphProto) -> Result<(), String> {
    let mut produced: HashSet<&str> = HashSet::new();
    for tensor in &graph.initializer {
        if tensor.name.is_empty() || !produced.insert(&tensor.name) {
            return Err(format!(
                "tensor `{}` appears twice or has no name; export the graph again",
                escape_name(&tensor.name)
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
    produced.extend(inputs);
    let later: HashMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect();
    for node in &graph.node {
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            if produced.contains(input.as_str()) {
                continue;
            }
            let (name, value) = (describe_node(node), escape_name(input));
            return Err(match later.get(input.as_str()) {
                Some(_) => {
                    format!(
                        "{name} uses `{value}` before it is produced: the graph is cyclic or unsorted; export it again"
                    )
                }
                None => format!("{name} uses `{value}`, which nothing produces; export the graph again"),
            });
        }
        if node.output.iter().all(String::is_empty) {
            return Err(format!("{} produces nothing; export the graph again", describe_node(node)));
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !produced.insert(output) {
                return Err(format!("`{}` is produced twice; export the graph again", escape_name(output)));
            }
        }
    }
    let output = &graph.output[0].name;
    if !later.contains_key(output.as_str()) {
        return Err(format!("its output `{}` is produced by no node; export the graph again", escape_name(output)));
    }
    Ok(())
}

/// Returns the indices of the graph's true inputs. Older exporters list initialisers among them.
pub(super) fn inputs(graph: &GraphProto) -> impl Iterator<Item = usize> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    (0..graph.input.len()).filter(move |i| !constants.contains(graph.input[*i].name.as_str()))
}
