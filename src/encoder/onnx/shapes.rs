//! The shapes that the input and output of a graph must have.

use tract_onnx::pb;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;

/// One dimension of a graph's input or output.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dim {
    /// Always this number.
    Fixed(usize),
    /// Set by the user; a graph with another fixed number is refused.
    Required {
        /// What the number means, with its article.
        name: &'static str,
        /// The number.
        value: usize,
    },
    /// Set by the graph, 1 to `max`; dimensions of the same name are equal.
    Free {
        /// The letter in docs/bundle.md.
        name: &'static str,
        /// The largest number allowed.
        max: usize,
    },
}

/// The type of a graph's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputType {
    F32,
    /// Tokens.
    I64,
}

/// What the only input and the only output of a graph must be.
pub(crate) struct Signature<'a> {
    pub input_type: InputType,
    pub input: &'a [Dim],
    pub output: &'a [Dim],
}

impl Dim {
    fn describe(&self) -> String {
        match self {
            Self::Fixed(value) | Self::Required { value, .. } => value.to_string(),
            Self::Free { name, .. } => (*name).to_owned(),
        }
    }
}

/// Formats dimensions like `[1, 3, S, S]`.
fn describe(dims: &[Dim]) -> String {
    format!("[{}]", dims.iter().map(Dim::describe).collect::<Vec<_>>().join(", "))
}

/// Returns the concrete shape of the input, with numbers for its symbolic dimensions.
///
/// # Errors
/// A sentence about what the graph declares and what it must be.
pub(super) fn resolve_input(declared: &pb::ValueInfoProto, expected: &Signature<'_>) -> Result<Vec<usize>, String> {
    let name = declared.name.escape_debug();
    let (kind, type_name) = match expected.input_type {
        InputType::F32 => (pb::tensor_proto::DataType::Float, "f32"),
        InputType::I64 => (pb::tensor_proto::DataType::Int64, "i64"),
    };
    let expected = expected.input;
    let wrong = |found: String| format!("input `{name}` is {found}, but must be {}", describe(expected));
    let Some(pb::type_proto::Value::TensorType(tensor)) = declared.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Err(format!("input `{name}` has no type; export the graph with its shapes"));
    };
    if tensor.elem_type != kind as i32 {
        return Err(format!("input `{name}` is not {type_name}; export the graph with an {type_name} input"));
    }
    let dims = &tensor.shape.as_ref().ok_or_else(|| format!("input `{name}` has no shape; export it with one"))?.dim;
    if dims.len() != expected.len() {
        return Err(wrong(format!("of {} dimensions", dims.len())));
    }
    let mut shape = Vec::with_capacity(dims.len());
    for (dim, expected) in dims.iter().zip(expected) {
        let fixed = match dim.value {
            // Some exporters write 0 or -1 for a dimension that is not fixed. A number that overflows usize, on 32
            // bits, is still fixed.
            Some(Value::DimValue(number)) if number > 0 => Some(usize::try_from(number).unwrap_or(usize::MAX)),
            _ => None,
        };
        shape.push(resolve(fixed, expected).ok_or_else(|| refusal(fixed, expected, &wrong(declared_shape(dims))))?);
    }
    check_equal_names(&shape, expected).map_err(|()| wrong(format!("{shape:?}")))?;
    Ok(shape)
}

/// Returns the number of a dimension, `None` if that of the graph does not fit.
fn resolve(fixed: Option<usize>, expected: &Dim) -> Option<usize> {
    match (*expected, fixed) {
        (Dim::Fixed(value) | Dim::Required { value, .. }, None) => Some(value),
        (Dim::Fixed(value) | Dim::Required { value, .. }, Some(found)) => (value == found).then_some(value),
        (Dim::Free { max, .. }, Some(found)) => (1..=max).contains(&found).then_some(found),
        (Dim::Free { .. }, None) => None,
    }
}

/// Returns why the graph's dimension does not fit.
fn refusal(fixed: Option<usize>, expected: &Dim, wrong: &str) -> String {
    match (*expected, fixed) {
        (Dim::Required { name, value }, Some(found)) => {
            format!(
                "it was exported for {found} as {name}, but {name} is set to {value}; use {found}, or export the \
                 graph for {value}"
            )
        }
        (Dim::Free { name, max }, Some(_)) => format!("{wrong} with {name} from 1 to {max}"),
        (Dim::Free { name, .. }, None) => format!("{wrong} with a fixed {name}; export the graph for one size"),
        (Dim::Fixed(_) | Dim::Required { .. }, _) => wrong.to_owned(),
    }
}

/// Formats the dimensions that a graph declares.
fn declared_shape(dims: &[pb::tensor_shape_proto::Dimension]) -> String {
    let one = |dim: &pb::tensor_shape_proto::Dimension| match &dim.value {
        Some(Value::DimValue(number)) => number.to_string(),
        Some(Value::DimParam(name)) => name.escape_debug().take(16).collect(),
        None => "?".to_owned(),
    };
    format!("[{}]", dims.iter().take(8).map(one).collect::<Vec<_>>().join(", "))
}

/// Checks that dimensions of the same name are equal.
fn check_equal_names(shape: &[usize], expected: &[Dim]) -> Result<(), ()> {
    for (i, dim) in expected.iter().enumerate() {
        let Dim::Free { name, .. } = dim else { continue };
        let twin =
            expected[..i].iter().position(|other| matches!(other, Dim::Free { name: other, .. } if other == name));
        if twin.is_some_and(|twin| shape[twin] != shape[i]) {
            return Err(());
        }
    }
    Ok(())
}

/// Compares the inferred shape of the output with what it must be.
///
/// # Errors
/// A sentence about what it is and what it must be.
pub(super) fn check_output(found: &[usize], expected: &[Dim]) -> Result<(), String> {
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| resolve(Some(*found), expected).is_some());
    if fits && check_equal_names(found, expected).is_ok() {
        return Ok(());
    }
    Err(format!("its output is {found:?}, but must be {}", describe(expected)))
}

/// Sets the shape of a graph's input.
pub(super) fn set_input(declared: &mut pb::ValueInfoProto, shape: &[usize]) {
    let dim = |number: &usize| pb::tensor_shape_proto::Dimension {
        value: Some(Value::DimValue(*number as i64)),
        ..Default::default()
    };
    if let Some(pb::type_proto::Value::TensorType(tensor)) = declared.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        tensor.shape = Some(pb::TensorShapeProto { dim: shape.iter().map(dim).collect() });
    }
}
