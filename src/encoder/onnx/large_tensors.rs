//! Extracts large int8 tensors from a graph's bytes before it is decoded.
//!
//! They are nearly all of a graph. Decoding would copy them, and the network runtime would copy them again and hold
//! that copy until every layer is replaced. So their data stays in the file until the weights are packed.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    GraphProto, ModelProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

use crate::encoder::ops::{InFileMatrix, InFileWeights};

/// Tensors of fewer bytes are not extracted.
const LARGE: usize = 1 << 12;

/// A graph's bytes without the data of its large int8 initialisers.
pub(super) struct Extracted {
    /// The rest, which decodes as the same graph.
    pub onnx: Vec<u8>,
    /// Where in the file the data of each extracted initializer starts; its length follows from its shape.
    pub data: HashMap<String, Range<usize>>,
}

/// Extracts the data of large int8 initialisers. Returns `None` if the bytes are not protobuf.
pub(super) fn extract(onnx: &[u8]) -> Option<Extracted> {
    let mut data = HashMap::new();
    let mut model = Vec::new();
    for field in fields(onnx) {
        let field = field?;
        match (field.number, field.content) {
            (7, Some(graph)) => write_message(&mut model, 7, &extract_from_graph(onnx, graph, &mut data)?),
            _ => model.extend_from_slice(field.whole),
        }
    }
    Some(Extracted { onnx: model, data })
}

fn extract_from_graph(onnx: &[u8], graph: &[u8], data: &mut HashMap<String, Range<usize>>) -> Option<Vec<u8>> {
    let mut rest = Vec::new();
    for field in fields(graph) {
        let field = field?;
        match field.content.filter(|_| field.number == 5).map(large) {
            Some(large) => match large? {
                Some(Large { name, raw, without }) if !data.contains_key(&name) => {
                    let start = raw.as_ptr() as usize - onnx.as_ptr() as usize;
                    data.insert(name, start..start + raw.len());
                    write_message(&mut rest, 5, &without);
                }
                _ => rest.extend_from_slice(field.whole),
            },
            None => rest.extend_from_slice(field.whole),
        }
    }
    Some(rest)
}

/// An initialiser to extract.
struct Large<'a> {
    name: String,
    raw: &'a [u8],
    /// The initialiser without its data.
    without: Vec<u8>,
}

/// Returns a tensor if it is complete, i8 and large; the outer `None` means that the bytes are not protobuf.
fn large(tensor: &[u8]) -> Option<Option<Large<'_>>> {
    let (mut name, mut raw, mut kind, mut volume) = (None, None, 0, Some(1usize));
    let mut without = Vec::new();
    let mut grow = |dim: u64| volume = volume.and_then(|v| v.checked_mul(usize::try_from(dim).ok()?));
    for field in fields(tensor) {
        let field = field?;
        match (field.number, field.content) {
            (1, None) => grow(field.value),
            (1, Some(mut packed)) => {
                while !packed.is_empty() {
                    grow(varint(&mut packed)?);
                }
            }
            (2, None) => kind = field.value,
            (8, Some(text)) => name = std::str::from_utf8(text).ok(),
            // A field that appears twice is left to the decoder.
            (9, Some(_)) if raw.is_some() => return Some(None),
            (9, Some(bytes)) => {
                raw = Some(bytes);
                continue;
            }
            _ => {}
        }
        without.extend_from_slice(field.whole);
    }
    let (Some(name), Some(raw)) = (name, raw) else { return Some(None) };
    let wanted = kind == DataType::Int8 as u64 && raw.len() >= LARGE && volume == Some(raw.len());
    Some(wanted.then(|| Large { name: name.to_owned(), raw, without }))
}

/// A field of a protobuf message.
pub(super) struct Field<'a> {
    pub number: u64,
    /// The content of a length-delimited field.
    pub content: Option<&'a [u8]>,
    /// The value of a varint field.
    value: u64,
    /// All bytes of the field.
    whole: &'a [u8],
}

/// Iterates over the fields of a message. If the message is damaged, the last item is `None`.
pub(super) fn fields(mut message: &[u8]) -> impl Iterator<Item = Option<Field<'_>>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        if message.is_empty() || failed {
            return None;
        }
        let field = field(&mut message);
        failed = field.is_none();
        Some(field)
    })
}

/// Reads one field from the start of a message and advances the message.
fn field<'a>(message: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *message;
    let tag = varint(message)?;
    let (mut content, mut value) = (None, 0);
    match tag & 7 {
        0 => value = varint(message)?,
        1 => drop(take(message, 8)?),
        5 => drop(take(message, 4)?),
        2 => {
            let length = usize::try_from(varint(message)?).ok()?;
            content = Some(take(message, length)?);
        }
        _ => return None,
    }
    Some(Field { number: tag >> 3, content, value, whole: &start[..start.len() - message.len()] })
}

