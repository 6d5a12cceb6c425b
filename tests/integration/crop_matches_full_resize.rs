//! A crop equals a resize of the whole picture followed by a crop, though only the part in the crop is computed.

use bike_edge::picture::{Rect, Rotation, Subsampling};
use bike_edge::preprocess::{CropAt, Fit, PreprocessSpec};
use proptest::prelude::*;

use crate::support::pictures::{Rgb, SMALL, Yuv, crop, difference, formula};

/// Resizes rows to `length` like Pillow, but in floating point (what its src/libImaging/Resample.c computes).
fn resize_rows(image: &Rgb, length: u32) -> Rgb {
    let scale = f64::from(image.width) / f64::from(length);
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let mut out = Rgb { width: length, height: image.height, data: Vec::new() };
    for row in image.data.chunks(image.width as usize * 3) {
        for x in 0..length {
            let centre = (f64::from(x) + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(image.width as usize);
            let weights: Vec<f64> = (first..last).map(|i| cubic((i as f64 - centre + 0.5) / stretch)).collect();
            let total: f64 = weights.iter().sum();
            for c in 0..3 {
                let sum: f64 = weights.iter().zip(first..).map(|(w, i)| w * f64::from(row[i * 3 + c])).sum();
                out.data.push((sum / total).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    out
}

fn cubic(x: f64) -> f64 {
    let x = x.abs();
    match x {
        _ if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        _ if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// Resizes rows first, like Pillow.
fn resize(image: &Rgb, width: u32, height: u32) -> Rgb {
    let rows_done = resize_rows(image, width);
    resize_rows(&rows_done.turned(), height).turned().turned().turned()
}

fn cut(image: &Rgb, roi: Rect) -> Rgb {
    let rows = image.data.chunks(image.width as usize * 3).skip(roi.y as usize).take(roi.h as usize);
    let data = rows.flat_map(|row| &row[roi.x as usize * 3..][..roi.w as usize * 3]).copied().collect();
    Rgb { width: roi.w, height: roi.h, data }
}

/// Resizes the shorter side to 64, then crops 56x56.
fn resize_then_crop(image: &Rgb, at: CropAt) -> Rgb {
    let (w, h) = (image.width, image.height);
    let (w, h) = if w <= h { (64, 64 * h / w) } else { (64 * w / h, 64) };
    let half = |spare: u32| (f64::from(spare) / 2.0).round_ties_even() as u32;
    let (quarter, y) = ((w - 56) / 4, 2 * ((h - 56) / 4));
    let (x, y) = match at {
        CropAt::Centre => (half(w - 56), half(h - 56)),
        CropAt::Left => (0, y),
        CropAt::Middle => (2 * quarter, y),
        CropAt::Right => (4 * quarter, y),
    };
    cut(&resize(image, w, h), Rect { x, y, w: 56, h: 56 })
}

fn side() -> impl Strategy<Value = u32> {
    prop_oneof![1..20u32, 20..200u32]
}

fn any_crop() -> impl Strategy<Value = CropAt> {
    prop_oneof![Just(CropAt::Centre), Just(CropAt::Left), Just(CropAt::Middle), Just(CropAt::Right)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crop_matches_for_any_size_and_region(w in side(), h in side(), at in any_crop(), parts in prop::array::uniform4(0.0..1.0f64)) {
        let [x, y, roi_w, roi_h] = parts;
        let part = |fraction: f64, of: u32| (fraction * f64::from(of)) as u32;
        let (x, y) = (part(x, w), part(y, h));
        let roi = Rect { x, y, w: part(roi_w, w - x).max(1), h: part(roi_h, h - y).max(1) };
        let image = formula(w, h);
        let ours = crop(&image.picture(Rotation::None), SMALL, Fit::Crop, Some(roi), at).unwrap();
        let found = difference(&ours, &resize_then_crop(&cut(&image, roi), at).data);
        prop_assert!(found.mean < 0.1 && found.max <= 2, "{w}x{h} {roi} {at:?}: {found:?}");
    }

    #[test]
    fn a_crop_matches_for_any_rotation(w in side(), h in side(), at in any_crop()) {
        let mut image = formula(w, h);
        let upright = crop(&image.picture(Rotation::None), SMALL, Fit::Crop, None, at).unwrap();
        for rotation in [Rotation::ThreeQuarters, Rotation::Half, Rotation::Quarter] {
            // Another turn by 90 degrees, which the rotation undoes.
            image = image.turned();
            let ours = crop(&image.picture(rotation), SMALL, Fit::Crop, None, at).unwrap();
            let found = difference(&ours, &upright);
            prop_assert!(found.max <= 1, "{w}x{h} {rotation:?} {at:?}: {found:?}");
        }
    }

    #[test]
    fn a_region_of_the_whole_picture_changes_nothing(w in side(), h in side(), at in any_crop()) {
        let image = formula(w, h);
        let picture = image.picture(Rotation::None);
        let whole = Rect { x: 0, y: 0, w, h };
        prop_assert_eq!(
            crop(&picture, SMALL, Fit::Crop, Some(whole), at).unwrap(),
            crop(&picture, SMALL, Fit::Crop, None, at).unwrap()
        );
    }

    #[test]
    fn colours_do_not_depend_on_the_position_of_the_crop(side in 1..100u32, x in 0..50u32, y in 0..50u32) {
        let unscaled = |side| PreprocessSpec { resize: side, crop: side, ..SMALL };
        let all = x.max(y) + side;
        for subsampling in [Subsampling::S420, Subsampling::S422, Subsampling::S444, Subsampling::Gray] {
            let yuv = Yuv::formula(all, all, subsampling);
            let whole = crop(&yuv.picture(), unscaled(all), Fit::Crop, None, CropAt::Centre).unwrap();
            let whole = Rgb { width: all, height: all, data: whole };
            let roi = Rect { x, y, w: side, h: side };
            let part = crop(&yuv.picture(), unscaled(side), Fit::Crop, Some(roi), CropAt::Centre).unwrap();
            prop_assert_eq!(&part, &cut(&whole, roi).data, "{:?}", subsampling);
        }
    }
}
