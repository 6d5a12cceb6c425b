//! A graph that cannot be used is refused with one sentence, before the network runtime reads it if that could do harm.

use bike_edge::encoder::{Composer, EncoderOptions, FrameEncoder, TemporalHeader, check_graph};
use proptest::prelude::*;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, SparseTensorProto, StringStringEntryProto, TensorProto,
    type_proto,
};

use crate::support::onnx::{Onnx, f32_tensor, i64_tensor, int, ints, node, tensor, value};
use crate::support::pattern;

fn options() -> EncoderOptions {
    EncoderOptions::new(1, "b", "visual.onnx")
}

fn load(onnx: &Onnx) -> Result<FrameEncoder, String> {
    FrameEncoder::load(&onnx.encode(), options()).map_err(|e| e.to_string())
}

#[track_caller]
fn refused(onnx: &Onnx, words: &[&str]) {
    let problem = load(onnx).err().expect("the graph should have been refused");
    assert!(problem.starts_with("bundle b: visual.onnx: ") && !problem.contains('\n'), "{problem}");
    for word in words {
        assert!(problem.contains(word), "`{word}` is not in: {problem}");
    }
}

fn good() -> Onnx {
    Onnx::frame_encoder(16, 8)
}

/// Returns the good graph with a change.
fn changed(change: impl FnOnce(&mut GraphProto)) -> Onnx {
    let mut onnx = good();
    change(onnx.graph());
    onnx
}

#[test]
fn a_good_graph_loads() {
    let mut encoder = load(&good()).expect("loads");
    assert_eq!((encoder.size(), encoder.dim()), (16, 8));
    let mut out = vec![0.0; 8];
    encoder.encode(&[1.0; 3 * 256], &mut out).expect("encodes");
    let weight = pattern(24, 5);
    for (i, x) in out.iter().enumerate() {
        assert!((x - (weight[i] + weight[8 + i] + weight[16 + i])).abs() < 1e-5);
    }
}

