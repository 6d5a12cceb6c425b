//! Pictures for tests, and the difference between two of them.

use bike_edge::picture::{Matrix, Picture, PixelAspect, Pixels, Rect, Rotation, Subsampling};
use bike_edge::preprocess::{CropAt, Fit, PreprocessSpec, Preprocessor, RegionSpec};

/// CLIP's mean and standard deviation.
pub const MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
pub const STD: [f32; 3] = [0.26862954, 0.261_302_6, 0.275_777_1];

/// The input of a small encoder, so that tests are fast.
pub const SMALL: PreprocessSpec = PreprocessSpec { resize: 64, crop: 56, mean: MEAN, std: STD };

/// RGB pixels in rows without gaps.
#[derive(Clone)]
pub struct Rgb {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

/// The mean and the largest absolute difference of 8-bit values.
#[derive(Debug)]
pub struct Difference {
    pub mean: f64,
    pub max: u8,
}

pub fn difference(ours: &[u8], theirs: &[u8]) -> Difference {
    assert_eq!(ours.len(), theirs.len());
    let each = || ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    Difference { mean: each().map(f64::from).sum::<f64>() / ours.len() as f64, max: each().max().unwrap_or(0) }
}

/// Draws rings, tiles and stripes down to one pixel, like `formula` in tests/data/make_goldens_preprocess.py.
pub fn formula(width: u32, height: u32) -> Rgb {
    let pixel = |x: u32, y: u32| {
        let green = if (x / 7 + y / 5) & 1 == 1 { 255 } else { x * 3 };
        [x.wrapping_mul(x).wrapping_add(y.wrapping_mul(y)) >> 6, green, (x * 5) ^ (y * 3)].map(|value| value as u8)
    };
    let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Rgb { width, height, data }
}

impl Rgb {
    pub fn picture(&self, rotation: Rotation) -> Picture<'_> {
        let pixels = Pixels::Rgb { data: &self.data, stride: self.width as usize * 3 };
        Picture { width: self.width, height: self.height, rotation, aspect: PixelAspect::SQUARE, pixels }
    }

    /// Returns the picture rotated clockwise by 90 degrees.
    pub fn turned(&self) -> Self {
        let pixel = |x: u32, y: u32| &self.data[(y * self.width + x) as usize * 3..][..3];
        let rows = (0..self.width).flat_map(|y| (0..self.height).map(move |x| (y, self.height - 1 - x)));
        let data = rows.flat_map(|(x, y)| pixel(x, y).iter().copied()).collect();
        Self { width: self.height, height: self.width, data }
    }
}

/// Planar YUV in rows without gaps.
pub struct Yuv {
    pub width: u32,
    pub height: u32,
    pub subsampling: Subsampling,
    pub planes: [Vec<u8>; 3],
}

impl Yuv {
    /// Uses the three channels of [`formula`] as luma and chroma.
    pub fn formula(width: u32, height: u32, subsampling: Subsampling) -> Self {
        let (step_x, step_y) = match subsampling {
            Subsampling::S420 => (2, 2),
            Subsampling::S422 => (2, 1),
            Subsampling::S444 | Subsampling::Gray => (1, 1),
        };
        let channel = |w: u32, h: u32, c: usize| formula(w, h).data.chunks(3).map(|pixel| pixel[c]).collect();
        let (chroma_w, chroma_h) = (width.div_ceil(step_x), height.div_ceil(step_y));
        let chroma = |c| if subsampling == Subsampling::Gray { Vec::new() } else { channel(chroma_w, chroma_h, c) };
        Self { width, height, subsampling, planes: [channel(width, height, 0), chroma(1), chroma(2)] }
    }

    pub fn picture(&self) -> Picture<'_> {
        let planes = [&*self.planes[0], &*self.planes[1], &*self.planes[2]];
        let width = self.width as usize;
        let chroma = match self.subsampling {
            Subsampling::S420 | Subsampling::S422 => width.div_ceil(2),
            Subsampling::S444 | Subsampling::Gray => width,
        };
        let strides = [width, chroma, chroma];
        let pixels =
            Pixels::Yuv { planes, strides, subsampling: self.subsampling, full_range: false, matrix: Matrix::Bt601 };
        Picture {
            width: self.width,
            height: self.height,
            rotation: Rotation::None,
            aspect: PixelAspect::SQUARE,
            pixels,
        }
    }
}

/// Creates a preprocessor for a region.
pub fn preprocessor(spec: PreprocessSpec, fit: Fit, roi: Option<Rect>) -> bike_edge::Result<Preprocessor> {
    Preprocessor::new(spec, RegionSpec { fit, roi })
}

/// Returns one crop before normalising, `[S, S, 3]`.
pub fn crop(
    picture: &Picture<'_>,
    spec: PreprocessSpec,
    fit: Fit,
    roi: Option<Rect>,
    at: CropAt,
) -> bike_edge::Result<Vec<u8>> {
    let mut preprocessor = preprocessor(spec, fit, roi)?;
    let mut out = vec![0; 3 * preprocessor.side() * preprocessor.side()];
    preprocessor.run_rgb8(picture, at, &mut out)?;
    Ok(out)
}
