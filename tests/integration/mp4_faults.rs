//! MP4 files as cameras, recorders and attackers make them: the right picture at the right time, or a refusal.

use std::path::Path;

use bike_edge::source::{SourceOptions, find_ffmpeg, open_stream};

use crate::support::mp4::{boxes, change_boxes, make_box, with_matrix};
use crate::support::recordings::{Folder, both, clip_frames, fixture, refusal, with_ffmpeg, without_ffmpeg};

#[test]
fn display_matrices_are_honoured_as_by_ffmpeg() {
    let folder = Folder::new();
    let bytes = fixture("bframes.mp4");
    let (cos, sin) = (0.3f64.to_radians().cos(), 0.3f64.to_radians().sin());
    // Track's and movie's matrix, and the size as displayed.
    let turned = [
        ([0.0, 1.0, -1.0, 0.0], None, (48, 64)),
        ([-1.0, 0.0, 0.0, -1.0], None, (64, 48)),
        ([1.0, 0.0, 0.0, 1.0], Some([0.0, 1.0, -1.0, 0.0]), (48, 64)),
        ([0.0, 1.0, -1.0, 0.0], Some([0.0, 1.0, -1.0, 0.0]), (64, 48)),
        ([-sin, cos, -cos, -sin], None, (48, 64)),
        ([0.0, 2.0, -2.0, 0.0], None, (48, 64)),
    ];
    for (number, (track, movie, size)) in turned.into_iter().enumerate() {
        let bytes = with_matrix(&bytes, b"tkhd", track);
        let bytes = movie.map_or(bytes.clone(), |movie| with_matrix(&bytes, b"mvhd", movie));
        let path = folder.write("turned.mp4", &bytes);
        let (frames, warnings) = both(&path, &without_ffmpeg());
        assert_eq!((frames.len(), (frames[0].1.0, frames[0].1.1)), (30, size), "{number}");
        assert!(warnings.is_empty());
        if find_ffmpeg(&SourceOptions::default()).is_some() {
            let reference = folder.ffmpeg("-i turned.mp4 -frames:v 1 -pix_fmt yuv420p -f rawvideo -");
            assert!(reference.starts_with(&frames[0].1.2), "{number}: not as ffmpeg shows it");
        }
    }
    // Mirrored or tilted: only ffmpeg shows them.
    for matrix in [[0.0, 1.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 1.0], [0.7, 0.7, -0.7, 0.7]] {
        let path = folder.write("mirrored.mp4", &with_matrix(&bytes, b"tkhd", matrix));
        let error = refusal(&path, &without_ffmpeg());
        assert!(error.contains("mirrored or tilted") && error.contains("ffmpeg"), "{error}");
        let Some(options) = with_ffmpeg() else { continue };
        let (frames, _) = both(&path, &options);
        let reference = folder.ffmpeg("-i mirrored.mp4 -frames:v 1 -pix_fmt yuv420p -f rawvideo -");
        assert!(frames.len() == 30 && reference.starts_with(&frames[0].1.2), "{matrix:?}");
    }
}

#[test]
fn recordings_joined_in_a_fragmented_file_are_read_one_after_another() {
    let folder = Folder::new();
    let bytes = fixture("fragmented.mp4");
    let (frames, _) = both(&folder.write("one.mp4", &bytes), &without_ffmpeg());
    let fragments: Vec<u8> = boxes(&bytes)
        .iter()
        .filter(|(name, _)| matches!(name, b"moof" | b"mdat"))
        .flat_map(|(name, payload)| make_box(name, payload))
        .collect();
    let (joined, warnings) = both(&folder.write("two.mp4", &[bytes, fragments].concat()), &without_ffmpeg());
    assert_eq!(joined.len(), 60);
    assert!(joined.iter().map(|frame| &frame.1).eq(frames.iter().chain(&frames).map(|frame| &frame.1)));
    assert!(warnings.len() == 1 && warnings[0].contains("go back once, first at frame 30"), "{warnings:?}");
    let steps: Vec<f64> = joined.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(steps.iter().all(|step| (step - 1001.0 / 30000.0).abs() < 1e-3), "{steps:?}");
}

