//! The gate skips frames that show nothing new, and no others.

use bike_edge::events::EventSpec;
use bike_edge::picture::{Matrix, Picture, PixelAspect, Pixels, Rect, Rotation, Subsampling};
use bike_edge::pipeline::{
    Engine, Gate, GateCounts, GateDecision, GateOutput, GateSpec, ModelSpec, Session, SessionSpec, Visibility,
};
use bike_edge::preprocess::{Fit, LumaGrid, PreprocessSpec};
use bike_edge::source::Frame;

use crate::support::allocations::count;
use crate::support::pictures::{MEAN, Rgb, STD, Yuv, formula, preprocessor};

const VIEW: PreprocessSpec = PreprocessSpec { resize: 224, crop: 224, mean: MEAN, std: STD };

fn grid(picture: &Picture<'_>) -> LumaGrid {
    let mut grid = LumaGrid::default();
    preprocessor(VIEW, Fit::Crop, None).expect("a spec").luma(picture, &mut grid).expect("a picture");
    grid
}

fn rgb(shade: impl Fn(u32, u32) -> u8) -> Rgb {
    let (width, height) = (640, 360);
    let data = (0..height)
        .flat_map(|y| {
            (0..width).flat_map({
                let shade = &shade;
                move |x| [shade(x, y); 3]
            })
        })
        .collect();
    Rgb { width, height, data }
}

/// A scene with shades from dark to bright.
fn room(x: u32, y: u32) -> u8 {
    (40 + (x / 4 + y / 3) % 180) as u8
}

fn decide(gate: &mut Gate, picture: &Rgb, time: f64) -> GateDecision {
    gate.decide(&grid(&picture.picture(Rotation::None)), time).decision
}

#[test]
fn noise_is_skipped_and_a_moving_hand_is_encoded() {
    let mut gate = Gate::new(GateSpec { refresh_s: 100.0, ..GateSpec::default() });
    let noise = |seed: u32| move |x: u32, y: u32| room(x, y) + ((x * 7919 + y * 104_729 + seed * 31) % 5) as u8;
    assert_eq!(decide(&mut gate, &rgb(noise(0)), 0.0), GateDecision::Encode, "there is no encoded picture yet");
    for i in 1..20 {
        assert_eq!(decide(&mut gate, &rgb(noise(i)), f64::from(i)), GateDecision::Still);
    }
    // One fortieth of the picture.
    let hand = rgb(|x, y| if (300..360).contains(&x) && (150..200).contains(&y) { 220 } else { noise(3)(x, y) });
    assert_eq!(decide(&mut gate, &hand, 20.0), GateDecision::Encode);
    assert_eq!(decide(&mut gate, &hand, 21.0), GateDecision::Still, "compared with the last encoded one");
    // So little of it changes that the mean changes by only 0.005 levels.
    let eye = rgb(|x, y| room(x, y) + if (300..330).contains(&x) && (150..170).contains(&y) { 2 } else { 0 });
    assert_eq!(decide(&mut gate, &rgb(room), 22.0), GateDecision::Encode);
    assert_eq!(decide(&mut gate, &eye, 23.0), GateDecision::Encode);
    assert_eq!(gate.counts(), GateCounts { encoded: 4, still: 20, ..GateCounts::default() });
}

#[test]
fn slow_changes_are_encoded_in_the_end() {
    let mut gate = Gate::new(GateSpec { refresh_s: 1e6, ..GateSpec::default() });
    let decisions: Vec<_> = (0..60).map(|i| decide(&mut gate, &rgb(|x, y| room(x, y) + i / 2), f64::from(i))).collect();
    let encoded = decisions.iter().filter(|decision| **decision == GateDecision::Encode).count();
    assert!((5..=40).contains(&encoded), "{encoded}");
}

#[test]
fn a_still_picture_is_encoded_again_in_time() {
    let picture = rgb(room);
    let mut gate = Gate::new(GateSpec { refresh_s: 4.0, ..GateSpec::default() });
    let encode = |i: &u32| decide(&mut gate, &picture, f64::from(*i)) == GateDecision::Encode;
    assert_eq!((0..13).filter(encode).collect::<Vec<_>>(), [0, 4, 8, 12]);
    gate.reset();
    assert_eq!(decide(&mut gate, &picture, 12.5), GateDecision::Encode);
}

