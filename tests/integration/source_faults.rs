//! Files and pipes as cameras, recorders and attackers make them: the right picture at the right time, or a refusal.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use bike_edge::picture::{Picture, Pixels, Rotation};
use bike_edge::source::{SourceOptions, find_ffmpeg, open_clip, open_stream};

use crate::support::mp4::{boxes, change_boxes, make_box, with_matrix};
use crate::support::skip::skip;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources").join(name)).expect("read")
}

fn without_ffmpeg() -> SourceOptions {
    SourceOptions { ffmpeg: Some("/nowhere/ffmpeg".into()), ..SourceOptions::default() }
}

/// Options with the installed `ffmpeg`; `None` skips the test.
fn with_ffmpeg() -> Option<SourceOptions> {
    let options = SourceOptions::default();
    if find_ffmpeg(&options).is_none() {
        skip("ffmpeg is not installed");
        return None;
    }
    Some(options)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Runs `ffmpeg` with these arguments in the folder; returns what it writes to standard output.
    fn ffmpeg(&self, arguments: &str) -> Vec<u8> {
        let mut command = Command::new("ffmpeg");
        command.current_dir(self.0.path()).args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-bitexact"]);
        let output = command.args(arguments.split_whitespace()).output().expect("ffmpeg runs");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// Width, height and luma rows of a picture as it is displayed.
fn upright(picture: &Picture<'_>) -> (u32, u32, Vec<u8>) {
    let Pixels::Yuv { planes, strides, .. } = picture.pixels else { panic!("not YUV") };
    let (w, h) = (picture.width as usize, picture.height as usize);
    let at = |x: usize, y: usize| planes[0][y * strides[0] + x];
    let (width, height) = picture.display_size();
    let mut luma = Vec::new();
    for y in 0..height as usize {
        for x in 0..width as usize {
            luma.push(match picture.rotation {
                Rotation::None => at(x, y),
                Rotation::Quarter => at(y, h - 1 - x),
                Rotation::Half => at(w - 1 - x, h - 1 - y),
                Rotation::ThreeQuarters => at(w - 1 - y, x),
            });
        }
    }
    (width, height, luma)
}

/// A frame: its time, and its picture as it is displayed.
type Shown = (f64, (u32, u32, Vec<u8>));

/// Every frame of a clip, and its warnings.
fn clip_frames(path: &Path, options: &SourceOptions) -> Result<(Vec<Shown>, Vec<String>), String> {
    let mut clip = open_clip(path.as_os_str(), options).map_err(|e| e.to_string())?;
    for _ in 0..2 {
        let n = clip.frame_count().map_err(|e| e.to_string())?;
        let mut frames = Vec::new();
        let visit = clip.visit(&(0..n).collect::<Vec<_>>(), &mut |frame| {
            frames.push((frame.time, upright(&frame.picture)));
            Ok(())
        });
        if visit.map_err(|e| e.to_string())? == bike_edge::source::VisitOutcome::Done {
            return Ok((frames, clip.warnings().to_vec()));
        }
    }
    panic!("the count changed twice");
}

/// Every frame of a stream, in one pass.
fn stream_frames(path: &Path, options: &SourceOptions) -> Result<Vec<Shown>, String> {
    let mut stream = open_stream(path.as_os_str(), options).map_err(|e| e.to_string())?;
    let mut frames = Vec::new();
    while let Some(frame) = stream.first_at_or_after(0.0).map_err(|e| e.to_string())? {
        frames.push((frame.time, upright(&frame.picture)));
    }
    Ok(frames)
}

/// Checks that clip and stream agree, and returns the frames and the clip's warnings.
fn both(path: &Path, options: &SourceOptions) -> (Vec<Shown>, Vec<String>) {
    let (frames, warnings) = clip_frames(path, options).expect("a clip");
    let stream = stream_frames(path, options).expect("a stream");
    let times = |frames: &[Shown]| frames.iter().map(|frame| frame.0).collect::<Vec<_>>();
    assert_eq!(times(&stream), times(&frames), "clip and stream differ in time");
    assert!(stream == frames, "clip and stream differ");
    assert!(frames.windows(2).all(|pair| pair[0].0 <= pair[1].0), "times go back");
    (frames, warnings)
}

/// The refusal of a file as a clip and as a stream.
fn refusal(path: &Path, options: &SourceOptions) -> String {
    let clip = clip_frames(path, options).expect_err("refused as a clip");
    let stream = stream_frames(path, options).expect_err("refused as a stream");
    assert_eq!(clip, stream);
    assert!(!clip.contains('\n') && !clip.contains("internal"), "{clip}");
    clip
}

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
fn playlists_are_refused_and_never_followed() {
    let folder = Folder::new();
    let elsewhere = Folder::new();
    let victim = elsewhere.write("victim.mp4", &fixture("bframes.mp4"));
    let victim = victim.display();
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{victim}\n#EXT-X-ENDLIST\n");
    let list = format!("ffconcat version 1.0\nfile '{victim}'\n");
    let mpd = format!(
        "<MPD type=\"static\"><Period><AdaptationSet><Representation id=\"1\" bandwidth=\"1\"><BaseURL>{victim}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    );
    for text in [hls, list, mpd] {
        let id3 = [&b"ID3\x04\0\0\0\0\0\0"[..], text.as_bytes()].concat();
        let not_text = [text.as_bytes(), b"# caf\xe9 \x01\n"].concat();
        let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for bytes in [text.as_bytes().to_vec(), not_text, marked, id3] {
            let path = folder.write("clip.mp4", &bytes);
            let error = refusal(&path, &without_ffmpeg());
            assert!(error.contains("playlist") || error.contains("ffmpeg"), "{error}");
            if let Some(options) = with_ffmpeg() {
                refusal(&path, &options);
            }
        }
    }
}

#[test]
fn pictures_of_a_new_size_keep_their_size_and_their_numbers() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    let encode = |size: &str, seconds: &str, name: &str| {
        folder.ffmpeg(&format!(
            "-f lavfi -i testsrc2=size={size}:rate=25:duration={seconds} -c:v mpeg2video -bf 0 -flags low_delay -f mpegts {name}"
        ));
        let raw = folder.ffmpeg(&format!("-i {name} -pix_fmt yuv420p -f rawvideo -"));
        let (w, h) = size.split_once('x').expect("a size");
        let (w, h): (u32, u32) = (w.parse().expect("a number"), h.parse().expect("a number"));
        raw.chunks((w * h * 3 / 2) as usize).map(|f| (w, h, f[..(w * h) as usize].to_vec())).collect::<Vec<_>>()
    };
    let parts =
        [encode("64x48", "0.8", "a.ts"), encode("128x48", "1.2", "b.ts"), encode("48x96", "0.4", "c.ts")].concat();
    let bytes: Vec<u8> = ["a.ts", "b.ts", "c.ts"]
        .iter()
        .flat_map(|name| std::fs::read(folder.0.path().join(name)).expect("read"))
        .collect();
    let path = folder.write("sizes.ts", &bytes);
    let (frames, _) = both(&path, &options);
    assert_eq!(frames.len(), 60);
    assert!(frames.iter().map(|frame| &frame.1).eq(&parts), "another picture than the one that is named");
    // A few frames, as a clip is sampled.
    let mut clip = open_clip(path.as_os_str(), &options).expect("a clip");
    let mut visited = Vec::new();
    let wanted = [0, 7, 19, 20, 35, 49, 50, 59];
    let visit = clip.visit(&wanted, &mut |frame| {
        assert!(upright(&frame.picture) == parts[frame.index as usize], "frame {}", frame.index);
        visited.push(frame.index);
        Ok(())
    });
    assert!(visit.is_ok() && visited == wanted, "{visited:?}");
}

#[test]
fn texts_of_a_clip_and_its_name_cannot_forge_frames() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    std::fs::write(
        folder.0.path().join("texts"),
        ";FFMETADATA1\ntitle=[Parsed_showinfo_0 @ 0x5] [info] n: 7 pts: 93461000 s:4x4\\\n[Parsed_showinfo_1 @ 0x5] [info] \
         n: 7 pts: 93461000 fmt:gray s:4x4\ncomment=showinfo n: 1 pts: 5 s:9x9\n",
    )
    .expect("written");
    folder.ffmpeg(
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -i texts -map_metadata 1 -c:v mpeg4 -f matroska clip.mkv",
    );
    let (frames, _) = both(&folder.0.path().join("clip.mkv"), &options);
    assert_eq!((frames.len(), frames[24].0), (25, 0.96));
    let name =
        "a\n[Parsed_showinfo_0 @ 0x5] [info] n: 7 pts: 93461000 s:4x4\n[Parsed_showinfo_1 @ 0x5] [info] n: 7.mkv";
    let forged = folder.0.path().join(name);
    std::fs::copy(folder.0.path().join("clip.mkv"), &forged).expect("copied");
    assert!(both(&forged, &options).0 == frames, "the name forged frames");
}

/// Replaces the timestamp of each video tag of an FLV file, in milliseconds.
fn with_stamps(flv: &[u8], stamp: &dyn Fn(u32) -> u32) -> Vec<u8> {
    let mut bytes = flv.to_vec();
    let (mut at, mut frame) = (13, 0);
    while at + 11 < bytes.len() {
        let size = u32::from_be_bytes([0, bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        if bytes[at] == 9 {
            let [high, stamp @ ..] = stamp(frame).to_be_bytes();
            bytes[at + 4..at + 7].copy_from_slice(&stamp);
            bytes[at + 7] = high;
            frame += 1;
        }
        at += 11 + size + 4;
    }
    bytes
}

#[test]
fn wrong_timestamps_do_not_hide_frames() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    folder.ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=25:duration=4 -c:v flv1 -f flv clip.flv");
    let flv = std::fs::read(folder.0.path().join("clip.flv")).expect("read");
    let (expected, _) = both(&folder.0.path().join("clip.flv"), &options);
    assert_eq!(expected.len(), 100);
    let hour = 3_600_000;
    let cases: [(&str, &dyn Fn(u32) -> u32); 6] = [
        ("all zero", &|_| 0),
        ("begin again after 1.6 s", &|n| n % 40 * 40),
        ("hours ahead for one frame in 20", &|n| n * 40 + if n % 20 == 7 { 10 * hour } else { 0 }),
        ("hours behind for one frame in 20", &|n| 4 * hour + n * 40 - if n % 20 == 7 { 2 * hour } else { 0 }),
        ("hours behind from frame 50 on", &|n| 4 * hour + n * 40 - if n >= 50 { 2 * hour } else { 0 }),
        ("hours ahead for one frame, then back", &|n| n * 40 + if n == 10 { 10 * hour } else { 0 }),
    ];
    for (name, stamp) in cases {
        let path = folder.write("wrong.flv", &with_stamps(&flv, stamp));
        let (frames, _) = clip_frames(&path, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            frames.iter().map(|frame| &frame.1).eq(expected.iter().map(|frame| &frame.1)),
            "{name}: other pictures"
        );
        assert!(frames.windows(2).all(|pair| pair[1].0 >= pair[0].0), "{name}: times go back");
        let mut stream = open_stream(path.as_os_str(), &options).expect("a stream");
        let (mut sampled, mut next) = (0, 0.0);
        while let Some(frame) = stream.first_at_or_after(next).expect("streams") {
            next = ((frame.time + 0.0005) / 0.5).floor() * 0.5 + 0.5;
            sampled += 1;
        }
        assert!((7..=10).contains(&sampled), "{name}: {sampled} of {} frames sampled", frames.len());
    }
}

#[test]
fn animated_png_is_an_animation() {
    let folder = Folder::new();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 6);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(4, 0).expect("animated");
    encoder.set_frame_delay(1, 4).expect("a delay");
    let mut writer = encoder.write_header().expect("a header");
    (0..4u8).for_each(|i| writer.write_image_data(&[i * 40; 8 * 6 * 3]).expect("a frame"));
    writer.finish().expect("finished");
    let path = folder.write("moving.png", &bytes);
    let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("a clip");
    assert_eq!((clip.frame_count().expect("counts"), clip.info().format.as_str()), (4, "animated PNG"));
    let mut shown = Vec::new();
    let visit = clip.visit(&[0, 1, 2, 3], &mut |frame| {
        let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
        shown.push((frame.time, data[0]));
        Ok(())
    });
    assert!(visit.is_ok());
    assert_eq!(shown, [(0.0, 0), (0.25, 40), (0.5, 80), (0.75, 120)]);
}

/// A GIF of frames `(x, y, w, h)` on a canvas; the data of each are `data`.
fn gif(canvas: (u16, u16), frames: &[(u16, u16, u16, u16)], data: &[u8]) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend([canvas.0.to_le_bytes(), canvas.1.to_le_bytes()].concat());
    bytes.extend(b"\x80\0\0\0\0\0\xff\xff\xff");
    for (x, y, w, h) in frames {
        bytes.push(b',');
        bytes.extend([x, y, w, h].map(|n| n.to_le_bytes()).concat());
        bytes.extend([&[0, 2][..], data].concat());
    }
    bytes.push(b';');
    bytes
}

