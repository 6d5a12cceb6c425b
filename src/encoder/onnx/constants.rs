//! Constant tensors of a graph: checks, values, and the passes that convert them to the form that the network runtime
//! handles best.
//!
//! tract does not fold constants above 4 MiB, and would convert small-stored weights (int8 behind DequantizeLinear, f16
//! behind Cast) to f32 again for every frame. They are therefore converted here, once.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use half::f16;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::limits::{CONSTANT_BYTES, RANK};

/// Checks that a tensor contains exactly the data that its shape needs. `extracted` is the range of the data in the
/// file if it was extracted from the tensor.
///
/// # Errors
/// A sentence about the tensor.
pub(super) fn check_tensor(tensor: &TensorProto, extracted: Option<&Range<usize>>) -> Result<(), String> {
    let name = escape_name(&tensor.name);
    if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
        return Err(format!(
            "tensor `{name}` stores its data in another file; save the graph with its data inside (without \
             save_as_external_data)"
        ));
    }
    if tensor.segment.is_some() {
        return Err(format!("tensor `{name}` is stored in segments; save the graph without segments"));
    }
    let kind = kind(tensor).ok_or_else(|| format!("tensor `{name}` has a type that is not supported; use f32"))?;
    let damaged = || format!("tensor `{name}` does not hold what its shape says; export or download the graph again");
    let volume = volume(tensor).ok_or_else(damaged)?;
    let raw = extracted.map_or(tensor.raw_data.len(), Range::len);
    let found = if raw == 0 { typed_length(tensor, kind) } else { None };
    let whole = match found {
        Some(numbers) => numbers == volume,
        None => volume.checked_mul(item_bytes(kind)) == Some(raw),
    };
    if whole { Ok(()) } else { Err(damaged()) }
}

/// Escapes a name from a graph for a message, and shortens it.
pub(super) fn escape_name(name: &str) -> String {
    name.escape_debug().take(80).collect()
}

/// Returns the name of a node for messages.
pub(super) fn describe_node(node: &NodeProto) -> String {
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    format!("node `{}`", escape_name(name))
}

/// Returns the type of a tensor, `None` if it is not supported.
fn kind(tensor: &TensorProto) -> Option<DataType> {
    let kind = DataType::try_from(tensor.data_type).ok()?;
    (item_bytes(kind) > 0).then_some(kind)
}

/// Returns the bytes of one number, 0 for types that are not supported.
fn item_bytes(kind: DataType) -> usize {
    match kind {
        DataType::Uint8 | DataType::Int8 | DataType::Bool => 1,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 => 2,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Int64 | DataType::Uint64 | DataType::Double => 8,
        _ => 0,
    }
}

/// Returns the count of numbers in the shape, `None` for negative or overflowing shapes.
fn volume(tensor: &TensorProto) -> Option<usize> {
    if tensor.dims.len() > RANK {
        return None;
    }
    // The other dimensions must not overflow even if one dimension is 0.
    tensor.dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?.max(1)))?;
    tensor.dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))
}

/// Returns the count of numbers in the field of the tensor's type, which is used if there is no raw data.
fn typed_length(tensor: &TensorProto, kind: DataType) -> Option<usize> {
    Some(match kind {
        DataType::Float => tensor.float_data.len(),
        DataType::Double => tensor.double_data.len(),
        // The runtime reads u64 from this field too.
        DataType::Int64 | DataType::Uint64 => tensor.int64_data.len(),
        _ => tensor.int32_data.len(),
    })
}

/// The numbers of a tensor.
enum Values {
    /// f32, or f16 converted to f32.
    Floats(Vec<f32>),
    /// i8, u8 or i32.
    Integers(Vec<i32>),
}

