//! A look at a graph's bytes before they are decoded.
//!
//! A few bytes of protobuf can become hundreds in memory (an empty node takes two bytes in the file), so a file of
//! moderate size could take all memory when decoded. Tensor data does not grow, and everything else of a real graph is
//! small: bytes outside tensor data are counted and bounded.

use super::limits::STRUCTURE_BYTES;

/// Messages that may lie in each other on the way to tensor data: a field of one kind of message leads to another.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

/// What a field of a message is.
enum Field {
    Message(Kind),
    /// Numbers or bytes that take no more memory than a few times their length.
    Data,
    Other,
}

impl Kind {
    /// Field numbers as in onnx.proto.
    fn field(self, number: u64) -> Field {
        match (self, number) {
            (Self::Model, 7) => Field::Message(Self::Graph),
            (Self::Graph, 1) => Field::Message(Self::Node),
            (Self::Graph, 5) => Field::Message(Self::Tensor),
            (Self::Node, 5) => Field::Message(Self::Attribute),
            (Self::Attribute, 5) => Field::Message(Self::Tensor),
            (Self::Tensor, 4 | 9 | 10) => Field::Data,
            _ => Field::Other,
        }
    }
}

/// Checks that a graph's structure is of bounded size.
///
/// # Errors
/// A sentence, without the file's name.
pub(super) fn check_structure(onnx: &[u8]) -> Result<(), String> {
    let data = data_bytes(onnx, Kind::Model).ok_or("it is not a readable ONNX graph; export or download it again")?;
    if onnx.len() - data > STRUCTURE_BYTES {
        return Err(format!(
            "it has {} bytes besides its tensors, and {STRUCTURE_BYTES} are the most allowed; store tensors as raw data",
            onnx.len() - data
        ));
    }
    Ok(())
}

/// Bytes of tensor data in a message, `None` where it is not protobuf.
fn data_bytes(mut message: &[u8], kind: Kind) -> Option<usize> {
    let mut data = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => drop(varint(&mut message)?),
            1 => drop(take(&mut message, 8)?),
            5 => drop(take(&mut message, 4)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let content = take(&mut message, length)?;
                data += match kind.field(tag >> 3) {
                    Field::Message(inner) => data_bytes(content, inner)?,
                    Field::Data => content.len(),
                    Field::Other => 0,
                };
            }
            _ => return None,
        }
    }
    Some(data)
}

/// The number at the start of a message, which then begins after it.
pub(super) fn varint(message: &mut &[u8]) -> Option<u64> {
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

/// The first bytes of a message, which then begins after them.
pub(super) fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}
