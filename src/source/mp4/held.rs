//! A picture copied out of the decoder, for the rare stream whose pictures come before their turn.

use super::decoder::Look;
use crate::source::{Picture, Pixels, Subsampling};

/// A copy of a 4:2:0 picture, rows without gaps.
pub(super) struct Held {
    width: u32,
    height: u32,
    planes: [Vec<u8>; 3],
}

impl Held {
    pub(super) fn copy(picture: &Picture<'_>) -> Self {
        let (width, height) = (picture.width, picture.height);
        let mut copied = [Vec::new(), Vec::new(), Vec::new()];
        if let Pixels::Yuv { planes, strides, .. } = picture.pixels {
            for (which, plane) in copied.iter_mut().enumerate() {
                let (w, h) = plane_size(width, height, which);
                planes[which]
                    .chunks(strides[which])
                    .take(h)
                    .for_each(|row| plane.extend_from_slice(&row[..w.min(row.len())]));
            }
        }
        Self { width, height, planes: copied }
    }

    pub(super) fn picture(&self, look: Look) -> Picture<'_> {
        let [y, u, v] = &self.planes;
        Picture {
            width: self.width,
            height: self.height,
            rotation: look.rotation,
            pixels: Pixels::Yuv {
                planes: [y, u, v],
                strides: [0, 1, 2].map(|which| plane_size(self.width, self.height, which).0),
                subsampling: Subsampling::S420,
                full_range: look.full_range,
                matrix: look.matrix,
            },
        }
    }
}

fn plane_size(width: u32, height: u32, which: usize) -> (usize, usize) {
    let (w, h) = (width as usize, height as usize);
    if which == 0 { (w, h) } else { (w.div_ceil(2), h.div_ceil(2)) }
}
