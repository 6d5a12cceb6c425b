//! The time that a frame takes before it is encoded.
//!
//!     cargo bench --bench preprocess

use bike_edge::picture::{Matrix, Picture, PixelAspect, Pixels, Rotation, Subsampling};
use bike_edge::pipeline::{Gate, GateSpec};
use bike_edge::preprocess::{CropAt, LumaGrid, PreprocessSpec, Preprocessor, RegionSpec};
use divan::{Bencher, black_box};

const SPEC: PreprocessSpec = PreprocessSpec {
    resize: 256,
    crop: 224,
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.261_302_6, 0.275_777_1],
};

/// Width and height of the pictures.
const SIZES: [(u32, u32); 4] = [(1920, 1080), (1280, 720), (640, 360), (176, 144)];

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES)]
fn rgb(bencher: Bencher, (width, height): (u32, u32)) {
    let data = noise(width as usize * height as usize * 3);
    bench(bencher, width, height, Pixels::Rgb { data: &data, stride: width as usize * 3 });
}

#[divan::bench(args = SIZES)]
fn yuv420(bencher: Bencher, (width, height): (u32, u32)) {
    let (luma, chroma) = (width as usize, width as usize / 2);
    let rows = height as usize;
    let planes = [noise(luma * rows), noise(chroma * rows / 2), noise(chroma * rows / 2)];
    let pixels = Pixels::Yuv {
        planes: [&planes[0], &planes[1], &planes[2]],
        strides: [luma, chroma, chroma],
        subsampling: Subsampling::S420,
        full_range: false,
        matrix: Matrix::Bt601,
    };
    bench(bencher, width, height, pixels);
}

/// The time that the gate takes per frame.
#[divan::bench(args = SIZES)]
fn gate(bencher: Bencher, (width, height): (u32, u32)) {
    let luma = noise(width as usize * height as usize);
    let pixels = Pixels::Yuv {
        planes: [&luma, &[], &[]],
        strides: [width as usize, 0, 0],
        subsampling: Subsampling::Gray,
        full_range: false,
        matrix: Matrix::Bt601,
    };
    let picture = Picture { width, height, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels };
    let preprocessor = Preprocessor::new(SPEC, RegionSpec::default()).expect("a valid spec");
    let (mut gate, mut grid, mut time) = (Gate::new(GateSpec::default()), LumaGrid::default(), 0.0);
    bencher.bench_local(|| {
        preprocessor.luma(black_box(&picture), &mut grid).expect("a valid picture");
        time += 0.5;
        gate.decide(&grid, time)
    });
}

fn bench(bencher: Bencher, width: u32, height: u32, pixels: Pixels<'_>) {
    let picture = Picture { width, height, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels };
    let mut preprocessor = Preprocessor::new(SPEC, RegionSpec::default()).expect("a valid spec");
    let mut out = vec![0.0; 3 * preprocessor.side() * preprocessor.side()];
    bencher.bench_local(|| preprocessor.run(black_box(&picture), CropAt::Centre, &mut out).expect("a valid picture"));
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