#[test]
fn the_work_on_a_gif_depends_on_its_data() {
    let folder = Folder::new();
    let one_pixel = b"\x02\x44\x01\0";
    // Each frame changes one pixel of a large canvas: counted without drawing the canvas 2,000 times.
    let path = folder.write("small.gif", &gif((4096, 4096), &[(9, 9, 1, 1); 2000], one_pixel));
    let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("a clip");
    assert_eq!(clip.frame_count().expect("counts"), 2000);
    // Each frame claims the whole canvas, but has data for one pixel.
    let path = folder.write("claims.gif", &gif((4096, 4096), &[(0, 0, 4096, 4096); 2000], one_pixel));
    let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("a clip");
    let counted = clip.frame_count();
    assert!(counted.as_ref().map_or(0, |n| *n) < 200, "{counted:?}");
}

#[test]
fn unknown_blocks_of_a_gif_are_skipped() {
    let folder = Folder::new();
    let mut bytes = gif((4, 4), &[(0, 0, 1, 1); 3], b"\x02\x44\x01\0");
    // An extension with an unknown label, before the first frame.
    bytes.splice(19..19, *b"!\x77\x02ab\0");
    let mut clip = open_clip(folder.write("a.gif", &bytes).as_os_str(), &without_ffmpeg()).expect("a clip");
    assert_eq!(clip.frame_count().expect("counts"), 3);
    assert!(clip.warnings().is_empty(), "{:?}", clip.warnings());
}

