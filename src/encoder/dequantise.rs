//! DequantizeLinear of constants, as the ONNX operator says: `(x - zero_point) * scale`.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::tensors::{self, Numbers};

/// The value of an integer attribute.
pub(super) fn integer_attribute(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.i)
}

/// The f32 numbers of `inputs` = x, scale and perhaps zero point, all constants; scale and zero point are one number
/// or one for each index of the node's axis.
///
/// # Errors
/// A sentence, without the node's name, where they do not fit together.
pub(super) fn dequantise(node: &NodeProto, inputs: &[&TensorProto]) -> Result<Vec<f32>, String> {
    if integer_attribute(node, "block_size").unwrap_or(0) != 0 {
        return Err("blocked quantisation is not supported; quantise per tensor or per axis".into());
    }
    let [x, scale, rest @ ..] = inputs else { return Err("DequantizeLinear needs a scale; export it again".into()) };
    let Some(Numbers::Integers(integers)) = tensors::numbers(x) else {
        return Err("DequantizeLinear takes int8, uint8 or int32 here; quantise to int8".into());
    };
    let Some(Numbers::Floats(scales)) = tensors::numbers(scale) else {
        return Err("the scale of DequantizeLinear must be f32; export it again".into());
    };
    let zeros = match rest.first() {
        None => vec![0; scales.len()],
        Some(zero) => match tensors::numbers(zero) {
            Some(Numbers::Integers(zeros)) => zeros,
            _ => return Err("the zero point of DequantizeLinear must be of its input's type; export it again".into()),
        },
    };
    if scales.len() != zeros.len() {
        return Err("DequantizeLinear has another number of scales than of zero points; export it again".into());
    }
    if scales.iter().any(|scale| !scale.is_finite()) {
        return Err("a scale of DequantizeLinear is not finite; export it again".into());
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

/// How many numbers in a row share a scale: the volume after the axis.
fn inner_volume(node: &NodeProto, x: &TensorProto, scales: usize) -> Result<usize, String> {
    let axis = integer_attribute(node, "axis").unwrap_or(1);
    let rank = x.dims.len() as i64;
    let axis = usize::try_from(if axis < 0 { axis.saturating_add(rank) } else { axis }).unwrap_or(usize::MAX);
    let mismatch = || format!("DequantizeLinear has {scales} scales for shape {:?}; export it again", x.dims);
    if *x.dims.get(axis).ok_or_else(mismatch)? != scales as i64 {
        return Err(mismatch());
    }
    let inner: i64 = x.dims[axis + 1..].iter().product();
    usize::try_from(inner).map_err(|_| mismatch())
}