#[test]
fn dark_and_flat_pictures_are_recognised() {
    let mut gate = Gate::new(GateSpec { refresh_s: 100.0, ..GateSpec::default() });
    let mut show = |shade: &dyn Fn(u32, u32) -> u8, time| gate.decide(&grid(&rgb(shade).picture(Rotation::None)), time);
    let output = |decision, visibility| GateOutput { decision, visibility };
    assert_eq!(show(&room, 0.0), output(GateDecision::Encode, Visibility::Clear));
    assert_eq!(show(&|x, _| (x % 9) as u8, 1.0), output(GateDecision::Encode, Visibility::Dark), "it changed");
    assert_eq!(show(&|_, y| (y % 12) as u8, 2.0), output(GateDecision::Dark, Visibility::Dark));
    assert_eq!(show(&|_, _| 128, 3.0), output(GateDecision::Encode, Visibility::Flat));
    assert_eq!(show(&|_, _| 129, 4.0), output(GateDecision::Flat, Visibility::Flat));
    assert_eq!(show(&|_, _| 200, 4.5), output(GateDecision::Encode, Visibility::Flat), "another colour");
    assert_eq!(show(&room, 5.0), output(GateDecision::Encode, Visibility::Clear));
    let mut off = Gate::new(GateSpec { enabled: false, ..GateSpec::default() });
    let dark = LumaGrid::default();
    assert_eq!([off.decide(&dark, 0.0), off.decide(&dark, 1.0)], [output(GateDecision::Encode, Visibility::Clear); 2]);
}

#[test]
fn brightness_is_measured_in_any_format_and_size() {
    // The same shades in RGB and in YUV of both ranges give the same cells, within a level.
    let shades = |level: u8| rgb(move |_, _| level);
    for level in [0u8, 77, 255] {
        let plane = |value: u8| vec![value; 640 * 360];
        let picture = |luma: &[u8], full_range| {
            grid(&Picture {
                width: 640,
                height: 360,
                rotation: Rotation::None,
                aspect: PixelAspect::SQUARE,
                pixels: Pixels::Yuv {
                    planes: [luma, &[], &[]],
                    strides: [640, 0, 0],
                    subsampling: Subsampling::Gray,
                    full_range,
                    matrix: Matrix::Bt601,
                },
            })
        };
        let limited = (16.0 + f64::from(level) * 219.0 / 255.0).round() as u8;
        let of_rgb = grid(&shades(level).picture(Rotation::None));
        for other in [picture(&plane(level), true), picture(&plane(limited), false)] {
            let apart = of_rgb.cells().iter().zip(other.cells()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(apart.expect("cells") <= 64, "{level}: {apart:?}");
        }
    }
    for (width, height) in [(1, 1), (2, 3), (31, 33), (1, 500), (500, 1), (1280, 720)] {
        grid(&formula(width, height).picture(Rotation::Quarter));
        grid(&Yuv::formula(width, height, Subsampling::S420).picture());
    }
}

#[test]
fn only_the_encoded_region_counts() {
    // The far left of a wide picture is cropped away, and so is everything outside the region.
    let (left, none) = (rgb(|x, y| if x < 100 { 255 } else { room(x, y) }), rgb(room));
    assert_eq!(grid(&left.picture(Rotation::None)), grid(&none.picture(Rotation::None)));
    let roi = Some(Rect { x: 0, y: 0, w: 200, h: 200 });
    let inside = preprocessor(VIEW, Fit::Crop, roi).expect("a spec");
    let mut within = [LumaGrid::default(), LumaGrid::default()];
    inside.luma(&left.picture(Rotation::None), &mut within[0]).expect("a picture");
    inside.luma(&none.picture(Rotation::None), &mut within[1]).expect("a picture");
    assert_ne!(within[0], within[1]);
    let outside = Some(Rect { x: 600, y: 0, w: 200, h: 200 });
    let outside = preprocessor(VIEW, Fit::Crop, outside).expect("a spec");
    assert!(outside.luma(&none.picture(Rotation::None), &mut within[0]).is_err());
}

#[test]
fn a_session_does_not_allocate_more_with_time() {
    let model = ModelSpec { threads: Some(1), stride_s: Some(0.5), ..ModelSpec::default() };
    let mut engine = Engine::load_for_streams(&model).expect("the embedded bundle");
    let session = |refresh_s| {
        let gate = GateSpec { refresh_s, ..GateSpec::default() };
        let events = EventSpec { update_s: 1.0, ..EventSpec::default() };
        let spec = SessionSpec { camera: "hall".into(), events, gate, ..SessionSpec::default() };
        Session::new(&engine, &spec).expect("a session")
    };
    let picture = formula(640, 360);
    let (mut still, mut moving) = (session(86_400.0), session(0.0));
    let mut process = |session: &mut Session, i: u64| {
        let frame = Frame { index: i, time: i as f64 * 0.5, picture: picture.picture(Rotation::None) };
        let allocated = count(|| assert!(session.process(&mut engine, &frame).expect("a step").is_some()));
        // The count is not 0: the composer runs in the model runtime, which allocates.
        allocated.count
    };
    let first: Vec<usize> = (0..12).map(|i| process(&mut still, i)).collect();
    let later: Vec<usize> = (12..60).map(|i| process(&mut still, i)).collect();
    assert!(first[0] > first[11]);
    assert!(later.iter().all(|count| *count == first[11]), "{first:?} {later:?}");
    let first: Vec<usize> = (0..12).map(|i| process(&mut moving, i)).collect();
    let later: Vec<usize> = (12..40).map(|i| process(&mut moving, i)).collect();
    assert!(later.iter().all(|count| *count <= first[11]), "{first:?} {later:?}");
}