#[test]
fn what_our_readers_refuse_is_read_by_ffmpeg() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    for format in ["yuv420p10le", "yuv411p"] {
        folder.ffmpeg(&format!(
            "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.4 -pix_fmt {format} -strict -1 -f yuv4mpegpipe clip.y4m"
        ));
        let path = folder.0.path().join("clip.y4m");
        let error = refusal(&path, &without_ffmpeg());
        assert!(error.contains("an installed ffmpeg may be able to read it"), "{error}");
        let (frames, warnings) = both(&path, &options);
        assert_eq!(frames.len(), 10, "{format}");
        assert!(warnings.len() == 1 && warnings[0].contains("read by ffmpeg, because"), "{warnings:?}");
    }
    // Without its configuration, H.264 in MP4 is still described by its slices for ffmpeg, or refused.
    let no_avcc = change_boxes(&fixture("bframes.mp4"), b"stsd", &mut |stsd| {
        let at = stsd.windows(4).position(|name| name == b"avcC").expect("a configuration");
        stsd[at..at + 4].copy_from_slice(b"xxxx");
    });
    let error = refusal(&folder.write("bare.mp4", &no_avcc), &without_ffmpeg());
    assert!(error.contains("configuration (avcC)") && error.contains("ffmpeg may"), "{error}");
}

