//! After the first frame of a size, preprocessing allocates only the short lists of weights of the resize library, even
//! for a long and thin picture.

use bike_edge::picture::{Picture, Rotation, Subsampling};
use bike_edge::preprocess::{CropAt, Fit, PreprocessSpec};

use crate::support::allocations::{Allocations, count};
use crate::support::pictures::{MEAN, STD, Yuv, formula, preprocessor};

const CLIP: PreprocessSpec = PreprocessSpec { resize: 256, crop: 224, mean: MEAN, std: STD };

/// The allocations of the first and the second frame of a size.
fn first_and_second(picture: &Picture<'_>, fit: Fit) -> [Allocations; 2] {
    let mut preprocessor = preprocessor(CLIP, fit, None).unwrap();
    let mut out = vec![0.0; 3 * 224 * 224];
    [(); 2].map(|()| count(|| preprocessor.run(picture, CropAt::Centre, &mut out).unwrap()))
}

#[test]
fn a_second_frame_allocates_only_lists_of_weights() {
    let (yuv, rgb) = (Yuv::formula(1280, 720, Subsampling::S420), formula(1280, 720));
    for (picture, fit) in [
        (yuv.picture(), Fit::Crop),
        (yuv.picture(), Fit::Pad),
        (yuv.picture(), Fit::Stretch),
        (rgb.picture(Rotation::None), Fit::Crop),
        (rgb.picture(Rotation::Quarter), Fit::Crop),
    ] {
        let [first, second] = first_and_second(&picture, fit);
        assert!(first.largest > 100_000, "the counter works: {first:?}");
        // The largest list holds the weights of 224 outputs, 8 bytes each.
        assert!(second.largest < 50_000 && second.count < 1000, "{fit}: {second:?}");
    }
}

#[test]
fn a_long_thin_picture_is_not_resized_whole() {
    for (w, h) in [(1, 5000), (5000, 1), (2, 100_000), (100_000, 2)] {
        for fit in [Fit::Crop, Fit::Pad] {
            let [first, _] = first_and_second(&Yuv::formula(w, h, Subsampling::S420).picture(), fit);
            // The largest is the list of weights of 224 outputs, 8 bytes for each pixel that an output reads.
            assert!(first.largest < 4_000_000, "{w}x{h} {fit}: {first:?}");
        }
    }
}
