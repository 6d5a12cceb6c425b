//! A picture kept for longer than its decoder keeps it.

use crate::source::{Matrix, Picture, Pixels, Rotation, Subsampling};

/// A copy of a picture.
#[derive(Clone, Debug)]
pub(super) struct Held {
    width: u32,
    height: u32,
    rotation: Rotation,
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    Rgb { data: Vec<u8>, stride: usize },
    Yuv { planes: [Vec<u8>; 3], strides: [usize; 3], subsampling: Subsampling, full_range: bool, matrix: Matrix },
}

impl Held {
    pub fn new(picture: &Picture<'_>) -> Self {
        let storage = match picture.pixels {
            Pixels::Rgb { data, stride } => Storage::Rgb { data: data.to_vec(), stride },
            Pixels::Yuv { planes, strides, subsampling, full_range, matrix } => {
                Storage::Yuv { planes: planes.map(<[u8]>::to_vec), strides, subsampling, full_range, matrix }
            }
        };
        Self { width: picture.width, height: picture.height, rotation: picture.rotation, storage }
    }

    pub fn picture(&self) -> Picture<'_> {
        let pixels = match &self.storage {
            Storage::Rgb { data, stride } => Pixels::Rgb { data, stride: *stride },
            Storage::Yuv { planes, strides, subsampling, full_range, matrix } => Pixels::Yuv {
                planes: planes.each_ref().map(Vec::as_slice),
                strides: *strides,
                subsampling: *subsampling,
                full_range: *full_range,
                matrix: *matrix,
            },
        };
        Picture { width: self.width, height: self.height, rotation: self.rotation, pixels }
    }

    /// The same with a camera's noise: each brightness moved by at most `levels`, differently for each `seed`.
    pub fn with_noise(&self, levels: u8, seed: u64) -> Self {
        let mut noisy = self.clone();
        let luma = match &mut noisy.storage {
            Storage::Rgb { data, .. } => data,
            Storage::Yuv { planes, .. } => &mut planes[0],
        };
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let steps = u64::from(levels) + 1;
        for byte in luma {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The difference of two even chances: small moves are likelier than large ones.
            let (up, down) = ((((state >> 32) & 0xffff) * steps) >> 16, ((state >> 48) * steps) >> 16);
            *byte = byte.saturating_add(up as u8).saturating_sub(down as u8);
        }
        noisy
    }
}
