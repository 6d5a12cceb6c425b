//! Weights of int8 linear layers on their way past the network runtime.
//!
//! They are nearly all of a graph's bytes. The runtime would copy them and hold the copy until every layer is replaced,
//! so they are taken out of the graph before it sees it, each leaving an input of its name and shape behind, and are let go
//! one by one as they are packed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tract_core::internal::*;
use tract_core::ops::konst::Const;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    GraphProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

/// Weights below this many bytes are left where they are.
const LARGE: usize = 1 << 12;

/// See the module.
#[derive(Default)]
pub(crate) struct Weights(HashMap<String, Held>);

struct Held {
    shape: [usize; 2],
    /// Empty once it was claimed.
    bytes: Mutex<Vec<u8>>,
}

impl Weights {
    /// Takes the i8 `[K, N]` initialisers out that are the second operand of one MatMulInteger and nothing else.
    pub(crate) fn take(graph: &mut GraphProto) -> Self {
        let mut uses: HashMap<&str, (usize, bool)> = HashMap::new();
        for node in &graph.node {
            for (i, input) in node.input.iter().enumerate() {
                let (count, weight) = uses.entry(input).or_default();
                *count += 1;
                *weight = node.op_type == "MatMulInteger" && i == 1;
            }
        }
        let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        let (mut held, mut inputs, mut kept) = (HashMap::new(), Vec::new(), Vec::new());
        for mut tensor in std::mem::take(&mut graph.initializer) {
            let wanted = uses.get(tensor.name.as_str()) == Some(&(1, true)) && !outputs.contains(&tensor.name.as_str());
            match shape(&tensor).filter(|_| wanted) {
                Some(shape) => {
                    inputs.push(input(&tensor));
                    let bytes = Mutex::new(std::mem::take(&mut tensor.raw_data));
                    held.insert(tensor.name, Held { shape, bytes });
                }
                None => kept.push(tensor),
            }
        }
        graph.initializer = kept;
        // Old exporters list initialisers among the inputs.
        graph.input.retain(|input| !held.contains_key(&input.name));
        graph.input.extend(inputs);
        Self(held)
    }

    /// `[K, N]` of the weights that an outlet is, where they were taken out.
    pub(crate) fn shape(&self, model: &TypedModel, outlet: OutletId) -> Option<[usize; 2]> {
        if !model.inputs.contains(&outlet) {
            return None;
        }
        self.0.get(&model.node(outlet.node).name).map(|held| held.shape)
    }

    /// Hands out the bytes of the weights of that name, row-major two's complement; nothing where that was done before.
    pub(crate) fn claim(&self, name: &str) -> Vec<u8> {
        let take = |held: &Held| std::mem::take(&mut *held.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.get(name).map(take).unwrap_or_default()
    }

    /// Puts what nobody claimed back into the model, which then has its true inputs alone.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn restore(self, model: &mut TypedModel) -> TractResult<()> {
        let (sources, inputs): (Vec<OutletId>, Vec<OutletId>) =
            model.inputs.iter().partition(|outlet| self.0.contains_key(&model.node(outlet.node).name));
        model.set_input_outlets(&inputs)?;
        for source in sources {
            let name = model.node(source.node).name.clone();
            let (bytes, shape) = (self.claim(&name), self.0[&name].shape);
            if !bytes.is_empty() {
                // SAFETY: every pattern of bits is an i8.
                let tensor = unsafe { Tensor::from_raw::<i8>(&shape, &bytes)? }.into_arc_tensor();
                let fact = TypedFact::try_from(tensor.clone())?;
                let node = model.node_mut(source.node);
                node.op = Box::new(Const::new(tensor)?);
                node.outputs[0].fact = fact;
            }
        }
        Ok(())
    }
}

/// The shape of weights worth taking out.
fn shape(tensor: &TensorProto) -> Option<[usize; 2]> {
    let [k, n] = *tensor.dims else { return None };
    let large = tensor.data_type == DataType::Int8 as i32 && tensor.raw_data.len() >= LARGE;
    large.then_some([usize::try_from(k).ok()?, usize::try_from(n).ok()?])
}

/// An input that stands for an initialiser.
fn input(tensor: &TensorProto) -> ValueInfoProto {
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
    use tract_onnx::pb::ModelProto;
    use tract_onnx::prelude::*;

    use super::*;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/data/vit/tiny.{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn floats(name: &str) -> Vec<f32> {
        file(name).as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    #[test]
    fn what_nobody_claims_is_put_back() {
        let mut proto = ModelProto::decode(&*file("int8.onnx")).unwrap();
        let weights = Weights::take(proto.graph.as_mut().unwrap());
        assert!(weights.0.len() > 5);
        let mut model = tract_onnx::onnx().model_for_proto_model(&proto).unwrap().into_typed().unwrap();
        assert_eq!(model.inputs.len(), 1 + weights.0.len());
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
