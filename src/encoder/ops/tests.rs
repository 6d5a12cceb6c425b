//! Compares whole networks with onnxruntime, convolutions and attention with tract, and the chosen int8 kernel with the
//! portable one.

use sha2::{Digest, Sha256};
use tract_core::ops::cnn::conv::{Conv, KernelFormat};
use tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_core::ops::math;
use tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::internal::*;

use super::*;
use crate::encoder::cpu::choice::{Precision, kernel_named, supported_kernels};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/vit/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    file(name).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Returns the output of `model` for `x`.
fn run(model: TypedModel, x: &[f32]) -> Vec<f32> {
    let shape = model.input_fact(0).unwrap().shape.as_concrete().unwrap().to_vec();
    let x = Tensor::from_shape(&shape, x).unwrap();
    let y = model.into_optimized().unwrap().into_runnable().unwrap().run(tvec!(x.into_tvalue())).unwrap();
    y[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
}

/// Returns what was replaced in an int8 network of tests/data/vit, and its output for the test input.
fn output(name: &str, cpu: &Arc<CpuContext>, pruning: Pruning) -> (Report, Vec<f32>) {
    let onnx = file(&format!("{name}.int8.onnx"));
    let mut model = parser().model_for_read(&mut &*onnx).unwrap().into_typed().unwrap();
    let report = rewrite(&mut model, cpu, pruning, InFileWeights::default()).unwrap();
    (report, run(model, &floats(&format!("{name}.input.f32"))))
}

#[test]
fn every_kernel_gives_the_output_of_onnxruntime() {
    let everything = [
        ("tiny", Report { linears: 9, attentions: 2, norms: 6, patch_embeddings: 1, ..Report::default() }),
        ("tiny-header", Report { linears: 8, attentions: 2, norms: 4, ..Report::default() }),
        ("tiny-gelu", Report { linears: 9, attentions: 2, norms: 6, patch_embeddings: 1, ..Report::default() }),
        // Pointwise convolutions are linear layers, and no axes are moved between them and the other convolutions.
        ("tiny-mobile", Report { linears: 6, convolutions: 3, ..Report::default() }),
    ];
    for (name, expected) in everything {
        let (golden, exact) = (floats(&format!("{name}.int8.f32")), floats(&format!("{name}.fp32.f32")));
        for kernel in supported_kernels() {
            for (threads, precision) in [(1, Precision::Full), (3, Precision::Full), (3, Precision::Fast)] {
                let cpu = Arc::new(CpuContext::new(threads, Some(kernel), precision).unwrap());
                let least = if cpu.bf16.is_some() { 0.9995 } else { 0.9998 };
                let (report, found) = output(name, &cpu, Pruning::Off);
                assert_eq!(report, expected, "{name}");
                assert!(cosine(&found, &golden) >= least, "{name} {kernel:?}: {}", cosine(&found, &golden));
                assert!(cosine(&found, &exact) >= cosine(&golden, &exact) - 2e-4, "{name} {kernel:?}");
            }
        }
    }
}

#[test]
fn pruning_computes_one_row_and_hardly_changes_the_output() {
    let cpu = Arc::new(CpuContext::new(1, None, Precision::Full).unwrap());
    let (report, found) = output("tiny", &cpu, Pruning::On);
    // Attention, projection, norm and two layers of the last block.
    assert_eq!(report.pruned, 5);
    assert!(cosine(&found, &floats("tiny.int8.f32")) >= 0.9995);
    // Nothing is pruned if every row is an output.
    assert_eq!(output("tiny-header", &cpu, Pruning::On).0.pruned, 0);
}

#[test]
fn causal_attention_gives_the_output_of_tract() {
    let onnx = std::fs::read(format!("{}/tests/data/text/tower/text.onnx", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let tokens: Vec<i64> = (0..77).map(|i| (i * 31) % 578).collect();
    let output = |model: TypedModel| {
        let x = Tensor::from_shape(&[1, 77], &tokens).unwrap();
        let y = model.into_optimized().unwrap().into_runnable().unwrap().run(tvec!(x.into_tvalue())).unwrap();
        y[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
    };
    let model = || parser().model_for_read(&mut &*onnx).unwrap().into_typed().unwrap();
    let expected = output(model());
    for kernel in supported_kernels() {
        let cpu = Arc::new(CpuContext::new(3, Some(kernel), Precision::Full).unwrap());
        let mut ours = model();
        let report = rewrite(&mut ours, &cpu, Pruning::On, InFileWeights::default()).unwrap();
        assert_eq!((report.attentions, report.norms), (1, 3));
        let found = output(ours);
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{kernel:?}: {worst}");
    }
}

#[test]
fn other_masks_are_left_to_tract() {
    use tract_core::ops::nn::{Softmax, SoftmaxKind};
    for (name, hidden, past) in [("causal", -1e4, 0.0), ("weak", -50.0, 0.0), ("biased", -1e4, 0.5)] {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([1, 5, 64])).unwrap();
        let mask = Tensor::from_shape(
            &[1, 5, 5],
            &(0..25).map(|i| if i % 5 > i / 5 { hidden } else { past }).collect::<Vec<f32>>(),
        );
        let mask = model.add_const("mask", mask.unwrap()).unwrap();
        let einsum =
            |expression: &str| tract_core::ops::einsum::EinSum::new(expression.parse().unwrap(), f32::datum_type());
        let scores = model.wire_node("scores", einsum("bqd,bkd->bqk"), &[x, x]).unwrap();
        let masked = model.wire_node("masked", math::add(), &[scores[0], mask]).unwrap();
        let softmax = Softmax { axes: tvec!(2), quant_output_dt: None, kind: SoftmaxKind::Softmax };
        let weights = model.wire_node("softmax", softmax, &masked).unwrap();
        let mixed = model.wire_node("mixed", einsum("bqk,bkd->bqd"), &[weights[0], x]).unwrap();
        model.select_output_outlets(&mixed).unwrap();
        let numbers = noise(5 * 64);
        let expected = run(model.clone(), &numbers);
        let cpu = Arc::new(CpuContext::new(1, None, Precision::Full).unwrap());
        let report = rewrite(&mut model, &cpu, Pruning::On, InFileWeights::default()).unwrap();
        assert_eq!(report.attentions, usize::from(name == "causal"), "{name}");
        for (a, b) in run(model, &numbers).iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{name}");
        }
    }
}

/// Returns pseudo-random numbers.
fn noise(n: usize) -> Vec<f32> {
    let mut state = n as u32 | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A convolution to test.
struct Layer {
    channels: [usize; 2],
    group: usize,
    kernel: usize,
    stride: usize,
    before: usize,
    after: usize,
    residual: bool,
}

/// Returns a model of a convolution, a clamp to 0..0.75 and perhaps an addition of the input, on `[1, C, 9, 11]`.
fn network(l: &Layer) -> TypedModel {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([1, l.channels[0], 9, 11])).unwrap();
    let shape = [l.channels[1], l.channels[0] / l.group, l.kernel, l.kernel];
    let weights = Tensor::from_shape(&shape, &noise(shape.iter().product())).unwrap();
    let weights = model.add_const("weights", weights).unwrap();
    let bias = model.add_const("bias", tensor1(&noise(l.channels[1]))).unwrap();
    let pool_spec = PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec!(l.kernel; 2),
        padding: PaddingSpec::Explicit(tvec!(l.before; 2), tvec!(l.after; 2)),
        dilations: None,
        strides: Some(tvec!(l.stride; 2)),
        input_channels: l.channels[0],
        output_channels: l.channels[1],
    };
    let conv = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: l.group, q_params: None };
    let y = model.wire_node("conv", conv, &[x, weights, bias]).unwrap()[0];
    let scalar = |x: f32| Tensor::from_shape(&[1, 1, 1, 1], &[x]).unwrap();
    let low = model.add_const("low", scalar(0.0)).unwrap();
    let high = model.add_const("high", scalar(0.75)).unwrap();
    let y = model.wire_node("max", math::max(), &[y, low]).unwrap()[0];
    let mut y = model.wire_node("min", math::min(), &[y, high]).unwrap()[0];
    if l.residual {
        y = model.wire_node("add", math::add(), &[y, x]).unwrap()[0];
    }
    model.select_output_outlets(&[y]).unwrap();
    model
}

