//! Constant tensors of a graph: are they whole, and what do they hold.

use std::ops::Range;

use half::f16;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use super::limits::RANK;

/// Checks that a tensor holds its own data, all of it and no more; `cut` is where they lie in the file when they were cut
/// out of the tensor.
///
/// # Errors
/// A sentence about the tensor.
pub(super) fn check(tensor: &TensorProto, cut: Option<&Range<usize>>) -> Result<(), String> {
    let name = shown(&tensor.name);
    if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
        return Err(format!(
            "tensor `{name}` keeps its data in another file; save the graph with its data inside (without \
             save_as_external_data)"
        ));
    }
    if tensor.segment.is_some() {
        return Err(format!("tensor `{name}` is stored in segments; save the graph without them"));
    }
    let kind = kind(tensor).ok_or_else(|| format!("tensor `{name}` is of a type that is not supported; use f32"))?;
    let damaged = || format!("tensor `{name}` does not hold what its shape says; export or download the graph again");
    let volume = volume(tensor).ok_or_else(damaged)?;
    let raw = cut.map_or(tensor.raw_data.len(), Range::len);
    let found = if raw == 0 { typed_length(tensor, kind) } else { None };
    let whole = match found {
        Some(numbers) => numbers == volume,
        None => volume.checked_mul(item(kind)) == Some(raw),
    };
    if whole { Ok(()) } else { Err(damaged()) }
}

/// A name from a graph, fit to be printed.
pub(super) fn shown(name: &str) -> String {
    name.escape_debug().take(80).collect()
}

/// The supported types.
fn kind(tensor: &TensorProto) -> Option<DataType> {
    let kind = DataType::try_from(tensor.data_type).ok()?;
    (item(kind) > 0).then_some(kind)
}

/// Bytes of one number, 0 for types that are not supported.
fn item(kind: DataType) -> usize {
    match kind {
        DataType::Uint8 | DataType::Int8 | DataType::Bool => 1,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 => 2,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Int64 | DataType::Uint64 | DataType::Double => 8,
        _ => 0,
    }
}

/// How many numbers the shape asks for, `None` for negative or overflowing shapes.
pub(super) fn volume(tensor: &TensorProto) -> Option<usize> {
    if tensor.dims.len() > RANK {
        return None;
    }
    // Dimensions of 0 do not excuse the others from fitting.
    tensor.dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?.max(1)))?;
    tensor.dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))
}

/// Numbers in the field that goes with the type, where the raw one is not used.
fn typed_length(tensor: &TensorProto, kind: DataType) -> Option<usize> {
    Some(match kind {
        DataType::Float => tensor.float_data.len(),
        DataType::Double => tensor.double_data.len(),
        // The runtime reads u64 from here too.
        DataType::Int64 | DataType::Uint64 => tensor.int64_data.len(),
        _ => tensor.int32_data.len(),
    })
}

/// The numbers of a checked f32, f16, i8, u8 or i32 tensor as integers or floats, `None` for other types.
pub(super) enum Numbers {
    /// f32, or f16 made f32.
    Floats(Vec<f32>),
    /// i8, u8 or i32.
    Integers(Vec<i32>),
}

/// See [`Numbers`]; the tensor must have passed [`check`].
pub(super) fn numbers(tensor: &TensorProto) -> Option<Numbers> {
    let raw = &tensor.raw_data;
    let typed = raw.is_empty();
    let ints = &tensor.int32_data;
    Some(match kind(tensor)? {
        DataType::Float if typed => Numbers::Floats(tensor.float_data.clone()),
        DataType::Float => Numbers::Floats(raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        DataType::Float16 if typed => {
            Numbers::Floats(ints.iter().map(|bits| f16::from_bits(*bits as u16).to_f32()).collect())
        }
        DataType::Float16 => {
            Numbers::Floats(raw.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect())
        }
        DataType::Int8 if typed => Numbers::Integers(ints.iter().map(|x| i32::from(*x as i8)).collect()),
        DataType::Int8 => Numbers::Integers(raw.iter().map(|x| i32::from(*x as i8)).collect()),
        DataType::Uint8 if typed => Numbers::Integers(ints.iter().map(|x| i32::from(*x as u8)).collect()),
        DataType::Uint8 => Numbers::Integers(raw.iter().map(|x| i32::from(*x)).collect()),
        DataType::Int32 if typed => Numbers::Integers(ints.clone()),
        DataType::Int32 => Numbers::Integers(raw.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()),
        _ => return None,
    })
}

/// The largest number of a tensor of i64, i32 or f32, and the product of all that are above 1.
pub(super) fn largest_and_product(tensor: &TensorProto) -> (f64, f64) {
    let wide: Vec<i64> = match tensor.raw_data.is_empty() {
        true => tensor.int64_data.clone(),
        false => tensor.raw_data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
    };
    let numbers: Vec<f64> = match numbers(tensor) {
        Some(Numbers::Floats(floats)) => floats.into_iter().map(f64::from).collect(),
        Some(Numbers::Integers(integers)) => integers.into_iter().map(f64::from).collect(),
        None if kind(tensor) == Some(DataType::Int64) => wide.into_iter().map(|x| x as f64).collect(),
        None => Vec::new(),
    };
    (numbers.iter().copied().fold(0.0, f64::max), numbers.iter().map(|x| x.max(1.0)).product())
}

/// An f32 tensor.
pub(super) fn f32_tensor(name: &str, dims: &[i64], numbers: Vec<f32>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: numbers,
        ..Default::default()
    }
}
