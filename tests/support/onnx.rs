//! Builds small ONNX graphs.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// Builds a model. Tests may change any part of it before it is encoded.
pub struct Onnx(pub ModelProto);

impl Onnx {
    /// Creates a graph with input `x`, output `y` and operator set 17.
    pub fn new(input: &[i64], output: &[i64]) -> Self {
        let graph = GraphProto {
            name: "g".into(),
            input: vec![value("x", input)],
            output: vec![value("y", output)],
            ..Default::default()
        };
        let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
        Self(ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() })
    }

    /// Creates a frame encoder from `[1, 3, size, size]` to `[1, dim]`: one linear layer over the mean of each colour.
    pub fn frame_encoder(size: i64, dim: i64) -> Self {
        let weight = super::pattern(3 * dim as usize, 5);
        Self::new(&[1, 3, size, size], &[1, dim])
            .tensor(f32_tensor("w", &[3, dim], &weight))
            .node("GlobalAveragePool", &["x"], &["mean"])
            .node("Flatten", &["mean"], &["flat"])
            .node("MatMul", &["flat", "w"], &["y"])
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.0.graph.as_mut().expect("a graph")
    }

    pub fn tensor(mut self, tensor: TensorProto) -> Self {
        self.graph().initializer.push(tensor);
        self
    }

    pub fn node(mut self, kind: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.graph().node.push(node(kind, inputs, outputs));
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}

pub fn node(kind: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto { op_type: kind.into(), input: owned(inputs), output: owned(outputs), ..Default::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 2, i, ..Default::default() }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints: ints.to_vec(), ..Default::default() }
}

pub fn f32_tensor(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    tensor(name, dims, DataType::Float, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
}

pub fn i64_tensor(name: &str, numbers: &[i64]) -> TensorProto {
    let raw = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, &[numbers.len() as i64], DataType::Int64, raw)
}

pub fn tensor(name: &str, dims: &[i64], kind: DataType, raw_data: Vec<u8>) -> TensorProto {
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type: kind as i32, raw_data, ..Default::default() }
}

pub fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |number: &i64| Dimension { value: Some(dimension::Value::DimValue(*number)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}