#[test]
fn pictures_that_only_ffmpeg_decodes_are_in_clip_and_stream() {
    let Some(options) = with_ffmpeg() else { return };
    let folder = Folder::new();
    let mut bytes = fixture("bframes.mp4");
    // The first picture's slice is overwritten but for its start: OpenH264 loses its group, ffmpeg conceals it.
    let mut at = bytes.windows(4).position(|name| name == b"mdat").expect("media") + 4;
    let length =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    while !matches!(bytes[at + 4] & 31, 1 | 5) {
        at += 4 + length(&bytes, at);
    }
    let slice = length(&bytes, at);
    bytes[at + 4 + slice / 3..at + 4 + slice].fill(0xaa);
    let path = folder.write("damaged.mp4", &bytes);
    let own = clip_frames(&path, &without_ffmpeg()).expect("a clip").0;
    assert!(own.len() < 30, "{}", own.len());
    let (frames, warnings) = clip_frames(&path, &options).expect("a clip");
    assert_eq!(frames.len(), 30);
    assert!(warnings[0].contains("read by ffmpeg, because 10 of 30 pictures cannot be decoded"), "{warnings:?}");
    assert_eq!(
        stream_frames(&path, &options).expect("a stream").len(),
        30,
        "the stream lacks footage that the clip has"
    );
}