#[test]
fn the_edit_list_of_a_fragmented_file_does_not_end_it() {
    let folder = Folder::new();
    let bytes = fixture("fragmented.mp4");
    let (frames, _) = both(&folder.write("whole.mp4", &bytes), &without_ffmpeg());
    for duration in [1u32, 500] {
        // Version and flags, one entry: duration, start, rate.
        let list = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &duration.to_be_bytes(), &[0; 4], &[0, 1, 0, 0]].concat();
        let edts = make_box(b"edts", &make_box(b"elst", &list));
        let bytes = change_boxes(&bytes, b"trak", &mut |trak| {
            *trak = boxes(trak)
                .into_iter()
                .filter(|(name, _)| name != b"edts")
                .map(|(name, payload)| make_box(&name, &payload))
                .chain([edts.clone()])
                .collect::<Vec<_>>()
                .concat();
        });
        let (cut, warnings) = both(&folder.write("edited.mp4", &bytes), &without_ffmpeg());
        assert!(cut == frames && warnings.is_empty(), "{duration}: {} frames, {warnings:?}", cut.len());
    }
}

#[test]
fn the_shape_of_pixels_is_read_from_the_container_and_by_ffmpeg() {
    use bike_edge::picture::PixelAspect;
    let folder = Folder::new();
    let shape = |path: &Path, options: &SourceOptions| {
        let mut stream = open_stream(path.as_os_str(), options).expect("a stream");
        stream.first_at_or_after(0.0).expect("streams").expect("a frame").picture.aspect
    };
    assert_eq!(shape(&folder.write("square.mp4", &fixture("bframes.mp4")), &without_ffmpeg()), PixelAspect::new(1, 1));
    let pasp = make_box(b"pasp", &[0, 0, 0, 16, 0, 0, 0, 11]);
    let bytes = change_boxes(&fixture("bframes.mp4"), b"stsd", &mut |stsd| {
        // Without the box that the entry has already, and with one of the same length in its place.
        let at = stsd.windows(4).position(|name| name == b"pasp").expect("the encoder wrote one") - 4;
        stsd[at..at + pasp.len()].copy_from_slice(&pasp);
    });
    assert_eq!(shape(&folder.write("wide.mp4", &bytes), &without_ffmpeg()), PixelAspect::new(16, 11));
    let y4m = b"YUV4MPEG2 W2 H2 F25:1 A4:3 Cmono\nFRAME\n1234";
    assert_eq!(shape(&folder.write("wide.y4m", y4m), &without_ffmpeg()), PixelAspect::new(4, 3));
    let Some(options) = with_ffmpeg() else { return };
    folder.ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.2 -vf setsar=16/11 -c:v mpeg4 -f avi wide.avi");
    assert_eq!(shape(&folder.0.path().join("wide.avi"), &options), PixelAspect::new(16, 11));
}

#[test]
fn empty_samples_are_named_as_such() {
    let folder = Folder::new();
    let bytes = change_boxes(&fixture("bframes.mp4"), b"stsz", &mut |stsz| stsz[12 + 20 * 4..][..40].fill(0));
    let (frames, warnings) = clip_frames(&folder.write("empty.mp4", &bytes), &without_ffmpeg()).expect("a clip");
    assert!(frames.len() >= 20 && warnings[0].contains("10 of 30 samples are empty"), "{warnings:?}");
}

#[test]
fn encrypted_video_is_refused() {
    let folder = Folder::new();
    for name in ["bframes.mp4", "fragmented.mp4"] {
        let bytes = change_boxes(&fixture(name), b"stsd", &mut |stsd| stsd[12..16].copy_from_slice(b"encv"));
        let path = folder.write("encrypted.mp4", &bytes);
        let error = refusal(&path, &without_ffmpeg());
        assert!(error.contains("is encrypted"), "{error}");
        if let Some(options) = with_ffmpeg() {
            assert_eq!(refusal(&path, &options), error);
        }
    }
}

