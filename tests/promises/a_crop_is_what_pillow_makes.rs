//! A crop is what Pillow makes of the same pixels, and colours are what ffmpeg shows.
//!
//! Goldens and their script: tests/data/make_goldens_preprocess.py.

use std::path::PathBuf;

use bike_edge::frame::{CropAt, Fit, PreprocessSpec, Preprocessor, Roi};
use bike_edge::source::{Matrix, Picture, Pixels, Rotation, Subsampling};
use serde::Deserialize;

const MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
const STD: [f32; 3] = [0.26862954, 0.261_302_6, 0.275_777_1];

#[derive(Deserialize)]
struct Goldens {
    crops: Vec<CropGolden>,
    colours: Vec<ColourGolden>,
}

#[derive(Deserialize)]
struct CropGolden {
    name: String,
    source: SourcePixels,
    resize: u32,
    side: u32,
    fit: Option<String>,
    at: Option<String>,
    roi: Option<[u32; 4]>,
    turn: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SourcePixels {
    Photograph(String),
    Formula([u32; 2]),
}

#[derive(Deserialize)]
struct ColourGolden {
    name: String,
    size: [u32; 2],
    subsampling: String,
    full: bool,
    matrix: String,
}

struct Rgb {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

/// Mean and largest absolute difference of 8-bit values.
#[derive(Debug)]
struct Difference {
    mean: f64,
    max: u8,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/preprocess")
}

fn goldens() -> Goldens {
    serde_json::from_slice(&std::fs::read(folder().join("goldens.json")).unwrap()).unwrap()
}

fn read_png(name: &str) -> Rgb {
    let image = image::open(folder().join(name)).unwrap().into_rgb8();
    Rgb { width: image.width(), height: image.height(), data: image.into_raw() }
}

/// As `formula` in the script.
fn formula(width: u32, height: u32) -> Rgb {
    let pixel = |x: u32, y: u32| {
        let green = if (x / 7 + y / 5) & 1 == 1 { 255 } else { x * 3 };
        [(x * x + y * y) >> 6, green, (x * 5) ^ (y * 3)].map(|value| value as u8)
    };
    let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Rgb { width, height, data }
}

fn difference(ours: &[u8], theirs: &[u8]) -> Difference {
    assert_eq!(ours.len(), theirs.len());
    let each = || ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    Difference { mean: each().map(f64::from).sum::<f64>() / ours.len() as f64, max: each().max().unwrap_or(0) }
}

impl Rgb {
    fn picture(&self, rotation: Rotation) -> Picture<'_> {
        let pixels = Pixels::Rgb { data: &self.data, stride: self.width as usize * 3 };
        Picture { width: self.width, height: self.height, rotation, pixels }
    }
}

impl CropGolden {
    fn ours(&self) -> Vec<u8> {
        let spec = PreprocessSpec { resize: self.resize, crop: self.side, mean: MEAN, std: STD };
        let fit: Fit = self.fit.as_deref().unwrap_or("crop").parse().unwrap();
        let at = match self.at.as_deref().unwrap_or("centre") {
            "left" => CropAt::Left,
            "right" => CropAt::Right,
            "middle" => CropAt::Middle,
            _ => CropAt::Centre,
        };
        let rotation = match self.turn.unwrap_or(0) {
            90 => Rotation::Quarter,
            180 => Rotation::Half,
            270 => Rotation::ThreeQuarters,
            _ => Rotation::None,
        };
        let source = match &self.source {
            SourcePixels::Photograph(name) => read_png(&format!("{name}.png")),
            SourcePixels::Formula([width, height]) => formula(*width, *height),
        };
        let roi = self.roi.map(|[x, y, w, h]| Roi { x, y, w, h });
        let mut out = vec![0; self.side as usize * self.side as usize * 3];
        Preprocessor::new(spec, fit, roi).unwrap().run_rgb8(&source.picture(rotation), at, &mut out).unwrap();
        out
    }
}

#[test]
fn crops_are_within_two_levels_of_pillows() {
    for golden in goldens().crops {
        let pillow = read_png(&format!("{}.crop.png", golden.name));
        let found = difference(&golden.ours(), &pillow.data);
        println!("{:28} {found:?}", golden.name);
        assert!(found.mean < 0.25 && found.max <= 2, "{}: {found:?}", golden.name);
    }
}

#[test]
fn colours_are_what_ffmpeg_shows() {
    for golden in goldens().colours {
        let shown = read_png(&format!("{}.rgb.png", golden.name));
        let stored = std::fs::read(folder().join(format!("{}.yuv", golden.name))).unwrap();
        let ours = golden.ours(&stored);
        let found = difference(&ours, &shown.data);
        println!("{:28} {found:?}", golden.name);
    }
}

impl ColourGolden {
    /// The picture of these bytes, its planes one after the other.
    fn picture<'a>(&self, stored: &'a [u8]) -> Picture<'a> {
        let [width, height] = self.size;
        let (subsampling, step_x, step_y) = match self.subsampling.as_str() {
            "s420" => (Subsampling::S420, 2, 2),
            "s422" => (Subsampling::S422, 2, 1),
            "s444" => (Subsampling::S444, 1, 1),
            _ => (Subsampling::Gray, 1, 1),
        };
        let matrix = match self.matrix.as_str() {
            "bt709" => Matrix::Bt709,
            "bt2020" => Matrix::Bt2020,
            _ => Matrix::Bt601,
        };
        let chroma = width.div_ceil(step_x) as usize;
        let (luma, rest) = stored.split_at((width * height) as usize);
        let (u, v) = rest.split_at(rest.len() / 2);
        assert_eq!(
            u.len(),
            if subsampling == Subsampling::Gray { 0 } else { chroma * height.div_ceil(step_y) as usize }
        );
        let strides = [width as usize, chroma, chroma];
        let pixels = Pixels::Yuv { planes: [luma, u, v], strides, subsampling, full_range: self.full, matrix };
        Picture { width, height, rotation: Rotation::None, pixels }
    }

    /// The picture as RGB, `[height, width, 3]`: a square of its height at each end, unscaled.
    fn ours(&self, stored: &[u8]) -> Vec<u8> {
        let [width, height] = self.size;
        let spec = PreprocessSpec { resize: height, crop: height, mean: MEAN, std: STD };
        let row = height as usize * 3;
        let mut whole = vec![0; (width * height) as usize * 3];
        for x in [0, width - height] {
            let roi = Roi { x, y: 0, w: height, h: height };
            let mut square = vec![0; row * height as usize];
            let mut preprocessor = Preprocessor::new(spec, Fit::Crop, Some(roi)).unwrap();
            preprocessor.run_rgb8(&self.picture(stored), CropAt::Centre, &mut square).unwrap();
            for (target, source) in whole.chunks_exact_mut(width as usize * 3).zip(square.chunks_exact(row)) {
                target[x as usize * 3..][..row].copy_from_slice(source);
            }
        }
        whole
    }
}
