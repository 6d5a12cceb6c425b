//! The test clip, and parts of it as y4m.

use std::ffi::OsStr;

use bike_edge::picture::Pixels;
use bike_edge::source::{Frame, SourceOptions, open_stream};

/// Shows a cup of coffee, then a cat, then a rocket (tests/data/NOTICE.md).
pub const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/clip.mp4");

/// Returns the frames of a clip as y4m at 25 frames per second, from the built-in decoder.
pub fn as_y4m(clip: &OsStr) -> Vec<u8> {
    part_as_y4m(clip, 0.0..f64::INFINITY)
}

/// Returns the frames in a span of seconds as y4m.
pub fn part_as_y4m(clip: &OsStr, span: std::ops::Range<f64>) -> Vec<u8> {
    let mut stream = open_stream(clip, &SourceOptions::default()).unwrap();
    let mut y4m = Vec::new();
    let mut end = span.start;
    while let Some(Frame { time, picture, .. }) = stream.first_at_or_after(end).unwrap() {
        end = time;
        if time >= span.end {
            break;
        }
        if y4m.is_empty() {
            let (w, h) = (picture.width, picture.height);
            y4m.extend_from_slice(format!("YUV4MPEG2 W{w} H{h} F25:1 Ip C420jpeg\n").as_bytes());
        }
        y4m.extend_from_slice(b"FRAME\n");
        let Pixels::Yuv { planes, strides, .. } = picture.pixels else { panic!("H.264 is YUV") };
        let (width, height) = (picture.width as usize, picture.height as usize);
        for (plane, (stride, halved)) in planes.into_iter().zip(strides.into_iter().zip([1, 2, 2])) {
            let (width, height) = (width.div_ceil(halved), height.div_ceil(halved));
            (0..height).for_each(|row| y4m.extend_from_slice(&plane[row * stride..row * stride + width]));
        }
    }
    y4m
}
