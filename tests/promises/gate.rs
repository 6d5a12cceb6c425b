//! The gate skips what says nothing new, and only that.

use bike_edge::cli::Cli;
use bike_edge::cli::args::Command;
use bike_edge::events::EventSpec;
use bike_edge::preprocess::{Fit, LumaGrid, PreprocessSpec, Preprocessor, Roi};
use bike_edge::pipeline::{Engine, Gate, GateCounts, GateSpec, Judgement, Sampler, Session, SessionSpec, Sight, Verdict};
use bike_edge::source::{Frame, Matrix, Picture, Pixels, Rotation, Subsampling};
use clap::Parser;

use crate::allocations::count;
use crate::pictures::{MEAN, Rgb, STD, Yuv, formula};

const VIEW: PreprocessSpec = PreprocessSpec { resize: 224, crop: 224, mean: MEAN, std: STD };

fn grid(picture: &Picture<'_>) -> LumaGrid {
    let mut grid = LumaGrid::default();
    Preprocessor::new(VIEW, Fit::Crop, None).expect("a spec").luma(picture, &mut grid).expect("a picture");
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

/// A room: shades from dark to bright.
fn room(x: u32, y: u32) -> u8 {
    (40 + (x / 4 + y / 3) % 180) as u8
}

fn judge(gate: &mut Gate, picture: &Rgb, time: f64) -> Verdict {
    gate.judge(&grid(&picture.picture(Rotation::None)), time).verdict
}

#[test]
fn noise_is_still_and_a_hand_is_not() {
    let mut gate = Gate::new(GateSpec { refresh_s: 100.0, ..GateSpec::default() });
    let noise = |seed: u32| move |x: u32, y: u32| room(x, y) + ((x * 7919 + y * 104_729 + seed * 31) % 5) as u8;
    assert_eq!(judge(&mut gate, &rgb(noise(0)), 0.0), Verdict::Encode, "nothing is known yet");
    for i in 1..20 {
        assert_eq!(judge(&mut gate, &rgb(noise(i)), f64::from(i)), Verdict::Still);
    }
    // One fortieth of the picture.
    let hand = rgb(|x, y| if (300..360).contains(&x) && (150..200).contains(&y) { 220 } else { noise(3)(x, y) });
    assert_eq!(judge(&mut gate, &hand, 20.0), Verdict::Encode);
    assert_eq!(judge(&mut gate, &hand, 21.0), Verdict::Still, "compared with the last encoded one");
    // So little of it changes that the mean hardly does: 0.005 levels.
    let eye = rgb(|x, y| room(x, y) + if (300..330).contains(&x) && (150..170).contains(&y) { 2 } else { 0 });
    assert_eq!(judge(&mut gate, &rgb(room), 22.0), Verdict::Encode);
    assert_eq!(judge(&mut gate, &eye, 23.0), Verdict::Encode);
    assert_eq!(gate.counts(), GateCounts { encoded: 4, still: 20, ..GateCounts::default() });
}

#[test]
fn what_creeps_is_seen_in_the_end() {
    let mut gate = Gate::new(GateSpec { refresh_s: 1e6, ..GateSpec::default() });
    let verdicts: Vec<_> = (0..60).map(|i| judge(&mut gate, &rgb(|x, y| room(x, y) + i / 2), f64::from(i))).collect();
    let encoded = verdicts.iter().filter(|verdict| **verdict == Verdict::Encode).count();
    assert!((5..=40).contains(&encoded), "{encoded}");
}

#[test]
fn a_still_picture_is_encoded_again_in_time() {
    let picture = rgb(room);
    let mut gate = Gate::new(GateSpec { refresh_s: 4.0, ..GateSpec::default() });
    let encode = |i: &u32| judge(&mut gate, &picture, f64::from(*i)) == Verdict::Encode;
    assert_eq!((0..13).filter(encode).collect::<Vec<_>>(), [0, 4, 8, 12]);
    gate.forget();
    assert_eq!(judge(&mut gate, &picture, 12.5), Verdict::Encode);
}

#[test]
fn dark_and_flat_pictures_show_nothing() {
    let mut gate = Gate::new(GateSpec { refresh_s: 100.0, ..GateSpec::default() });
    let mut see = |shade: &dyn Fn(u32, u32) -> u8, time| gate.judge(&grid(&rgb(shade).picture(Rotation::None)), time);
    let judged = |verdict, sight| Judgement { verdict, sight };
    assert_eq!(see(&room, 0.0), judged(Verdict::Encode, Sight::Clear));
    assert_eq!(see(&|x, _| (x % 9) as u8, 1.0), judged(Verdict::Encode, Sight::Dark), "it has changed");
    assert_eq!(see(&|_, y| (y % 12) as u8, 2.0), judged(Verdict::Dark, Sight::Dark));
    assert_eq!(see(&|_, _| 128, 3.0), judged(Verdict::Encode, Sight::Flat));
    assert_eq!(see(&|_, _| 129, 4.0), judged(Verdict::Flat, Sight::Flat));
    assert_eq!(see(&|_, _| 200, 4.5), judged(Verdict::Encode, Sight::Flat), "another colour");
    assert_eq!(see(&room, 5.0), judged(Verdict::Encode, Sight::Clear));
    let mut off = Gate::new(GateSpec { enabled: false, ..GateSpec::default() });
    let dark = LumaGrid::default();
    assert_eq!([off.judge(&dark, 0.0), off.judge(&dark, 1.0)], [judged(Verdict::Encode, Sight::Clear); 2]);
}

#[test]
fn brightness_is_read_from_any_picture_of_any_size() {
    // The same shades in RGB and in YUV of both ranges give the same cells, within a level.
    let shades = |level: u8| rgb(move |_, _| level);
    for level in [0u8, 77, 255] {
        let plane = |value: u8| vec![value; 640 * 360];
        let picture = |luma: &[u8], full_range| {
            grid(&Picture {
                width: 640,
                height: 360,
                rotation: Rotation::None,
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
fn only_what_the_encoder_sees_counts() {
    // The far left of a wide picture is cut away, and so is all but the region of interest.
    let (left, none) = (rgb(|x, y| if x < 100 { 255 } else { room(x, y) }), rgb(room));
    assert_eq!(grid(&left.picture(Rotation::None)), grid(&none.picture(Rotation::None)));
    let roi = Some(Roi { x: 0, y: 0, w: 200, h: 200 });
    let mut preprocessor = Preprocessor::new(VIEW, Fit::Crop, roi).expect("a spec");
    let mut within = [LumaGrid::default(), LumaGrid::default()];
    preprocessor.luma(&left.picture(Rotation::None), &mut within[0]).expect("a picture");
    preprocessor.luma(&none.picture(Rotation::None), &mut within[1]).expect("a picture");
    assert_ne!(within[0], within[1]);
    let outside = Some(Roi { x: 600, y: 0, w: 200, h: 200 });
    preprocessor = Preprocessor::new(VIEW, Fit::Crop, outside).expect("a spec");
    assert!(preprocessor.luma(&none.picture(Rotation::None), &mut within[0]).is_err());
}

#[test]
fn a_session_allocates_nothing_for_a_still_frame_and_no_more_with_time_for_others() {
    let Command::Watch(args) = Cli::parse_from(["bike-edge", "watch", "-", "--threads", "1"]).command else {
        panic!("not watch")
    };
    let mut engine = Engine::load(&args.model).expect("the bundle inside");
    let session = |refresh_s| {
        let gate = GateSpec { refresh_s, ..GateSpec::default() };
        let events = EventSpec { update_s: 1.0, ..EventSpec::default() };
        let spec = SessionSpec { camera: "hall".into(), fit: Fit::Crop, roi: None, events, gate };
        Session::new(&engine, &spec, Sampler::every(0.5).expect("a stride")).expect("a session")
    };
    let picture = formula(640, 360);
    let (mut still, mut moving) = (session(1e6), session(0.0));
    let mut take = |session: &mut Session, i: u64| {
        let frame = Frame { index: i, time: i as f64 * 0.5, picture: picture.picture(Rotation::None) };
        let allocated = count(|| assert!(session.take(&mut engine, &frame).expect("a step").is_some()));
        // The composer runs in the model runtime, which allocates.
        allocated.count
    };
    let first: Vec<usize> = (0..12).map(|i| take(&mut still, i)).collect();
    let later: Vec<usize> = (12..60).map(|i| take(&mut still, i)).collect();
    assert!(first[0] > first[11]);
    assert!(later.iter().all(|count| *count == first[11]), "{first:?} {later:?}");
    let first: Vec<usize> = (0..12).map(|i| take(&mut moving, i)).collect();
    let later: Vec<usize> = (12..40).map(|i| take(&mut moving, i)).collect();
    assert!(later.iter().all(|count| *count <= first[11]), "{first:?} {later:?}");
}