/// Returns the numbers of an f32, f16, i8, u8 or i32 tensor, `None` for other types. The tensor must have passed
/// [`check_tensor`].
fn values(tensor: &TensorProto) -> Option<Values> {
    let raw = &tensor.raw_data;
    let typed = raw.is_empty();
    let ints = &tensor.int32_data;
    Some(match kind(tensor)? {
        DataType::Float if typed => Values::Floats(tensor.float_data.clone()),
        DataType::Float => Values::Floats(raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        DataType::Float16 if typed => {
            Values::Floats(ints.iter().map(|bits| f16::from_bits(*bits as u16).to_f32()).collect())
        }
        DataType::Float16 => {
            Values::Floats(raw.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect())
        }
        DataType::Int8 if typed => Values::Integers(ints.iter().map(|x| i32::from(*x as i8)).collect()),
        DataType::Int8 => Values::Integers(raw.iter().map(|x| i32::from(*x as i8)).collect()),
        DataType::Uint8 if typed => Values::Integers(ints.iter().map(|x| i32::from(*x as u8)).collect()),
        DataType::Uint8 => Values::Integers(raw.iter().map(|x| i32::from(*x)).collect()),
        DataType::Int32 if typed => Values::Integers(ints.clone()),
        DataType::Int32 => Values::Integers(raw.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()),
        _ => return None,
    })
}

/// Returns the largest number of an i64, i32 or f32 tensor, and the product of all numbers above 1.
pub(super) fn largest_and_product(tensor: &TensorProto) -> (f64, f64) {
    let wide: Vec<i64> = match tensor.raw_data.is_empty() {
        true => tensor.int64_data.clone(),
        false => tensor.raw_data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
    };
    let numbers: Vec<f64> = match values(tensor) {
        Some(Values::Floats(floats)) => floats.into_iter().map(f64::from).collect(),
        Some(Values::Integers(integers)) => integers.into_iter().map(f64::from).collect(),
        None if kind(tensor) == Some(DataType::Int64) => wide.into_iter().map(|x| x as f64).collect(),
        None => Vec::new(),
    };
    (numbers.iter().copied().fold(0.0, f64::max), numbers.iter().map(|x| x.max(1.0)).product())
}

/// Creates an f32 tensor.
fn f32_tensor(name: &str, dims: &[i64], numbers: Vec<f32>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: numbers,
        ..Default::default()
    }
}

/// Replaces `Constant` nodes by initialisers.
pub(super) fn inline_constants(graph: &mut GraphProto) {
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

/// Replaces DequantizeLinear and Cast of initialisers by f32 initialisers, and removes initialisers that are then
/// unused.
///
/// # Errors
/// A sentence about a node whose inputs do not fit together, or if the weights would take too much memory.
pub(super) fn fold_constants(graph: &mut GraphProto) -> Result<(), String> {
    let mut constants: HashMap<String, TensorProto> =
        graph.initializer.drain(..).map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut nodes = Vec::with_capacity(graph.node.len());
    let mut uses = count_uses(graph);
    let mut bytes = 0;
    for node in std::mem::take(&mut graph.node) {
        let Some(folded) =
            fold_node(&node, &constants).map_err(|problem| format!("{}: {problem}", describe_node(&node)))?
        else {
            nodes.push(node);
            continue;
        };
        bytes += 4 * folded.float_data.len() as u64;
        if bytes > CONSTANT_BYTES {
            return Err(format!("its weights take more than {CONSTANT_BYTES} bytes as f32; use a smaller model"));
        }
        // The stored form is removed at once, so that both forms of all weights are never in memory together.
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
    graph.node = nodes;
    let used: HashSet<&str> = graph.node.iter().flat_map(|node| node.input.iter().map(String::as_str)).collect();
    graph.initializer = constants.into_values().filter(|tensor| used.contains(tensor.name.as_str())).collect();
    graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// Removes nodes that the output does not depend on, which the network runtime would analyse as well.
pub(super) fn remove_unused_nodes(graph: &mut GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    // Nodes are sorted: those that use a value come after the one that produces it.
    let mut keep: Vec<bool> = Vec::with_capacity(graph.node.len());
    for node in graph.node.iter().rev() {
        let used = node.output.iter().any(|output| !output.is_empty() && needed.contains(output));
        if used {
            needed.extend(node.input.iter().cloned());
        }
        keep.push(used);
    }
    let mut keep = keep.into_iter().rev();
    graph.node.retain(|_| keep.next().unwrap_or(true));
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
}

/// Counts how often each value is read.
fn count_uses(graph: &GraphProto) -> HashMap<String, usize> {
    let mut uses = HashMap::new();
    let named = graph.node.iter().flat_map(|node| &node.input).chain(graph.output.iter().map(|output| &output.name));
    named.for_each(|name| *uses.entry(name.clone()).or_default() += 1);
    uses
}

/// Returns the f32 tensor that replaces the node, `None` for nodes that cannot be replaced.
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
        return Ok(Some(f32_tensor(output, &stored.dims, numbers)));
    }
    Ok(match values(stored) {
        Some(Values::Floats(numbers)) => Some(f32_tensor(output, &stored.dims, numbers)),
        _ => None,
    })
}

/// Returns the value of an integer attribute.
fn integer_attribute(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.i)
}