#[cfg(unix)]
fn named_pipe(folder: &Folder) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let path = folder.0.path().join("pipe");
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("a name");
    // SAFETY: `name` is a string that ends in 0 and lives during the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

/// Writes `bytes` to a pipe that stays open, and returns the time and luma of the first frame that is read meanwhile.
#[cfg(unix)]
fn first_frame_of_open_pipe(bytes: Vec<u8>, options: &SourceOptions) -> (f64, (u32, u32)) {
    let folder = Folder::new();
    let path = named_pipe(&folder);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let writer_path = path.clone();
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::File::options().write(true).open(writer_path).expect("opens");
        pipe.write_all(&bytes).expect("written");
        // The pipe is closed only after the frame was read.
        let _ = wait.recv_timeout(std::time::Duration::from_secs(60));
    });
    let shown = {
        let mut stream = open_stream(OsStr::new(&path), options).expect("a stream");
        let frame = stream.first_at_or_after(0.0).expect("streams").expect("a frame");
        (frame.time, frame.picture.display_size())
    };
    done.send(()).expect("the writer waits");
    writer.join().expect("the writer ended");
    shown
}

#[test]
#[cfg(unix)]
fn motion_jpeg_from_a_pipe_is_read_as_it_arrives() {
    let jpeg = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(40, 24, image::Rgb([90; 3]));
        image.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("encoded");
        bytes.into_inner()
    };
    assert_eq!(first_frame_of_open_pipe(jpeg.repeat(3), &without_ffmpeg()), (0.0, (40, 24)));
}

#[test]
#[cfg(unix)]
fn fragmented_mp4_from_a_pipe_is_read_as_it_arrives() {
    let Some(options) = with_ffmpeg() else { return };
    assert_eq!(first_frame_of_open_pipe(fixture("fragmented.mp4"), &options), (0.0, (64, 48)));
}

#[test]
fn formats_that_only_ffmpeg_reads_are_recognised() {
    let folder = Folder::new();
    for brand in [b"avif", b"heic", b"mif1"] {
        let bytes = [make_box(b"ftyp", &[&brand[..], &[0; 4]].concat()), make_box(b"meta", &[0; 40])].concat();
        let error = refusal(&folder.write("photo", &bytes), &without_ffmpeg());
        assert!(error.contains("/nowhere/ffmpeg") && !error.contains("moov"), "{error}");
    }
}