#[test]
fn convolutions_give_the_output_of_tract() {
    let plain = Layer { channels: [16, 24], group: 1, kernel: 1, stride: 1, before: 0, after: 0, residual: false };
    let depthwise = Layer { channels: [16; 2], group: 16, kernel: 3, before: 1, after: 1, ..plain };
    let layers = [
        Layer { channels: [5, 70], ..plain },
        Layer { channels: [16; 2], residual: true, ..plain },
        Layer { channels: [3, 16], kernel: 3, stride: 2, after: 1, ..plain },
        Layer { channels: [8; 2], group: 8, ..depthwise },
        Layer { channels: [12; 2], group: 12, stride: 2, before: 0, ..depthwise },
        Layer { kernel: 5, stride: 2, after: 2, ..depthwise },
        Layer { kernel: 5, before: 2, after: 2, ..depthwise },
        depthwise,
        plain,
    ];
    for layer in layers {
        let x = noise(layer.channels[0] * 99);
        let expected = run(network(&layer), &x);
        for kernel in supported_kernels() {
            for threads in [1, 3] {
                let cpu = Arc::new(CpuContext::new(threads, Some(kernel), Precision::Full).unwrap());
                let mut model = network(&layer);
                assert_eq!(rewrite(&mut model, &cpu, Pruning::On, InFileWeights::default()).unwrap().convolutions, 1);
                let found = run(model, &x);
                assert_eq!(found.len(), expected.len());
                let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-5, "kernel {} of {} channels: {worst}", layer.kernel, layer.channels[0]);
            }
        }
    }
}