#[test]
fn a_media_segment_without_its_start_is_refused_with_the_remedy() {
    let folder = Folder::new();
    let segment: Vec<u8> = boxes(&fixture("fragmented.mp4"))
        .iter()
        .filter(|(name, _)| matches!(name, b"moof" | b"mdat"))
        .flat_map(|(name, payload)| make_box(name, payload))
        .collect();
    let error = refusal(&folder.write("segment.m4s", &segment), &without_ffmpeg());
    assert!(error.contains("without its initialisation") && error.contains("cat init.mp4"), "{error}");
}

#[test]
fn several_sample_descriptions_are_left_to_ffmpeg() {
    let folder = Folder::new();
    let bytes = change_boxes(&fixture("bframes.mp4"), b"stsd", &mut |stsd| {
        stsd[7] = 2;
        let entry = stsd[8..].to_vec();
        stsd.extend_from_slice(&entry);
    });
    let path = folder.write("two.mp4", &bytes);
    let (_, warnings) = both(&path, &without_ffmpeg());
    assert!(warnings[0].contains("several sample descriptions; answers may be wrong"), "{warnings:?}");
    let Some(options) = with_ffmpeg() else { return };
    let (frames, warnings) = both(&path, &options);
    assert_eq!(frames.len(), 30);
    assert_eq!(warnings, ["read by ffmpeg, because its track has several sample descriptions"]);
}

#[test]
fn a_file_cannot_claim_more_pictures_than_it_has_bytes() {
    let folder = Folder::new();
    let fixed = change_boxes(&fixture("bframes.mp4"), b"stsz", &mut |stsz| {
        stsz[4..8].copy_from_slice(&1u32.to_be_bytes());
        stsz[8..12].copy_from_slice(&4_000_000u32.to_be_bytes());
    });
    // All samples at one place, each as long as the file allows.
    let shared = change_boxes(&fixture("bframes.mp4"), b"stsz", &mut |stsz| {
        stsz[12..].chunks_exact_mut(4).for_each(|size| size.copy_from_slice(&1500u32.to_be_bytes()));
    });
    let shared = change_boxes(&shared, b"stsc", &mut |stsc| {
        stsc[4..8].copy_from_slice(&1u32.to_be_bytes());
        stsc.truncate(20);
        stsc[8..20].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
    });
    let shared = change_boxes(&shared, b"stco", &mut |stco| {
        *stco = [&[0, 0, 0, 0, 0, 0, 0, 30][..], &[0, 0, 0, 48].repeat(30)].concat();
    });
    for bytes in [fixed, shared] {
        let error = refusal(&folder.write("claims.mp4", &bytes), &without_ffmpeg());
        assert!(error.contains("claims") && error.contains("in a file of"), "{error}");
    }
}

#[test]
fn columns_and_rows_that_the_video_crops_are_not_shown() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    folder.write("whole.mp4", &fixture("full_range.mp4"));
    let crop = "h264_metadata=crop_left=6:crop_right=2:crop_top=4:crop_bottom=2";
    folder.ffmpeg(&format!("-i whole.mp4 -c copy -bsf:v {crop} cropped.mp4"));
    folder.ffmpeg("-i cropped.mp4 -c copy cropped.mkv");
    let (whole, _) = both(&folder.0.path().join("whole.mp4"), &without_ffmpeg());
    let (own, _) = both(&folder.0.path().join("cropped.mp4"), &without_ffmpeg());
    let (by_ffmpeg, _) = both(&folder.0.path().join("cropped.mkv"), &options);
    let (width, height, luma) = &whole[0].1;
    assert_eq!((own[0].1.0, own[0].1.1), (width - 8, height - 6));
    let row = &luma[4 * *width as usize + 6..][..*width as usize - 8];
    assert!(own[0].1.2.starts_with(row), "another part of the picture");
    assert!(own[0].1 == by_ffmpeg[0].1, "ffmpeg crops otherwise");
}
