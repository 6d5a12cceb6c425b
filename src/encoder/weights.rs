//! Weights of int8 linear layers on their way past the network runtime.
//!
//! They are nearly all of a graph's bytes. The runtime would copy them and hold the copy until every layer is replaced,
//! so they stay in the file, each represented in the graph by an input of its name and shape, until they are packed.

use std::collections::{HashMap, HashSet};

use tract_core::internal::*;
use tract_core::ops::konst::Const;
use tract_onnx::pb::{
    GraphProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

use super::guard::Decoded;

/// See the module; bytes are row-major `[K, N]`, two's complement.
#[derive(Default)]
pub(crate) struct Weights<'a>(HashMap<String, Held<'a>>);

struct Held<'a> {
    shape: [usize; 2],
    bytes: &'a [u8],
}

impl<'a> Weights<'a> {
    /// Leaves those i8 `[K, N]` initialisers in the file that are the second operand of one MatMulInteger and nothing
    /// else, and puts the data of all others that were cut out back into the graph.
    pub(super) fn leave(decoded: &mut Decoded<'a>) -> Self {
        let Some(graph) = &mut decoded.model.graph else { return Self::default() };
        let weights = operands(graph);
        let (mut held, mut inputs, mut kept) = (HashMap::new(), Vec::new(), Vec::new());
        for mut tensor in std::mem::take(&mut graph.initializer) {
            let Some(range) = decoded.cut.remove(&tensor.name) else {
                kept.push(tensor);
                continue;
            };
            let bytes = &decoded.file[range];
            match matrix(&tensor).filter(|_| weights.contains(&tensor.name)) {
                Some(shape) => {
                    inputs.push(input(&tensor));
                    held.insert(tensor.name, Held { shape, bytes });
                }
                None => {
                    tensor.raw_data = bytes.to_vec();
                    kept.push(tensor);
                }
            }
        }
        graph.initializer = kept;
        // Old exporters list initialisers among the inputs.
        graph.input.retain(|input| !held.contains_key(&input.name));
        graph.input.extend(inputs);
        Self(held)
    }

    /// `[K, N]` and bytes of the weights that an outlet is, where they were left in the file.
    pub(crate) fn at(&self, model: &TypedModel, outlet: OutletId) -> Option<([usize; 2], &'a [u8])> {
        if !model.inputs.contains(&outlet) {
            return None;
        }
        self.0.get(&model.node(outlet.node).name).map(|held| (held.shape, held.bytes))
    }

    /// Puts what is still read into the model, which then has its true inputs alone.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn restore(self, model: &mut TypedModel) -> TractResult<()> {
        let (sources, inputs): (Vec<OutletId>, Vec<OutletId>) =
            model.inputs.iter().partition(|outlet| self.0.contains_key(&model.node(outlet.node).name));
        model.set_input_outlets(&inputs)?;
        for source in sources {
            let node = model.node_mut(source.node);
            let Held { shape, bytes } = self.0[&node.name];
            if node.outputs[0].successors.is_empty() {
                continue;
            }
            // SAFETY: every pattern of bits is an i8.
            let tensor = unsafe { Tensor::from_raw::<i8>(&shape, bytes)? }.into_arc_tensor();
            node.outputs[0].fact = TypedFact::try_from(tensor.clone())?;
            node.op = Box::new(Const::new(tensor)?);
        }
        Ok(())
    }
}

/// Names of the values that are the second operand of one MatMulInteger and nothing else.
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

fn matrix(tensor: &TensorProto) -> Option<[usize; 2]> {
    let [k, n] = *tensor.dims else { return None };
    Some([usize::try_from(k).ok()?, usize::try_from(n).ok()?])
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
    use tract_onnx::prelude::*;

    use super::*;
    use crate::encoder::guard::decode;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/data/vit/tiny.{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn floats(name: &str) -> Vec<f32> {
        file(name).as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    #[test]
    fn what_is_not_packed_is_put_back() {
        let onnx = file("int8.onnx");
        let mut decoded = decode(&onnx).unwrap();
        let weights = Weights::leave(&mut decoded);
        assert!(weights.0.len() > 5);
        let mut model = tract_onnx::onnx().model_for_proto_model(&decoded.model).unwrap().into_typed().unwrap();
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
