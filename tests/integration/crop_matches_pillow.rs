//! Crops match those of Pillow, and colours match those of ffmpeg.
//!
//! Goldens and their script: tests/data/make_goldens_preprocess.py.

use std::path::PathBuf;

use bike_edge::picture::{Matrix, Picture, PixelAspect, Pixels, Rect, Rotation, Subsampling};
use bike_edge::preprocess::{CropAt, Fit, PreprocessSpec};
use serde::Deserialize;

use crate::support::pictures::{Difference, MEAN, Rgb, STD, crop, difference, formula};

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
        let roi = self.roi.map(|[x, y, w, h]| Rect { x, y, w, h });
        crop(&source.picture(rotation), spec, fit, roi, at).unwrap()
    }
}

#[test]
fn crops_match_pillow_within_rounding() {
    for golden in goldens().crops {
        let pillow = read_png(&format!("{}.crop.png", golden.name));
        let found = difference(&golden.ours(), &pillow.data);
        println!("{:28} {found:?}", golden.name);
        // The requirement is a mean below 1 and at most 3.
        assert!(found.mean < 0.06 && found.max <= 2, "{}: {found:?}", golden.name);
    }
}

#[test]
fn colours_match_ffmpeg() {
    for golden in goldens().colours {
        let shown = read_png(&format!("{}.rgb.png", golden.name));
        let stored = std::fs::read(folder().join(format!("{}.yuv", golden.name))).unwrap();
        let found = difference(&golden.ours(&stored), &shown.data);
        println!("{:28} {found:?}", golden.name);
        let exact = matches!(found, Difference { max: 0, .. });
        match golden.name.as_str() {
            // ffmpeg interpolates the chroma of an odd number of rows, which shows at the edges of saturated bars.
            "s420_odd" => assert!(found.mean < 5.0, "{found:?}"),
            "s444" => assert!(found.mean < 0.01 && found.max <= 1, "{found:?}"),
            name => assert!(exact, "{name}: {found:?}"),
        }
    }
}

impl ColourGolden {
    /// The picture of these bytes, which contain its planes one after the other.
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
        Picture { width, height, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels }
    }

    /// The picture as RGB, `[height, width, 3]`: a square of its height at each end, unscaled.
    fn ours(&self, stored: &[u8]) -> Vec<u8> {
        let [width, height] = self.size;
        let spec = PreprocessSpec { resize: height, crop: height, mean: MEAN, std: STD };
        let row = height as usize * 3;
        let mut whole = vec![0; (width * height) as usize * 3];
        for x in [0, width - height] {
            let roi = Rect { x, y: 0, w: height, h: height };
            let square = crop(&self.picture(stored), spec, Fit::Crop, Some(roi), CropAt::Centre).unwrap();
            for (target, source) in whole.chunks_exact_mut(width as usize * 3).zip(square.chunks_exact(row)) {
                target[x as usize * 3..][..row].copy_from_slice(source);
            }
        }
        whole
    }
}
