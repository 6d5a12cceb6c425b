//! Large int8 tensors cut out of a graph's bytes, so that decoding it does not copy what is nearly all of it.

use std::collections::HashMap;
use std::ops::Range;

use tract_onnx::pb::tensor_proto::DataType;

use super::graph::{take, varint};

/// Tensors below this many bytes are left where they are.
const LARGE: usize = 1 << 12;

/// A graph's bytes without its large int8 initialisers' data.
pub(super) struct Cut {
    /// The rest, readable as the same graph.
    pub onnx: Vec<u8>,
    /// Where in the file the data of each initialiser lies that was cut out; as long as its shape says.
    pub data: HashMap<String, Range<usize>>,
}

/// Cuts data out of a graph, `None` where it is not protobuf.
pub(super) fn cut(onnx: &[u8]) -> Option<Cut> {
    let mut data = HashMap::new();
    let mut model = Vec::new();
    for field in fields(onnx) {
        let field = field?;
        match (field.number, field.content) {
            (7, Some(graph)) => message(&mut model, 7, &cut_graph(onnx, graph, &mut data)?),
            _ => model.extend_from_slice(field.whole),
        }
    }
    Some(Cut { onnx: model, data })
}

fn cut_graph(onnx: &[u8], graph: &[u8], data: &mut HashMap<String, Range<usize>>) -> Option<Vec<u8>> {
    let mut rest = Vec::new();
    for field in fields(graph) {
        let field = field?;
        match field.content.filter(|_| field.number == 5).map(large) {
            Some(large) => match large? {
                Some(Large { name, raw, without }) if !data.contains_key(&name) => {
                    let start = raw.as_ptr() as usize - onnx.as_ptr() as usize;
                    data.insert(name, start..start + raw.len());
                    message(&mut rest, 5, &without);
                }
                _ => rest.extend_from_slice(field.whole),
            },
            None => rest.extend_from_slice(field.whole),
        }
    }
    Some(rest)
}

/// An initialiser worth cutting.
struct Large<'a> {
    name: String,
    raw: &'a [u8],
    /// The initialiser without its data.
    without: Vec<u8>,
}

/// Whether a tensor is whole, of i8 and large; the outer `None` where it is not protobuf.
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
            // Fields that are there twice are for the decoder to judge.
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

struct Field<'a> {
    number: u64,
    /// Of a length-delimited field.
    content: Option<&'a [u8]>,
    /// Of a varint.
    value: u64,
    whole: &'a [u8],
}

/// A message's fields; the last one is `None` where the message is damaged.
fn fields(mut message: &[u8]) -> impl Iterator<Item = Option<Field<'_>>> {
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
fn message(to: &mut Vec<u8>, number: u64, content: &[u8]) {
    for mut value in [number << 3 | 2, content.len() as u64] {
        while value > 0x7f {
            to.push(value as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }
    to.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    use super::*;

    #[test]
    fn data_put_back_makes_the_same_graph() {
        let file = format!("{}/tests/data/vit/tiny.int8.onnx", env!("CARGO_MANIFEST_DIR"));
        let onnx = std::fs::read(file).unwrap();
        let cut = cut(&onnx).unwrap();
        assert!(cut.data.len() > 5 && cut.onnx.len() < onnx.len() / 2);
        let mut model = ModelProto::decode(&*cut.onnx).unwrap();
        for tensor in &mut model.graph.as_mut().unwrap().initializer {
            if let Some(range) = cut.data.get(&tensor.name) {
                assert!(tensor.raw_data.is_empty());
                tensor.raw_data = onnx[range.clone()].to_vec();
            }
        }
        assert_eq!(model, ModelProto::decode(&*onnx).unwrap());
    }

    #[test]
    fn damaged_files_do_no_harm() {
        let file = format!("{}/tests/data/vit/tiny.int8.onnx", env!("CARGO_MANIFEST_DIR"));
        let onnx = std::fs::read(file).unwrap();
        for end in (0..onnx.len()).step_by(997) {
            cut(&onnx[..end]);
        }
        let mut noise = onnx.clone();
        for i in (0..noise.len()).step_by(61) {
            noise[i] ^= (i % 251) as u8;
            cut(&noise);
        }
    }
}