/// Evaluates DequantizeLinear as ONNX defines it, `(x - zero_point) * scale`. `inputs` are x, scale and optionally zero
/// point; scale and zero point are one number, or one per index of the node's axis.
///
/// # Errors
/// A sentence, without the node's name, if they do not fit together.
fn dequantise(node: &NodeProto, inputs: &[&TensorProto]) -> Result<Vec<f32>, String> {
    if integer_attribute(node, "block_size").unwrap_or(0) != 0 {
        return Err("blocked quantisation is not supported; quantise per tensor or per axis".into());
    }
    let [x, scale, rest @ ..] = inputs else {
        return Err("DequantizeLinear has no scale; export the graph again".into());
    };
    let Some(Values::Integers(integers)) = values(x) else {
        return Err("the input of DequantizeLinear is not int8, uint8 or int32; quantise to int8".into());
    };
    let Some(Values::Floats(scales)) = values(scale) else {
        return Err("the scale of DequantizeLinear must be f32; export the graph again".into());
    };
    let zeros = match rest.first() {
        None => vec![0; scales.len()],
        Some(zero) => match values(zero) {
            Some(Values::Integers(zeros)) => zeros,
            _ => {
                return Err(
                    "the zero point of DequantizeLinear must have the type of its input; export the graph again".into(),
                );
            }
        },
    };
    if scales.len() != zeros.len() {
        return Err("DequantizeLinear has different numbers of scales and zero points; export the graph again".into());
    }
    if scales.iter().any(|scale| !scale.is_finite()) {
        return Err("a scale of DequantizeLinear is not finite; export the graph again".into());
    }
    let inner = match scales.len() {
        1 => integers.len(),
        count => inner_volume(node, x, count)?,
    };
    let mut numbers = Vec::with_capacity(integers.len());
    let channels = scales.iter().zip(&zeros).cycle();
    for (channel, (scale, zero)) in integers.chunks(inner.max(1)).zip(channels) {
        numbers.extend(channel.iter().map(|x| x.wrapping_sub(*zero) as f32 * scale));
    }
    Ok(numbers)
}

/// Returns how many consecutive numbers share a scale: the volume after the axis.
fn inner_volume(node: &NodeProto, x: &TensorProto, scales: usize) -> Result<usize, String> {
    let axis = integer_attribute(node, "axis").unwrap_or(1);
    let rank = x.dims.len() as i64;
    let axis = usize::try_from(if axis < 0 { axis.saturating_add(rank) } else { axis }).unwrap_or(usize::MAX);
    let mismatch = || format!("DequantizeLinear has {scales} scales for shape {:?}; export the graph again", x.dims);
    if *x.dims.get(axis).ok_or_else(mismatch)? != scales as i64 {
        return Err(mismatch());
    }
    let inner: i64 = x.dims[axis + 1..].iter().product();
    usize::try_from(inner).map_err(|_| mismatch())
}
