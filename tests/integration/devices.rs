//! Frames are encoded on the requested device, and a GPU gives the embeddings of the CPU.

use bike_edge::bundle::{Bundle, BundleRef};
use bike_edge::encoder::{Compute, Device, EncoderOptions, FrameEncoder};

use crate::support::pattern;
use crate::support::skip::skip;

const GPUS: [Device; 2] = [Device::Cuda, Device::Metal];

/// Returns the embedding of one fixed crop.
fn embedding(bundle: &Bundle, device: Device) -> Vec<f32> {
    let mut encoder = bundle.load_visual(Compute { threads: 1, device }).expect("an encoder that loads");
    let mut out = vec![0.0; encoder.dim()];
    encoder.encode(&pattern(3 * encoder.size() * encoder.size(), 7), &mut out).expect("an embedding");
    out
}

#[test]
fn auto_without_a_gpu_gives_exactly_the_embeddings_of_the_cpu() {
    assert_eq!(Device::Auto.check(), Ok(()));
    assert_eq!(Device::Cpu.check(), Ok(()));
    let bundle = Bundle::open(&BundleRef::Embedded).expect("the embedded bundle");
    let (auto, cpu) = (embedding(&bundle, Device::Auto), embedding(&bundle, Device::Cpu));
    assert!(cpu.iter().any(|x| *x != 0.0));
    if GPUS.iter().any(|device| device.check().is_ok()) {
        // With a GPU `auto` may use it; how close it must be is the subject of another test.
        assert!(auto.iter().any(|x| *x != 0.0));
        return skip("this machine has a GPU");
    }
    let bits = |embedding: &[f32]| embedding.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&auto), bits(&cpu));
}

#[test]
fn a_missing_gpu_is_refused_with_a_remedy() {
    for device in GPUS {
        let Err(problem) = device.check() else { continue };
        assert!(problem.contains(device.name()) && problem.contains("device cpu"), "{problem}");
        let bundle = Bundle::open(&BundleRef::Embedded).expect("the embedded bundle");
        let refusal = bundle.load_visual(Compute { threads: 1, device }).err().expect("a refusal").to_string();
        assert!(refusal.contains("device cpu"), "{refusal}");
    }
}

/// Returns the embedding of a CLIP frame encoder in half precision, as the exporter writes it for GPUs
/// (tests/data/graphs/README.md).
fn embedding_in_half(device: Device) -> Vec<f32> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/graphs/clip_fp16.onnx");
    let onnx = std::fs::read(path).expect("a graph");
    let options = EncoderOptions { device, ..EncoderOptions::new(1, "test", "clip_fp16.onnx") };
    let mut encoder = FrameEncoder::load(&onnx, options).expect("an encoder that loads");
    let mut out = vec![0.0; encoder.dim()];
    encoder.encode(&pattern(3 * encoder.size() * encoder.size(), 7), &mut out).expect("an embedding");
    out
}

#[test]
fn a_gpu_gives_the_embeddings_of_the_cpu() {
    let bundle = Bundle::open(&BundleRef::Embedded).expect("the embedded bundle");
    let of_all = |device| [("f32", embedding(&bundle, device)), ("f16", embedding_in_half(device))];
    let cpu = of_all(Device::Cpu);
    if std::env::var_os("BIKE_EDGE_NEED_GPU").is_some() {
        let problems: Vec<String> = GPUS.iter().filter_map(|device| device.check().err()).collect();
        assert!(problems.len() < GPUS.len(), "no GPU to compare with: {}", problems.join("; "));
    }
    for device in GPUS {
        if let Err(problem) = device.check() {
            skip(&format!("device {}: {problem}", device.name()));
            continue;
        }
        for ((what, cpu), (_, gpu)) in cpu.iter().zip(of_all(device)) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
            let cosine = dot(cpu, &gpu) / (dot(cpu, cpu) * dot(&gpu, &gpu)).sqrt();
            println!("device={} {what} cosine={cosine:.6}", device.name());
            assert!(cosine >= 0.999, "{} {what}: {cosine}", device.name());
        }
    }
}
