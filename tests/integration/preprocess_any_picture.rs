//! Pictures of any shape are accepted; inconsistent pictures and impossible requests are refused with a message.

use bike_edge::picture::{Matrix, Picture, PixelAspect, Pixels, Rect, Rotation, Subsampling};
use bike_edge::preprocess::{CropAt, Fit, PreprocessSpec};
use proptest::prelude::*;

use crate::support::pictures::{MEAN, Rgb, SMALL, STD, Yuv, crop, formula, preprocessor};

const FITS: [Fit; 3] = [Fit::Crop, Fit::Pad, Fit::Stretch];

fn any_subsampling() -> impl Strategy<Value = Subsampling> {
    prop_oneof![Just(Subsampling::S420), Just(Subsampling::S422), Just(Subsampling::S444), Just(Subsampling::Gray)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_size_is_accepted(w in 1..2000u32, h in 1..2000u32, short in 1..3u32, subsampling in any_subsampling()) {
        for (w, h) in [(w, h), (w, short), (short, h)] {
            let yuv = Yuv::formula(w, h, subsampling);
            for fit in FITS {
                let mut picture = yuv.picture();
                for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
                    picture.rotation = rotation;
                    prop_assert!(crop(&picture, SMALL, fit, None, CropAt::Centre).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_region_is_accepted_only_inside_the_picture(w in 1..60u32, h in 1..60u32, roi in prop::array::uniform4(0..70u32)) {
        let [x, y, roi_w, roi_h] = roi;
        let inside = roi_w > 0 && roi_h > 0 && x + roi_w <= w && y + roi_h <= h;
        let roi = Rect { x, y, w: roi_w, h: roi_h };
        let image = formula(w, h);
        let result = crop(&image.picture(Rotation::None), SMALL, Fit::Crop, Some(roi), CropAt::Centre);
        prop_assert_eq!(result.is_ok(), inside);
    }
}

#[test]
fn a_uniform_picture_stays_uniform() {
    for (w, h) in [(1, 5000), (5000, 1), (1, 1), (57, 3), (300, 200)] {
        let image = Rgb { width: w, height: h, data: [200, 100, 50].repeat((w * h) as usize) };
        for fit in [Fit::Crop, Fit::Stretch] {
            let ours = crop(&image.picture(Rotation::None), SMALL, fit, None, CropAt::Centre).unwrap();
            assert!(ours.chunks(3).all(|pixel| pixel == [200, 100, 50]), "{w}x{h} {fit}");
        }
    }
}

#[test]
fn borders_of_a_padded_picture_are_zero_and_the_rest_is_normalised() {
    let image = formula(100, 50);
    let mut preprocessor = preprocessor(SMALL, Fit::Pad, None).unwrap();
    let (mut values, mut levels) = (vec![9.0; 3 * 56 * 56], vec![9; 3 * 56 * 56]);
    preprocessor.run(&image.picture(Rotation::None), CropAt::Centre, &mut values).unwrap();
    preprocessor.run_rgb8(&image.picture(Rotation::None), CropAt::Centre, &mut levels).unwrap();
    for c in 0..3 {
        for y in 0..56 {
            for x in 0..56 {
                let (value, level) = (values[(c * 56 + y) * 56 + x], levels[(y * 56 + x) * 3 + c]);
                if (14..42).contains(&y) {
                    assert_eq!(value, (f32::from(level) / 255.0 - MEAN[c]) / STD[c]);
                } else {
                    assert_eq!((value, level), (0.0, (MEAN[c] * 255.0).round() as u8));
                }
            }
        }
    }
}

#[test]
fn gaps_between_rows_are_ignored() {
    let image = formula(90, 70);
    let plain = crop(&image.picture(Rotation::None), SMALL, Fit::Crop, None, CropAt::Centre).unwrap();
    let gaps: Vec<u8> = image.data.chunks(270).flat_map(|row| [row, &[77; 13]].concat()).collect();
    // The last row may lack its gap.
    for data in [&gaps[..], &gaps[..gaps.len() - 13]] {
        let pixels = Pixels::Rgb { data, stride: 283 };
        let picture = Picture { width: 90, height: 70, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels };
        assert_eq!(crop(&picture, SMALL, Fit::Crop, None, CropAt::Centre).unwrap(), plain);
    }
}

#[test]
fn a_picture_whose_planes_do_not_fit_its_size_is_refused() {
    let bytes = [0; 300];
    let rgb = |data, stride| Pixels::Rgb { data, stride };
    let yuv = |planes, strides, subsampling| Pixels::Yuv {
        planes,
        strides,
        subsampling,
        full_range: false,
        matrix: Matrix::Bt601,
    };
    let (luma, chroma, short, none): (&[u8], &[u8], &[u8], &[u8]) =
        (&bytes[..100], &bytes[..25], &bytes[..24], &bytes[..0]);
    let wrong = [
        (0, 10, rgb(&bytes, 30)),
        (10, 0, rgb(&bytes, 30)),
        (10, 11, rgb(&bytes, 30)),
        (10, 10, rgb(&bytes, 29)),
        (10, 10, rgb(&bytes, usize::MAX)),
        (10, 10, rgb(none, 0)),
        (u32::MAX, u32::MAX, rgb(&bytes, usize::MAX)),
        (10, 10, yuv([luma, chroma, short], [10, 5, 5], Subsampling::S420)),
        (10, 10, yuv([luma, short, chroma], [10, 5, 5], Subsampling::S420)),
        (10, 10, yuv([luma, chroma, chroma], [10, 4, 5], Subsampling::S420)),
        (10, 10, yuv([luma, chroma, chroma], [10, 5, 5], Subsampling::S422)),
        (10, 10, yuv([luma, luma, chroma], [10, 10, 10], Subsampling::S444)),
        (10, 10, yuv([luma, none, none], [11, 0, 0], Subsampling::Gray)),
        (10, 10, yuv([luma, none, none], [0, 0, 0], Subsampling::Gray)),
    ];
    for (width, height, pixels) in wrong {
        let picture = Picture { width, height, rotation: Rotation::None, aspect: PixelAspect::SQUARE, pixels };
        let problem = crop(&picture, SMALL, Fit::Crop, None, CropAt::Centre).unwrap_err().to_string();
        assert!(problem.contains("picture"), "{problem}");
    }
}

#[test]
fn impossible_regions_and_crops_are_refused_with_a_remedy() {
    let image = formula(320, 240);
    let picture = image.picture(Rotation::Quarter);
    let problem = |fit, roi, at| crop(&picture, SMALL, fit, roi, at).unwrap_err().to_string();
    let roi = Rect { x: 200, y: 0, w: 100, h: 100 };
    let outside = problem(Fit::Crop, Some(roi), CropAt::Centre);
    assert!(outside.starts_with("roi: ") && outside.contains("200,0,100,100"), "{outside}");
    for words in ["240x320", "x + w may be at most 240", "y + h at most 320"] {
        assert!(outside.contains(words), "{outside}");
    }
    let beyond = Rect { x: u32::MAX, y: 0, w: u32::MAX, h: 1 };
    assert!(problem(Fit::Stretch, Some(beyond), CropAt::Centre).contains("240x320"));
    for at in CropAt::THREE {
        assert_eq!(problem(Fit::Pad, None, at), "fit: pad allows only one crop; use crop for three crops");
    }
    for (text, expected) in
        [("1,2,3", "four whole numbers"), ("1,2,3,4,5", "four"), ("-1,0,3,4", "four"), ("0,0,0,9", "empty")]
    {
        assert!(text.parse::<Rect>().unwrap_err().to_string().contains(expected));
    }
    assert_eq!(" 1, 2,3 ,4".parse::<Rect>().unwrap(), Rect { x: 1, y: 2, w: 3, h: 4 });
    assert!("crops".parse::<Fit>().unwrap_err().to_string().contains("crop, pad or stretch"));
}

#[test]
fn a_bad_preprocess_spec_is_refused_by_field() {
    let wrong = [
        (PreprocessSpec { crop: 0, ..SMALL }, "preprocess.crop"),
        (PreprocessSpec { crop: 65, ..SMALL }, "preprocess.resize 64 is smaller than preprocess.crop 65"),
        (PreprocessSpec { resize: 100_000, ..SMALL }, "preprocess.resize"),
        (PreprocessSpec { mean: [0.0, f32::NAN, 0.0], ..SMALL }, "preprocess.mean"),
        (PreprocessSpec { std: [0.2, 0.2, 0.0], ..SMALL }, "preprocess.std"),
    ];
    for (spec, field) in wrong {
        assert!(spec.check().unwrap_err().contains(field));
        assert!(preprocessor(spec, Fit::Crop, None).is_err());
    }
    assert!(SMALL.check().is_ok());
}

#[test]
fn an_output_of_another_size_is_refused() {
    let image = formula(64, 64);
    let mut preprocessor = preprocessor(SMALL, Fit::Crop, None).unwrap();
    let mut short = vec![0.0; 3 * 56 * 56 - 1];
    assert!(preprocessor.run(&image.picture(Rotation::None), CropAt::Centre, &mut short).is_err());
}