/// Appends a field that holds a message.
fn write_message(to: &mut Vec<u8>, number: u64, content: &[u8]) {
    for mut value in [number << 3 | 2, content.len() as u64] {
        while value > 0x7f {
            to.push(value as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }
    to.extend_from_slice(content);
}

/// Reads a varint from the start of a message and advances the message.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes the first bytes of a message and advances the message.
fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

/// Returns the extracted `[K, N]` initialisers that are the second operand of one MatMulInteger and nothing else, and
/// replaces each by an input of its name and shape. The data of all other extracted initialisers is put back into the
/// model. `data` is from [`extract`] of `file`.
pub(super) fn take_weights<'a>(
    model: &mut ModelProto,
    file: &'a [u8],
    mut data: HashMap<String, Range<usize>>,
) -> InFileWeights<'a> {
    let Some(graph) = &mut model.graph else { return InFileWeights::default() };
    let weights = operands(graph);
    let (mut external, mut inputs, mut initialisers) = (HashMap::new(), Vec::new(), Vec::new());
    for mut tensor in std::mem::take(&mut graph.initializer) {
        let Some(range) = data.remove(&tensor.name) else {
            initialisers.push(tensor);
            continue;
        };
        let bytes = &file[range];
        match matrix(&tensor).filter(|_| weights.contains(&tensor.name)) {
            Some(shape) => {
                inputs.push(input_for(&tensor));
                external.insert(tensor.name, InFileMatrix { shape, bytes });
            }
            None => {
                tensor.raw_data = bytes.to_vec();
                initialisers.push(tensor);
            }
        }
    }
    graph.initializer = initialisers;
    // Old exporters list initialisers among the inputs.
    graph.input.retain(|input| !external.contains_key(&input.name));
    graph.input.extend(inputs);
    InFileWeights::new(external)
}

/// Returns the names of the values that are the second operand of one MatMulInteger and nothing else.
fn operands(graph: &GraphProto) -> HashSet<String> {
    let mut uses: HashMap<&str, (usize, bool)> = HashMap::new();
    for node in &graph.node {
        for (i, input) in node.input.iter().enumerate() {
            let (count, weight) = uses.entry(input).or_default();
            *count += 1;
            *weight = node.op_type == "MatMulInteger" && i == 1;
        }
    }
    for output in &graph.output {
        uses.remove(output.name.as_str());
    }
    uses.into_iter().filter(|(_, uses)| *uses == (1, true)).map(|(name, _)| name.to_owned()).collect()
}

/// Returns the shape of a matrix.
fn matrix(tensor: &TensorProto) -> Option<[usize; 2]> {
    let [k, n] = *tensor.dims else { return None };
    Some([usize::try_from(k).ok()?, usize::try_from(n).ok()?])
}

/// Returns an input of the name, type and shape of an initialiser.
fn input_for(tensor: &TensorProto) -> ValueInfoProto {
    let dim = |number: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(*number)),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: tensor.dims.iter().map(dim).collect() };
    let kind = type_proto::Tensor { elem_type: tensor.data_type, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(kind)), ..Default::default() };
    ValueInfoProto { name: tensor.name.clone(), r#type: Some(kind), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::prelude::*;

    use super::*;

    #[test]
    fn putting_the_data_back_gives_the_same_graph() {
        let onnx = file("int8.onnx");
        let extracted = extract(&onnx).unwrap();
        assert!(extracted.data.len() > 5 && extracted.onnx.len() < onnx.len() / 2);
        let mut model = ModelProto::decode(&*extracted.onnx).unwrap();
        for tensor in &mut model.graph.as_mut().unwrap().initializer {
            if let Some(range) = extracted.data.get(&tensor.name) {
                assert!(tensor.raw_data.is_empty());
                tensor.raw_data = onnx[range.clone()].to_vec();
            }
        }
        assert_eq!(model, ModelProto::decode(&*onnx).unwrap());
    }

    #[test]
    fn damaged_files_do_not_panic() {
        let onnx = file("int8.onnx");
        for end in (0..onnx.len()).step_by(997) {
            extract(&onnx[..end]);
        }
        let mut noise = onnx.clone();
        for i in (0..noise.len()).step_by(61) {
            noise[i] ^= (i % 251) as u8;
            extract(&noise);
        }
    }

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/data/vit/tiny.{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn floats(name: &str) -> Vec<f32> {
        file(name).as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    #[test]
    fn weights_that_are_not_packed_are_put_back() {
        let onnx = file("int8.onnx");
        let extracted = extract(&onnx).unwrap();
        let mut proto = ModelProto::decode(&*extracted.onnx).unwrap();
        let weights = take_weights(&mut proto, &onnx, extracted.data);
        assert!(weights.len() > 5);
        let mut model = tract_onnx::onnx().model_for_proto_model(&proto).unwrap().into_typed().unwrap();
        assert_eq!(model.inputs.len(), 1 + weights.len());
        weights.restore(&mut model).unwrap();
        assert_eq!(model.inputs.len(), 1);
        let shape = model.input_fact(0).unwrap().shape.as_concrete().unwrap().to_vec();
        let x = Tensor::from_shape(&shape, &floats("input.f32")).unwrap();
        let y = model.into_optimized().unwrap().into_runnable().unwrap().run(tvec!(x.into_tvalue())).unwrap();
        let y = y[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
        for (found, expected) in y.iter().zip(floats("int8.f32")) {
            assert!((found - expected).abs() < 0.05, "{found} for {expected}");
        }
    }
}