/// The environment variable with the kernel that must be chosen; if it is not set, any kernel may be.
const EXPECTED: &str = "BIKE_EDGE_EXPECTED_KERNEL";

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints what `make test-arm` reads from the test program on an emulated processor: the kernel that was chosen there
/// and proof that this program computed the result.
#[test]
fn the_chosen_kernel_equals_the_portable_one_bit_for_bit() {
    let chosen = Arc::new(CpuContext::new(1, None, Precision::Full).unwrap());
    let name = chosen.kernel.name();
    if let Ok(expected) = std::env::var(EXPECTED) {
        assert_eq!(name, expected, "{EXPECTED} is not the kernel that was chosen");
    }
    let (report, found) = output("tiny", &chosen, Pruning::Off);
    let linears = Report { linears: 9, ..report };
    assert_eq!(report, linears, "not every linear layer was computed by the kernel");
    let similarity = cosine(&found, &floats("tiny.int8.f32"));
    assert!(similarity >= 0.9998, "kernel {name}: cosine {similarity} with onnxruntime");
    // The same f32 instructions around another int8 kernel: nothing may differ.
    let portable = kernel_named("portable").unwrap();
    let portable = CpuContext { kernel: portable, ..CpuContext::new(1, None, Precision::Full).unwrap() };
    assert_eq!(output("tiny", &Arc::new(portable), Pruning::Off).1, found, "kernel {name}");

    let bytes: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()).collect();
    println!("kernel={name} linears={} cosine={similarity:.7} answer-sha256={} ok", report.linears, hex(&bytes));
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    println!("binary-sha256={}", hex(&program));
    println!("nonce={}", std::env::var("NONCE").unwrap_or_default());
}