#[test]
fn bytes_that_are_not_a_graph_are_refused() {
    for bytes in [&b""[..], b"hello", &[0xff; 64], &[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
        let problem = FrameEncoder::load(bytes, options()).err().expect("refused").to_string();
        assert!(problem.contains("again"), "{problem}");
    }
    let whole = good().encode();
    for length in 0..whole.len() {
        assert!(FrameEncoder::load(&whole[..length], options()).is_err(), "loaded at {length}");
    }
}

#[test]
fn data_in_other_files_is_refused() {
    let outside = |mut tensor: TensorProto| {
        tensor.raw_data.clear();
        tensor.data_location = Some(1);
        let entry = StringStringEntryProto { key: "location".into(), value: "/etc/passwd".into() };
        tensor.external_data.push(entry);
        tensor
    };
    let weight = || f32_tensor("w", &[3, 8], &pattern(24, 5));
    refused(&changed(|g| g.initializer[0] = outside(weight())), &["`w`", "another file", "inside"]);
    let held = |t: TensorProto| AttributeProto { name: "value".into(), r#type: 4, t: Some(t), ..Default::default() };
    let constant = |attribute| {
        changed(|g| {
            g.initializer.clear();
            let mut constant = node("Constant", &[], &["w"]);
            constant.attribute.push(attribute);
            g.node.insert(0, constant);
        })
    };
    refused(&constant(held(outside(weight()))), &["another file"]);
    load(&constant(held(weight()))).expect("a constant with its data inside loads");
    let several = AttributeProto { name: "many".into(), tensors: vec![outside(weight())], ..Default::default() };
    refused(&constant(several), &["another file"]);
    let sparse = SparseTensorProto { values: Some(outside(weight())), ..Default::default() };
    refused(&changed(|g| g.sparse_initializer.push(sparse.clone())), &["sparse"]);
    refused(&constant(AttributeProto { sparse_tensor: Some(sparse), ..Default::default() }), &["sparse"]);
    let inner = GraphProto { initializer: vec![outside(weight())], ..Default::default() };
    refused(&constant(AttributeProto { g: Some(inner), ..Default::default() }), &["branches or loops"]);
}

#[test]
fn cyclic_and_undefined_values_are_refused() {
    refused(&changed(|g| g.node[0].input[0] = "flat".into()), &["before it is produced", "cyclic"]);
    refused(&changed(|g| g.node[1].input[0] = "flat".into()), &["`flat`", "cyclic"]);
    refused(&changed(|g| g.node.reverse()), &["unsorted"]);
    refused(&changed(|g| g.node[1].input[0] = "ghost".into()), &["`ghost`", "nothing produces"]);
    refused(&changed(|g| g.output[0].name = "ghost".into()), &["`ghost`", "no node"]);
    refused(&changed(|g| g.node.push(node("Relu", &["flat"], &["y"]))), &["`y` is produced twice"]);
    refused(&changed(|g| g.node.push(node("Relu", &["flat"], &["w"]))), &["`w` is produced twice"]);
    refused(&changed(|g| g.initializer.push(f32_tensor("w", &[1], &[0.0]))), &["`w` appears twice"]);
    refused(&changed(|g| g.node[1].output.clear()), &["produces nothing"]);
}

#[test]
fn unknown_operators_are_refused() {
    refused(&changed(|g| g.node[1].domain = "com.microsoft".into()), &["com.microsoft", "standard"]);
    refused(&changed(|g| g.node[1].op_type = "Frobnicate".into()), &["Frobnicate", "not supported"]);
    refused(&changed(|g| g.node.clear()), &["0 nodes"]);
    let mut onnx = good();
    onnx.0.opset_import[0].version = 3;
    refused(&onnx, &["operator set 3"]);
    onnx.0.opset_import[0] = OperatorSetIdProto { domain: "ai.other".into(), version: 1 };
    refused(&onnx, &["no standard operator set"]);
    onnx.0.graph = None;
    refused(&onnx, &["no graph"]);
}

#[test]
fn inputs_and_outputs_of_other_shapes_are_refused() {
    let input = |dims: &[i64]| changed(|g| g.input[0] = value("x", dims));
    refused(&input(&[1, 3, 16]), &["3 dimensions", "[1, 3, S, S]"]);
    refused(&input(&[1, 3, 16, 32]), &["[1, 3, 16, 32]", "[1, 3, S, S]"]);
    refused(&input(&[1, 4, 16, 16]), &["[1, 4, 16, 16]"]);
    refused(&input(&[8, 3, 16, 16]), &["[8, 3, 16, 16]"]);
    refused(&input(&[1, 3, 100_000, 100_000]), &["1 to 1024"]);
    refused(&input(&[1, 3, i64::MAX, i64::MAX]), &["1 to 1024"]);
    refused(&input(&[1, 3, -1, -1]), &["fixed S"]);
    load(&input(&[-1, 3, 16, 16])).expect("a free batch counts as 1");
    refused(&changed(|g| g.input[0].r#type = None), &["no type"]);
    refused(&changed(|g| g.input.push(value("x2", &[1]))), &["2 inputs"]);
    refused(&changed(|g| g.output.push(value("flat", &[1, 3]))), &["2 outputs"]);
    refused(&changed(|g| g.input.clear()), &["0 inputs"]);
    let half = |g: &mut GraphProto| {
        if let Some(type_proto::Value::TensorType(tensor)) = g.input[0].r#type.as_mut().and_then(|t| t.value.as_mut()) {
            tensor.elem_type = DataType::Float16 as i32;
        }
    };
    refused(&changed(half), &["not f32"]);
    refused(&changed(|g| g.output[0].name = "mean".into()), &["[1, 3, 1, 1]", "[1, D]"]);
    load(&changed(|g| g.input.push(value("w", &[3, 8])))).expect("older exporters list constants as inputs");
}

/// `y = relu(x)` over `[1, rows, 4]`, rows symbolic if `None`.
fn rows_graph(rows: Option<i64>) -> Vec<u8> {
    let mut onnx = Onnx::new(&[1, rows.unwrap_or(1), 4], &[1, rows.unwrap_or(1), 4]).node("Relu", &["x"], &["y"]);
    if rows.is_none()
        && let Some(type_proto::Value::TensorType(tensor)) =
            onnx.graph().input[0].r#type.as_mut().and_then(|t| t.value.as_mut())
        && let Some(shape) = &mut tensor.shape
    {
        // Text that looks like an expression must not be parsed as one.
        shape.dim[1].value = Some(Value::DimParam("(".repeat(100_000)));
    }
    onnx.encode()
}

#[test]
fn headers_made_for_another_window_are_refused() {
    let load = |rows, window, dim| TemporalHeader::load(&rows_graph(rows), window, dim, options()).err();
    assert!(load(Some(8), 8, 4).is_none());
    assert!(load(None, 8, 4).is_none() && load(None, 16, 4).is_none());
    let problem = load(Some(8), 16, 4).expect("refused").to_string();
    assert!(problem.contains("8 as the window") && problem.contains("16"), "{problem}");
    let problem = load(Some(8), 8, 5).expect("refused").to_string();
    assert!(problem.contains("[1, 8, 4]") && problem.contains("[1, 8, 5]"), "{problem}");
    let problem = Composer::load(&rows_graph(Some(5)), 5, 4, options()).err().expect("refused").to_string();
    assert!(problem.contains("[1, 5, 4]") && problem.contains("[1, 4]"), "{problem}");
}

#[test]
fn tensors_whose_data_does_not_fit_their_shape_are_refused() {
    let weight = |tensor: TensorProto| changed(|g| g.initializer[0] = tensor);
    let wrong = |dims: &[i64]| weight(tensor("w", dims, DataType::Float, vec![0; 96]));
    for dims in [&[3, 9][..], &[-3, -8], &[i64::MAX, 8], &[i64::MAX, i64::MAX, 2], &[0, i64::MAX, i64::MAX], &[1; 9]] {
        refused(&wrong(dims), &["`w`", "does not hold what its shape says"]);
    }
    refused(&weight(tensor("w", &[3, 8], DataType::String, vec![0; 96])), &["not supported"]);
    refused(&weight(tensor("w", &[3, 8], DataType::Complex64, vec![0; 192])), &["not supported"]);
    let mut unknown = f32_tensor("w", &[3, 8], &[0.0; 24]);
    unknown.data_type = 999;
    refused(&weight(unknown), &["not supported"]);
    refused(&weight(f32_tensor("w", &[4, 8], &[0.0; 32])), &["cannot load it"]);
}

#[test]
fn graphs_that_would_use_all_memory_are_refused() {
    let grown = |kind: &str, size: TensorProto| {
        changed(|g| {
            g.initializer.push(size);
            let inputs: &[&str] = if kind == "ConstantOfShape" { &["size"] } else { &["flat", "size"] };
            g.node[2].input[0] = "big".into();
            g.node.insert(2, node(kind, inputs, &["big"]));
        })
    };
    refused(&grown("ConstantOfShape", i64_tensor("size", &[1 << 20, 1 << 20])), &["too large"]);
    refused(&grown("Expand", i64_tensor("size", &[1 << 40, 3])), &["too large"]);
    refused(&grown("Tile", i64_tensor("size", &[1 << 30, 1])), &["too large"]);
    // Nodes are a few bytes in a file and hundreds in memory.
    let mut many = good().encode();
    let mut graph = [0x0a, 0].repeat(20 << 20);
    many.push(0x3a);
    prost::encode_length_delimiter(graph.len(), &mut many).expect("encodes");
    many.append(&mut graph);
    let problem = FrameEncoder::load(&many, options()).err().expect("refused").to_string();
    assert!(problem.contains("besides its tensors"), "{problem}");
}

/// Returns the good graph, whose output is multiplied by the sum of `big`, which `nodes` compute from `constants`.
fn with_constants(constants: Vec<TensorProto>, nodes: Vec<NodeProto>) -> Onnx {
    changed(|g| {
        g.initializer.extend(constants);
        let last = g.node.len() - 1;
        g.node[last].output[0] = "unscaled".into();
        let mut sum = node("ReduceSum", &["big"], &["sum"]);
        sum.attribute.push(int("keepdims", 0));
        g.node.extend(nodes);
        g.node.push(sum);
        g.node.push(node("Mul", &["unscaled", "sum"], &["y"]));
    })
}

#[test]
fn constants_are_computed_only_within_a_budget() {
    let ones = |name: &str, dims: &[i64]| f32_tensor(name, dims, &vec![1.0; dims.iter().product::<i64>() as usize]);
    let small = with_constants(
        vec![ones("c", &[4, 4]), i64_tensor("times", &[2, 3])],
        vec![node("Tile", &["c", "times"], &["big"])],
    );
    load(&small).expect("small constants are computed");
    let started = std::time::Instant::now();
    // 17 GB from 6 kB, with repeats that are themselves computed.
    let tile = with_constants(
        vec![ones("c", &[32, 32]), i64_tensor("a", &[64, 64]), i64_tensor("b", &[32, 32])],
        vec![node("Mul", &["a", "b"], &["times"]), node("Tile", &["c", "times"], &["big"])],
    );
    refused(&tile, &["node `big`", "Tile", "too large"]);
    let outer = with_constants(
        vec![ones("c", &[20_000, 1]), ones("d", &[1, 20_000])],
        vec![node("Add", &["c", "d"], &["big"])],
    );
    refused(&outer, &["node `big`", "too large"]);
    // Each doubles the one before.
    let mut doubled = vec![node("Concat", &["c", "c"], &["v0"])];
    for i in 1..26 {
        let (from, to) = (format!("v{}", i - 1), if i == 25 { "big".into() } else { format!("v{i}") });
        doubled.push(node("Concat", &[&from, &from], &[&to]));
    }
    doubled.iter_mut().for_each(|node| node.attribute.push(int("axis", 0)));
    refused(&with_constants(vec![ones("c", &[64])], doubled), &["use a smaller model"]);
    // Nodes that lead nowhere are not analysed at all.
    let mut dead = good();
    dead.graph().initializer.push(i64_tensor("n", &[100_000]));
    dead.graph().node.insert(0, node("Concat", &["n", "n"], &["shape"]));
    dead.graph().node[0].attribute.push(int("axis", 0));
    dead.graph().node.insert(1, node("ConstantOfShape", &["shape"], &["zeros"]));
    load(&dead).expect("a node that leads nowhere is removed");
    // Constants that the runtime folds only when it optimises.
    let mut pool = node("MaxPool", &["plane"], &["big"]);
    pool.attribute.push(ints("kernel_shape", &[1024, 1024]));
    let mut plane = node("ConstantOfShape", &["shape"], &["plane"]);
    let one = Some(f32_tensor("one", &[1], &[1.0]));
    plane.attribute.push(AttributeProto { name: "value".into(), r#type: 4, t: one, ..Default::default() });
    let pooled = with_constants(vec![i64_tensor("shape", &[1, 1, 2048, 2048])], vec![plane, pool]);
    refused(&pooled, &["too much to compute"]);
    // Little memory, but much work.
    let mut products = vec![node("MatMul", &["c", "c"], &["p0"])];
    for i in 1..20 {
        let (from, to) = (format!("p{}", i - 1), if i == 19 { "big".into() } else { format!("p{i}") });
        products.push(node("MatMul", &["c", &from], &[&to]));
    }
    refused(&with_constants(vec![ones("c", &[1000, 1000])], products), &["too much to compute"]);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn random_numbers_are_refused() {
    let onnx = changed(|g| {
        g.node[2].input[0] = "noise".into();
        g.node.insert(2, node("RandomNormalLike", &["flat"], &["noise"]));
    });
    refused(&onnx, &["random"]);
}

/// Returns the good graph with its weight stored as int8.
fn stored(dims: &[i64], scale: TensorProto, zero: Option<TensorProto>, axis: i64) -> Onnx {
    changed(|g| {
        let inputs: &[&str] = if zero.is_some() { &["q", "scale", "zero"] } else { &["q", "scale"] };
        let bytes = (0..24).map(|i| (i * 11 % 255) as u8).collect();
        g.initializer = vec![tensor("q", dims, DataType::Int8, bytes), scale];
        g.initializer.extend(zero);
        g.node.insert(0, node("DequantizeLinear", inputs, &["w"]));
        g.node[0].attribute.push(int("axis", axis));
    })
}

#[test]
fn valid_quantised_weights_are_exact_and_invalid_ones_are_refused() {
    let scales = |n: usize| f32_tensor("scale", &[n as i64], &pattern(n, 9));
    let zeros = |n: usize| tensor("zero", &[n as i64], DataType::Int8, vec![3; n]);
    for axis in [1, -1] {
        load(&stored(&[3, 8], scales(8), None, axis)).expect("per column");
        load(&stored(&[3, 8], scales(8), Some(zeros(8)), axis)).expect("per column with zero points");
    }
    load(&stored(&[3, 8], scales(3), Some(zeros(3)), 0)).expect("per row");
    load(&stored(&[3, 8], scales(1), Some(zeros(1)), 1)).expect("per tensor");
    refused(&stored(&[3, 8], scales(8), None, 0), &["8 scales", "[3, 8]"]);
    refused(&stored(&[3, 8], scales(8), None, 7), &["8 scales"]);
    refused(&stored(&[3, 8], scales(8), None, i64::MIN), &["8 scales"]);
    refused(&stored(&[3, 8], scales(8), Some(zeros(3)), 1), &["different numbers of scales"]);
    refused(&stored(&[3, 8], f32_tensor("scale", &[], &[f32::NAN]), None, 1), &["scale", "not finite"]);
    refused(&stored(&[3, 8], tensor("scale", &[1], DataType::Int8, vec![1]), None, 1), &["must be f32"]);

    let mut encoder = load(&stored(&[3, 8], scales(8), Some(zeros(8)), 1)).expect("loads");
    let mut out = vec![0.0; 8];
    encoder.encode(&[1.0; 3 * 256], &mut out).expect("encodes");
    let scale = pattern(8, 9);
    for (column, x) in out.iter().enumerate() {
        let whole: i32 = (0..3).map(|row| i32::from(((row * 8 + column) * 11 % 255) as u8 as i8) - 3).sum();
        assert!((x - whole as f32 * scale[column]).abs() < 1e-3, "column {column}: {x}");
    }
}

#[test]
fn quantised_softmax_that_the_runtime_miscompiles_is_refused() {
    let onnx = changed(|g| {
        g.initializer.push(f32_tensor("s", &[], &[0.1]));
        g.initializer.push(tensor("z", &[], DataType::Int8, vec![0]));
        g.node[2].input[0] = "end".into();
        let between = [
            node("QuantizeLinear", &["flat", "s", "z"], &["q1"]),
            node("DequantizeLinear", &["q1", "s", "z"], &["d1"]),
            node("Softmax", &["d1"], &["soft"]),
            node("QuantizeLinear", &["soft", "s", "z"], &["q2"]),
            node("DequantizeLinear", &["q2", "s", "z"], &["end"]),
        ];
        g.node.splice(2..2, between);
    });
    refused(&onnx, &["`soft`", "keep attention in f32"]);
}

#[test]
fn outputs_that_are_not_finite_are_refused() {
    let mut damaged = pattern(24, 5);
    damaged[7] = f32::NAN;
    let mut encoder = load(&changed(|g| g.initializer[0] = f32_tensor("w", &[3, 8], &damaged))).expect("loads");
    let problem = encoder.encode(&[1.0; 3 * 256], &mut [0.0; 8]).expect_err("refused").to_string();
    assert!(problem.starts_with("bundle b: visual.onnx: ") && problem.contains("not finite"), "{problem}");
    // A bad frame does not affect the next network or run.
    let mut sound = load(&good()).expect("loads");
    assert!(sound.encode(&[f32::NAN; 3 * 256], &mut [0.0; 8]).is_err());
    sound.encode(&[1.0; 3 * 256], &mut [0.0; 8]).expect("encodes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_graph_causes_a_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = good().encode();
        for (place, value) in changes {
            let at = place as usize % bytes.len();
            bytes[at] = value;
        }
        if check_graph(&bytes).is_ok()
            && let Ok(mut encoder) = FrameEncoder::load(&bytes, options())
        {
            let (size, dim) = (encoder.size(), encoder.dim());
            drop(encoder.encode(&vec![0.5; 3 * size * size], &mut vec![0.0; dim]));
        }
    }
}
