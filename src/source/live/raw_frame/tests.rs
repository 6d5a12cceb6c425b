// The packed and interleaved test frames were made by ffmpeg from the planar ones: tests/data/make_goldens_camera.sh.

use super::*;

const SIZE: (u32, u32) = (64, 48);

fn data(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name)
}

fn layout(coding: Coding, gap: usize) -> FrameLayout {
    let mut layout = FrameLayout {
        width: SIZE.0,
        height: SIZE.1,
        coding,
        stride: 0,
        full_range: false,
        matrix: Matrix::Bt601,
        rotation: Rotation::None,
        aspect: PixelAspect::SQUARE,
    };
    layout.stride = layout.row_bytes() + gap;
    layout
}

fn raw_frame(layout: FrameLayout, data: Vec<u8>) -> RawFrame {
    RawFrame { index: 0, time: 0.0, layout, data }
}

/// The planes of a picture without gaps, one after another.
fn planes(picture: &Picture<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    copy_packed(picture, &mut all);
    all
}

/// Adds `gap` bytes after each row of `row` bytes.
fn with_gaps(data: &[u8], row: usize, gap: usize) -> Vec<u8> {
    data.chunks(row).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0xaa, gap))).collect()
}

#[test]
fn packed_frames_are_unpacked_to_their_planes() {
    for (coding, packed, whole) in [
        (Coding::Nv12, "camera/s420.nv12", "camera/s420.yuv"),
        (Coding::Yuyv, "camera/s422.yuyv", "camera/s422.yuv"),
        (Coding::Planar(Subsampling::S420), "camera/s420.yuv", "camera/s420.yuv"),
        (Coding::Rgb, "camera/rgb.rgb", "camera/rgb.rgb"),
        (Coding::Bgr, "camera/rgb.bgr", "camera/rgb.rgb"),
    ] {
        for gap in [0, 16] {
            if gap > 0 && matches!(coding, Coding::Planar(_)) {
                continue;
            }
            let layout = layout(coding, gap);
            let frame = raw_frame(layout, with_gaps(&data(packed), layout.row_bytes(), gap));
            let mut decoder = FrameDecoder::default();
            decoder.decode(&frame).expect("decodes");
            assert_eq!(planes(&decoder.picture(&frame)), data(whole), "{coding:?}, gap {gap}");
        }
    }
}

#[test]
fn planes_with_gaps_are_read_with_their_strides() {
    let whole = data("camera/s420.yuv");
    let (luma, chroma) = whole.split_at(64 * 48);
    let bytes = [with_gaps(luma, 64, 32), with_gaps(chroma, 32, 16)].concat();
    let frame = raw_frame(layout(Coding::Planar(Subsampling::S420), 32), bytes);
    let mut decoder = FrameDecoder::default();
    decoder.decode(&frame).expect("decodes");
    assert_eq!(planes(&decoder.picture(&frame)), whole);
}

#[test]
fn frames_that_lack_a_byte_are_refused() {
    for coding in [
        Coding::Yuyv,
        Coding::Nv12,
        Coding::Planar(Subsampling::S420),
        Coding::Planar(Subsampling::S422),
        Coding::Planar(Subsampling::S444),
        Coding::Planar(Subsampling::Gray),
        Coding::Rgb,
        Coding::Bgr,
    ] {
        for (width, height) in [(1, 1), (3, 5), (64, 48), (7, 2)] {
            let mut layout = FrameLayout { width, height, ..layout(coding, 0) };
            layout.stride = layout.row_bytes() + 5;
            let mut decoder = FrameDecoder::default();
            let whole = raw_frame(layout, vec![7; layout.bytes()]);
            decoder.decode(&whole).expect("decodes");
            assert_eq!(decoder.picture(&whole).display_size(), (width, height));
            let cut = raw_frame(layout, vec![7; layout.bytes() - 1]);
            assert!(decoder.decode(&cut).expect_err("refused").contains("bytes"), "{coding:?} {width}x{height}");
        }
    }
}

fn jpeg() -> Vec<u8> {
    data("camera/frame.jpg")
}

fn decoded(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let frame = raw_frame(FrameLayout { stride: 0, ..layout(Coding::Mjpeg, 0) }, bytes);
    let mut decoder = FrameDecoder::default();
    decoder.decode(&frame)?;
    Ok(planes(&decoder.picture(&frame)))
}

#[test]
fn a_jpeg_is_decoded_as_by_pillow() {
    let (pixels, reference) = (decoded(jpeg()).expect("decodes"), data("camera/frame.rgb"));
    let worst = pixels.iter().zip(&reference).map(|(a, b)| a.abs_diff(*b)).max();
    let mean =
        pixels.iter().zip(&reference).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / reference.len() as f64;
    assert!(pixels.len() == reference.len() && worst <= Some(4) && mean < 0.5, "worst {worst:?}, mean {mean}");
}

#[test]
fn motion_jpeg_without_tables_is_decoded_with_the_standard_ones() {
    let jpeg = jpeg();
    let (mut bare, mut at) = (jpeg[..2].to_vec(), 2);
    while jpeg[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] != 0xc4 {
            bare.extend_from_slice(&jpeg[at..at + length]);
        }
        at += length;
    }
    bare.extend_from_slice(&jpeg[at..]);
    assert!(bare.len() < jpeg.len() && with_tables(&bare).is_some() && with_tables(&jpeg).is_none());
    assert_eq!(decoded(bare).expect("decodes"), decoded(jpeg).expect("decodes"));
}

#[test]
fn a_jpeg_is_found_in_a_padded_buffer() {
    let jpeg = jpeg();
    let padded = [&jpeg[..], &[0; 700]].concat();
    assert_eq!(jpeg_in(&padded), Some(&jpeg[..]));
    assert_eq!(jpeg_in(&jpeg[..jpeg.len() - 2]), Some(&[][..]), "truncated");
    assert_eq!(jpeg_in(&padded[1..]), None);
    assert_eq!(jpeg_in(&[]), None);
}

#[test]
fn a_damaged_jpeg_does_not_panic() {
    let jpeg = jpeg();
    for length in 0..jpeg.len().min(700) {
        let _ = decoded(jpeg[..length].to_vec());
    }
    for at in 0..jpeg.len() {
        let mut changed = jpeg.clone();
        changed[at] ^= 0x55;
        let _ = decoded(changed);
    }
    let other_size = RawFrame {
        layout: FrameLayout { width: 32, stride: 0, ..layout(Coding::Mjpeg, 0) },
        ..raw_frame(layout(Coding::Mjpeg, 0), jpeg)
    };
    assert!(FrameDecoder::default().decode(&other_size).expect_err("refused").contains("64 x 48 instead of 32 x 48"));
}
