//! Frames are encoded where it is asked for, and a GPU gives the CPU's embeddings.

use bike_edge::bundle::{Bundle, BundleRef};
use bike_edge::encoder::{Compute, Device, EncoderOptions, FrameEncoder};

use super::support::pattern;

const GPUS: [Device; 2] = [Device::Cuda, Device::Metal];

/// The embedding of one crop that is always the same.
fn embedding(bundle: &Bundle, device: Device) -> Vec<f32> {
    let mut encoder = bundle.load_visual(Compute { threads: 1, device }).expect("an encoder that loads");
    let mut out = vec![0.0; encoder.dim()];
    encoder.encode(&pattern(3 * encoder.size() * encoder.size(), 7), &mut out).expect("an embedding");
    out
}

#[test]
fn auto_finds_a_device_everywhere() {
    let bundle = Bundle::open(&BundleRef::Embedded).expect("the bundle inside");
    assert!(embedding(&bundle, Device::Auto).iter().any(|x| *x != 0.0));
    assert_eq!(Device::Auto.check(), Ok(()));
    assert_eq!(Device::Cpu.check(), Ok(()));
}

#[test]
fn a_gpu_that_is_not_there_is_refused_with_the_remedy() {
    for device in GPUS {
        let Err(problem) = device.check() else { continue };
        assert!(problem.contains(device.name()) && problem.contains("--device cpu"), "{problem}");
        let bundle = Bundle::open(&BundleRef::Embedded).expect("the bundle inside");
        let refusal = bundle.load_visual(Compute { threads: 1, device }).err().expect("a refusal").to_string();
        assert!(refusal.contains("--device cpu"), "{refusal}");
    }
}

/// The same of a CLIP's frame encoder as the exporter writes it for GPUs: tests/data/graphs/README.md.
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
fn a_gpu_gives_the_cpus_embeddings() {
    let bundle = Bundle::open(&BundleRef::Embedded).expect("the bundle inside");
    let of_all = |device| [("f32", embedding(&bundle, device)), ("f16", embedding_in_half(device))];
    let cpu = of_all(Device::Cpu);
    if std::env::var_os("BIKE_EDGE_NEED_GPU").is_some() {
        let problems: Vec<String> = GPUS.iter().filter_map(|device| device.check().err()).collect();
        assert!(problems.len() < GPUS.len(), "no GPU to compare with: {}", problems.join("; "));
    }
    for device in GPUS {
        if let Err(problem) = device.check() {
            println!("device={} skipped: {problem}", device.name());
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
