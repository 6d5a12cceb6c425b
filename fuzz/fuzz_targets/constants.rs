//! Builds graphs that compute constants from any bytes; loading one takes bounded memory and time.
#![no_main]

#[path = "../../tests/support/onnx.rs"]
#[allow(dead_code, reason = "only some helpers of the tests are used here")]
mod onnx;

use bike_edge::encoder::{EncoderOptions, FrameEncoder};
use libfuzzer_sys::fuzz_target;
use onnx::{Onnx, f32_tensor, i64_tensor, int, node};

/// Numbers in -1..1, as the tests' helper of this name makes them.
pub fn pattern(count: usize, seed: u64) -> Vec<f32> {
    (0..count as u64).map(|i| ((i + seed) % 17) as f32 / 17.0).collect()
}

/// Operators, and whether the second input is a list of integers.
const OPERATORS: [(&str, bool); 14] = [
    ("Tile", true),
    ("Expand", true),
    ("Reshape", true),
    ("ConstantOfShape", true),
    ("Concat", false),
    ("Mul", false),
    ("Add", false),
    ("MatMul", false),
    ("Gemm", false),
    ("Gather", true),
    ("Pad", true),
    ("Transpose", false),
    ("Shape", false),
    ("Range", true),
];

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let mut next = || i64::from(bytes.next().unwrap_or(0));
    let mut onnx = Onnx::frame_encoder(16, 8);
    let dims = [next() % 64, next() % 64];
    let volume = (dims[0] * dims[1]) as usize;
    onnx = onnx.tensor(f32_tensor("v0", &dims, &pattern(volume, 3)));
    let steps = 1 + next() % 12;
    for step in 0..steps {
        let (kind, integers) = OPERATORS[(next() % OPERATORS.len() as i64) as usize];
        let (from, other, to) =
            (format!("v{}", next() % (step + 1)), format!("v{}", next() % (step + 1)), format!("v{}", step + 1));
        let list = format!("i{step}");
        let second = if integers { &list } else { &other };
        if integers {
            let scale = 1i64 << (next() % 20);
            let numbers: Vec<i64> = (0..1 + next() % 4).map(|_| next() * scale).collect();
            onnx = onnx.tensor(i64_tensor(&list, &numbers));
        }
        let inputs: Vec<&str> = match kind {
            "Transpose" | "Shape" => vec![&from],
            "ConstantOfShape" => vec![second],
            "Range" => vec![second, second, second],
            _ => vec![&from, second],
        };
        let mut new = node(kind, &inputs, &[&to]);
        if matches!(kind, "Concat" | "Gather") {
            new.attribute.push(int("axis", next() % 2));
        }
        onnx.graph().node.push(new);
    }
    let graph = onnx.graph();
    let at = graph.node.iter().position(|node| node.output[0] == "y").unwrap_or(0);
    let mut last = graph.node.remove(at);
    last.output[0] = "unscaled".into();
    graph.node.push(last);
    let mut sum = node("ReduceSum", &[&format!("v{steps}")], &["sum"]);
    sum.attribute.push(int("keepdims", 0));
    graph.node.push(sum);
    graph.node.push(node("Mul", &["unscaled", "sum"], &["y"]));
    let options = EncoderOptions::new(1, "fuzz", "visual.onnx");
    if let Err(e) = FrameEncoder::load(&onnx.encode(), options) {
        assert!(!e.to_string().contains('\n'), "several lines: {e}");
    }
});
