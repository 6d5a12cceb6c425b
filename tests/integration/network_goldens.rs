//! The outputs of networks match those of onnxruntime on the same files (tests/data/make_goldens_onnx.py).

use std::path::Path;

use bike_edge::encoder::{Composer, EncoderOptions, FrameEncoder, TemporalHeader};
use serde::Deserialize;

use crate::support::pattern;

/// Largest difference, relative to the largest number of the golden.
const TOLERANCE: f32 = 1e-4;

fn difference(a: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(a.len(), golden.len());
    let peak = golden.iter().fold(0f32, |peak, x| peak.max(x.abs()));
    a.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / peak
}

#[derive(Deserialize)]
struct Case {
    graph: String,
    sha256: String,
    kind: String,
    shape: Vec<usize>,
    seeds: Vec<u64>,
    outputs: Vec<Vec<f32>>,
}

/// Runs a network over its input into its output.
type Run = Box<dyn FnMut(&[f32], &mut [f32]) -> bike_edge::Result<()>>;

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../data/goldens_onnx.json")).expect("goldens")
}

fn options(threads: usize) -> EncoderOptions {
    EncoderOptions::new(threads, "test", "graph.onnx")
}

/// Loads the network of a case and returns its output for each input.
fn outputs(case: &Case, threads: usize) -> Vec<Vec<f32>> {
    let onnx = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&case.graph)).expect("graph");
    let hash: String = <sha2::Sha256 as sha2::Digest>::digest(&onnx).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, case.sha256, "{} changed; run tests/data/make_goldens_onnx.py", case.graph);
    let (rows, width) = (case.shape[1], *case.shape.last().expect("width"));
    let mut run: Run = match case.kind.as_str() {
        "visual" => {
            let mut network = FrameEncoder::load(&onnx, options(threads)).expect("loads");
            assert_eq!((network.size(), network.dim()), (width, case.outputs[0].len()));
            Box::new(move |x, y| network.encode(x, y))
        }
        "temporal" => {
            let mut network = TemporalHeader::load(&onnx, rows, width, options(threads)).expect("loads");
            Box::new(move |x, y| network.apply(x, y))
        }
        "composer" => {
            let mut network = Composer::load(&onnx, rows, width, options(threads)).expect("loads");
            Box::new(move |x, y| network.compose(x, y))
        }
        other => panic!("unknown kind {other}"),
    };
    let input = |seed: &u64| pattern(case.shape.iter().product(), *seed);
    let mut output = |seed: &u64| {
        let mut out = vec![0.0; case.outputs[0].len()];
        run(&input(seed), &mut out).expect("runs");
        out
    };
    case.seeds.iter().map(&mut output).collect()
}

#[test]
fn networks_match_onnxruntime() {
    for case in cases() {
        for (output, golden) in outputs(&case, 1).iter().zip(&case.outputs) {
            let worst = difference(output, golden);
            println!("{} {:?}: worst difference {worst:e}", case.graph, case.shape);
            assert!(worst <= TOLERANCE, "{} {:?} differs by {worst}", case.graph, case.shape);
        }
    }
}

#[test]
fn two_threads_match_one() {
    for case in cases() {
        for (two, one) in outputs(&case, 2).iter().zip(outputs(&case, 1)) {
            let worst = difference(two, &one);
            assert!(worst <= 1e-5, "{} differs by {worst}", case.graph);
        }
    }
}

#[test]
fn goldens_distinguish_their_inputs() {
    for case in cases() {
        let [a, b] = case.outputs.as_slice() else { panic!("two inputs") };
        let apart = difference(a, b);
        assert!(apart > 10.0 * TOLERANCE, "{}: the two goldens are {apart} apart", case.graph);
    }
}

#[test]
fn networks_can_move_to_another_thread() {
    fn check<T: Send>() {}
    check::<FrameEncoder>();
    check::<TemporalHeader>();
    check::<Composer>();
}
