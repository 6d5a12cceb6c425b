//! Regions that are followed: they stay on what moves, and only on that.

use bike_edge::picture::{Rect, Rotation};
use bike_edge::pipeline::{Engine, Follow, FollowSpec, GateSpec, ModelSpec, RegionFinder, Session, SessionSpec};
use bike_edge::preprocess::RegionSpec;
use bike_edge::source::Frame;

use crate::support::pictures::Rgb;

const SIZE: (u32, u32) = (640, 360);
/// Seconds between sampled frames.
const STRIDE_S: f64 = 0.5;

/// A video of a still room, made frame by frame.
#[derive(Clone, Copy, Default)]
struct Video {
    /// Largest shift of the camera in pixels.
    shake: i64,
    /// Largest noise of a pixel, in levels.
    noise: i64,
    /// The frame from which on all is a fifth brighter.
    light_from: Option<u64>,
    /// Whether a large object crosses the picture once, from frame 12 to 14.
    crossing: bool,
}

/// A number of 0..limit that looks random.
fn hash(a: i64, b: i64, c: i64, limit: i64) -> i64 {
    let mut x = (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    x ^= (c as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 33) as i64 % limit
}

/// The brightness of the room: furniture with edges of all kinds.
fn room(x: i64, y: i64) -> i64 {
    let shelf = if (x / 90 + y / 70) % 2 == 0 { 60 } else { 150 };
    shelf + hash(x / 24, y / 18, 7, 50) + (x + 2 * y) % 37 / 2
}

impl Video {
    /// Draws frame `number`, in which the action fills `action`.
    fn frame(&self, number: u64, action: Option<Rect>) -> Rgb {
        let i = number as i64;
        let shift = |axis| if self.shake == 0 { 0 } else { hash(i, axis, 3, 2 * self.shake + 1) - self.shake };
        let (dx, dy) = (shift(0), shift(1));
        let crossing = (self.crossing && (12..15).contains(&i)).then(|| (i - 12) * 220);
        let (width, height) = SIZE;
        let pixel = |x: u32, y: u32| {
            let (x, y) = (i64::from(x) + dx, i64::from(y) + dy);
            let inside = |r: Rect| {
                (i64::from(r.x)..i64::from(r.x + r.w)).contains(&x)
                    && (i64::from(r.y)..i64::from(r.y + r.h)).contains(&y)
            };
            let mut level = room(x, y);
            if action.is_some_and(inside) {
                // A pattern of large parts, new in every frame.
                level = 40 + hash(x / 20, y / 20, i, 180);
            }
            if crossing.is_some_and(|left| (left..left + 200).contains(&x) && (60..300).contains(&y)) {
                level = 230;
            }
            if self.light_from.is_some_and(|from| number >= from) {
                level = level * 6 / 5;
            }
            let noise = if self.noise == 0 { 0 } else { hash(x, y, i + 100, 2 * self.noise + 1) - self.noise };
            [(level + noise).clamp(0, 255) as u8; 3]
        };
        let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
        Rgb { width, height, data }
    }
}

fn hostile() -> Video {
    Video { shake: 2, noise: 10, light_from: Some(20), crossing: true }
}

fn finder() -> RegionFinder {
    RegionFinder::new(FollowSpec { follow: Follow::Region, ..FollowSpec::default() }, RegionSpec::default())
}

/// The region of each frame.
fn regions(video: Video, frames: u64, action: impl Fn(u64) -> Option<Rect>) -> Vec<Option<Rect>> {
    let mut finder = finder();
    let region = |i: u64| {
        let picture = video.frame(i, action(i));
        let regions = finder.update(&picture.picture(Rotation::None), i as f64 * STRIDE_S);
        regions.expect("a picture").first().copied()
    };
    (0..frames).map(region).collect()
}

/// Intersection over union.
fn overlap(a: Rect, b: Rect) -> f64 {
    let length = |a: (u32, u32), b: (u32, u32)| f64::from((a.0 + a.1).min(b.0 + b.1).saturating_sub(a.0.max(b.0)));
    let both = length((a.x, a.w), (b.x, b.w)) * length((a.y, a.h), (b.y, b.h));
    both / (f64::from(a.w) * f64::from(a.h) + f64::from(b.w) * f64::from(b.h) - both)
}

#[test]
fn the_region_stays_on_the_action() {
    for (video, action) in [
        (Video::default(), Rect { x: 400, y: 60, w: 150, h: 150 }),
        (Video { noise: 10, ..Video::default() }, Rect { x: 63, y: 171, w: 130, h: 130 }),
        (hostile(), Rect { x: 400, y: 60, w: 150, h: 150 }),
        (hostile(), Rect { x: 57, y: 133, w: 160, h: 140 }),
        (hostile(), Rect { x: 303, y: 94, w: 200, h: 200 }),
    ] {
        let found = regions(video, 40, |_| Some(action));
        // Until the region is found, all of the picture is analysed.
        assert_eq!(found[0], None);
        for (i, region) in found.iter().enumerate().skip(4) {
            let region = region.unwrap_or_else(|| panic!("no region in frame {i} for {action}"));
            let overlap = overlap(region, action);
            assert!(overlap >= 0.7, "frame {i}: {region} for {action}, overlap {overlap:.2}");
        }
    }
}

#[test]
fn the_region_follows_slowly_moving_action() {
    let action = |i: u64| Rect { x: 40 + 4 * i as u32, y: 100, w: 160, h: 160 };
    let found = regions(Video { shake: 2, noise: 10, ..Video::default() }, 100, |i| Some(action(i)));
    let overlaps: Vec<f64> =
        found.iter().zip(0..).skip(4).map(|(region, i)| region.map_or(0.0, |r| overlap(r, action(i)))).collect();
    // It lags behind a little, because it moves only when its content leaves it.
    let mean = overlaps.iter().sum::<f64>() / overlaps.len() as f64;
    assert!(mean > 0.6 && overlaps.iter().all(|overlap| *overlap >= 0.5), "{mean:.2}: {overlaps:.2?}");
}

#[test]
fn shake_noise_light_and_a_passing_object_are_not_followed() {
    for video in [Video::default(), hostile(), Video { crossing: false, ..hostile() }] {
        assert!(regions(video, 40, |_| None).iter().all(Option::is_none));
    }
}

#[test]
fn a_region_stays_while_nothing_moves_and_then_makes_room() {
    let first = Rect { x: 400, y: 60, w: 150, h: 150 };
    let second = Rect { x: 60, y: 150, w: 150, h: 150 };
    let video = Video { shake: 1, noise: 6, ..Video::default() };
    let action = |i| match i {
        0..12 => Some(first),
        12..40 => None,
        _ => Some(second),
    };
    let found = regions(video, 60, action);
    assert!(found[20..40].iter().all(|region| *region == found[20]), "it does not move by itself");
    assert!(overlap(found[30].expect("a region"), first) > 0.6);
    assert!(overlap(found[59].expect("a region"), second) > 0.6);
    // Without any movement, the whole picture is analysed again after a minute.
    let found = regions(video, 160, |i| (i < 12).then_some(first));
    assert_eq!(found[159], None);
}

#[test]
fn a_followed_region_is_reported_and_whole_pictures_are_analysed_beside_it() {
    let model = ModelSpec { threads: Some(1), stride_s: Some(STRIDE_S), ..ModelSpec::default() };
    let mut engine = Engine::load_for_streams(&model).expect("the embedded bundle");
    let video = Video { shake: 1, noise: 6, ..Video::default() };
    let action = Rect { x: 400, y: 60, w: 150, h: 150 };
    for (follow, views) in [(Follow::Off, 1), (Follow::Region, 1), (Follow::Both, 2)] {
        let gate = GateSpec { enabled: false, ..GateSpec::default() };
        let follow = FollowSpec { follow, ..FollowSpec::default() };
        let spec = SessionSpec { follow, gate, ..SessionSpec::default() };
        let mut session = Session::new(&engine, &spec).expect("a session");
        let mut last = Vec::new();
        for i in 0..10 {
            let picture = video.frame(i, Some(action));
            let frame = Frame { index: i, time: i as f64 * STRIDE_S, picture: picture.picture(Rotation::None) };
            let step = session.process(&mut engine, &frame).expect("a step").expect("sampled");
            last = step.views().map(|view| view.region).collect();
        }
        assert_eq!(last.len(), views, "{follow:?}");
        match follow.follow {
            Follow::Off => assert_eq!(last, [None]),
            _ => assert!(overlap(last[0].expect("a region"), action) > 0.7),
        }
        assert!(views == 1 || last[1].is_none());
    }
}

#[test]
fn pictures_of_any_size_have_regions_inside_them() {
    for (width, height) in [(1, 1), (7, 3), (1, 400), (400, 1), (33, 900)] {
        let mut finder = finder();
        for i in 0..12_i64 {
            let data = (0..width * height * 3).map(|at| hash(i64::from(at), i, 1, 256) as u8).collect();
            let picture = Rgb { width, height, data };
            for region in &finder.update(&picture.picture(Rotation::None), i as f64).expect("a picture") {
                assert!(region.w > 0 && region.h > 0);
                assert!(region.x + region.w <= width && region.y + region.h <= height, "{region} in {width}x{height}");
            }
        }
    }
}

#[test]
fn a_rotated_picture_and_a_region_of_interest_have_regions_in_upright_pixels() {
    let action = Rect { x: 400, y: 60, w: 150, h: 150 };
    let video = Video { noise: 6, ..Video::default() };
    let roi = Rect { x: 300, y: 20, w: 320, h: 300 };
    for (rotation, roi, expected) in [
        (Rotation::None, Some(roi), action),
        (Rotation::Quarter, None, Rect { x: 360 - 60 - 150, y: 400, w: 150, h: 150 }),
        (Rotation::Half, None, Rect { x: 640 - 400 - 150, y: 360 - 60 - 150, w: 150, h: 150 }),
    ] {
        let spec = FollowSpec { follow: Follow::Region, ..FollowSpec::default() };
        let mut finder = RegionFinder::new(spec, RegionSpec { roi, ..RegionSpec::default() });
        let mut found = None;
        for i in 0..10 {
            let frame = video.frame(i, Some(action));
            found = finder.update(&frame.picture(rotation), i as f64 * STRIDE_S).expect("a picture").first().copied();
        }
        let region = found.expect("a region");
        assert!(overlap(region, expected) >= 0.7, "{rotation:?}: {region} for {expected}");
    }
}
