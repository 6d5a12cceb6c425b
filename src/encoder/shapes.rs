//! What shapes a graph must have.

use tract_onnx::pb;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;

/// One dimension of a graph's input or output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dim {
    /// Always this.
    Fixed(usize),
    /// As the user asks; a graph with another fixed number is refused.
    Asked {
        /// What the number is.
        name: &'static str,
        /// What was asked for.
        value: usize,
    },
    /// As the graph says, 1 to `most`; equal names are equal numbers.
    Free {
        /// Letter in docs/bundle.md.
        name: &'static str,
        /// The largest number allowed.
        most: usize,
    },
}

/// Of what type a graph's input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    F32,
    /// Token numbers.
    I64,
}

/// What a graph's one input and one output must be.
pub(super) struct Shape<'a> {
    pub numbers: Numbers,
    pub input: &'a [Dim],
    pub output: &'a [Dim],
}

impl Dim {
    fn describe(&self) -> String {
        match self {
            Self::Fixed(value) | Self::Asked { value, .. } => value.to_string(),
            Self::Free { name, .. } => (*name).to_owned(),
        }
    }
}

/// `[1, 3, S, S]`.
fn describe(dims: &[Dim]) -> String {
    format!("[{}]", dims.iter().map(Dim::describe).collect::<Vec<_>>().join(", "))
}

/// The input's concrete shape: symbolic dimensions become what was asked for.
///
/// # Errors
/// A sentence about what the graph says and what it must be.
pub(super) fn resolve_input(declared: &pb::ValueInfoProto, expected: &Shape<'_>) -> Result<Vec<usize>, String> {
    let name = declared.name.escape_debug();
    let (kind, called) = match expected.numbers {
        Numbers::F32 => (pb::tensor_proto::DataType::Float, "f32"),
        Numbers::I64 => (pb::tensor_proto::DataType::Int64, "i64"),
    };
    let expected = expected.input;
    let wrong = |found: String| format!("input `{name}` is {found}, and {} was expected", describe(expected));
    let Some(pb::type_proto::Value::TensorType(tensor)) = declared.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Err(format!("input `{name}` has no type; export the graph with its shapes"));
    };
    if tensor.elem_type != kind as i32 {
        return Err(format!("input `{name}` is not {called}; export the graph with an {called} input"));
    }
    let dims = &tensor.shape.as_ref().ok_or_else(|| format!("input `{name}` has no shape; export it with one"))?.dim;
    if dims.len() != expected.len() {
        return Err(wrong(format!("of {} dimensions", dims.len())));
    }
    let mut shape = Vec::with_capacity(dims.len());
    for (dim, expected) in dims.iter().zip(expected) {
        let fixed = match dim.value {
            // Some exporters write 0 or -1 for what is not fixed.
            // What is larger than any size here, on 32 bits, is fixed all the same.
            Some(Value::DimValue(number)) if number > 0 => Some(usize::try_from(number).unwrap_or(usize::MAX)),
            _ => None,
        };
        shape.push(resolve(fixed, expected).ok_or_else(|| refusal(fixed, expected, &wrong(show(dims))))?);
    }
    same_where_same_name(&shape, expected).map_err(|()| wrong(format!("{shape:?}")))?;
    Ok(shape)
}

fn resolve(fixed: Option<usize>, expected: &Dim) -> Option<usize> {
    match (*expected, fixed) {
        (Dim::Fixed(value) | Dim::Asked { value, .. }, None) => Some(value),
        (Dim::Fixed(value) | Dim::Asked { value, .. }, Some(found)) => (value == found).then_some(value),
        (Dim::Free { most, .. }, Some(found)) => (1..=most).contains(&found).then_some(found),
        (Dim::Free { .. }, None) => None,
    }
}

fn refusal(fixed: Option<usize>, expected: &Dim, wrong: &str) -> String {
    match (*expected, fixed) {
        (Dim::Asked { name, value }, Some(found)) => {
            format!("it was made for {found} as {name}, and {value} was asked for")
        }
        (Dim::Free { name, most }, Some(_)) => format!("{wrong} with {name} from 1 to {most}"),
        (Dim::Free { name, .. }, None) => format!("{wrong} with a fixed {name}; export the graph for one size"),
        (Dim::Fixed(_) | Dim::Asked { .. }, _) => wrong.to_owned(),
    }
}

fn show(dims: &[pb::tensor_shape_proto::Dimension]) -> String {
    let one = |dim: &pb::tensor_shape_proto::Dimension| match &dim.value {
        Some(Value::DimValue(number)) => number.to_string(),
        Some(Value::DimParam(name)) => name.escape_debug().take(16).collect(),
        None => "?".to_owned(),
    };
    format!("[{}]", dims.iter().take(8).map(one).collect::<Vec<_>>().join(", "))
}

fn same_where_same_name(shape: &[usize], expected: &[Dim]) -> Result<(), ()> {
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

/// Compares the output's shape, as computed, with what it must be.
///
/// # Errors
/// A sentence about what it is and what it must be.
pub(super) fn check_output(found: &[usize], expected: &[Dim]) -> Result<(), String> {
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| resolve(Some(*found), expected).is_some());
    if fits && same_where_same_name(found, expected).is_ok() {
        return Ok(());
    }
    Err(format!("its output is {found:?}, and {} was expected", describe(expected)))
}

/// Writes a concrete shape into a graph's input.
pub(super) fn set_input(declared: &mut pb::ValueInfoProto, shape: &[usize]) {
    let dim = |number: &usize| pb::tensor_shape_proto::Dimension {
        value: Some(Value::DimValue(*number as i64)),
        ..Default::default()
    };
    if let Some(pb::type_proto::Value::TensorType(tensor)) = declared.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        tensor.shape = Some(pb::TensorShapeProto { dim: shape.iter().map(dim).collect() });
    }
}
