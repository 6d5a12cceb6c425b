use super::*;
use crate::picture::{Picture, Pixels, Rotation};
use crate::source::recorded::{ReaderStream, RecordedClip};
use crate::source::{Clip, Stream, VisitOutcome};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources").join(name)
}

fn open(path: &Path) -> Result<Mp4File> {
    Mp4File::open("clip.mp4", path, None).map_err(|e| match e {
        OpenError::Refused(e) | OpenError::Unreadable(e) => e,
        OpenError::Unsupported(what) => panic!("{what}"),
    })
}

fn clip(path: &Path) -> RecordedClip {
    RecordedClip::new("clip.mp4".into(), Box::new(open(path).expect("opens")))
}

/// Adler-32 over the rows of all planes, with the start value 0 of ffmpeg's framecrc.
fn checksum(picture: &Picture<'_>) -> u32 {
    let Pixels::Yuv { planes, strides, .. } = picture.pixels else { panic!("not YUV") };
    let (mut a, mut b) = (0u32, 0u32);
    for (which, plane) in planes.iter().enumerate() {
        let half = |n: u32| if which == 0 { n } else { n.div_ceil(2) };
        for row in plane.chunks(strides[which]).take(half(picture.height) as usize) {
            for byte in &row[..half(picture.width) as usize] {
                a = (a + u32::from(*byte)) % 65521;
                b = (b + a) % 65521;
            }
        }
    }
    b << 16 | a
}

/// Times and checksums of every frame, made by ffmpeg.
fn reference(name: &str) -> Vec<(f64, u32)> {
    let text = std::fs::read_to_string(fixture(name).with_extension("framecrc")).expect("a reference");
    let base = text.lines().find_map(|l| l.strip_prefix("#tb 0: ")).expect("a time base");
    let (num, den) = base.split_once('/').expect("a fraction");
    let (num, den): (f64, f64) = (num.parse().expect("a number"), den.parse().expect("a number"));
    let rows: Vec<(f64, u32)> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| {
            let fields: Vec<&str> = l.split(',').map(str::trim).collect();
            let hex = fields[5].trim_start_matches("0x");
            (fields[2].parse().expect("a number"), u32::from_str_radix(hex, 16).expect("hex"))
        })
        .collect();
    rows.iter().map(|(pts, sum)| ((pts - rows[0].0) * num / den, *sum)).collect()
}

/// Times and checksums of the wanted frames.
fn visited(clip: &mut dyn Clip, wanted: &[u64]) -> (VisitOutcome, Vec<(u64, f64, u32)>) {
    let mut frames = Vec::new();
    let visit = clip.visit(wanted, &mut |frame| {
        frames.push((frame.index, frame.time, checksum(&frame.picture)));
        Ok(())
    });
    (visit.expect("visits"), frames)
}

const CLIPS: [&str; 7] =
    ["bframes.mp4", "fragmented.mp4", "rotated.mp4", "uneven.mp4", "edited.mp4", "open_gop.mp4", "full_range.mp4"];

#[test]
fn every_frame_and_time_equals_ffmpegs() {
    for name in CLIPS {
        let reference = reference(name);
        let mut clip = clip(&fixture(name));
        assert_eq!(clip.frame_count().expect("counts"), reference.len() as u64, "{name}");
        let all: Vec<u64> = (0..reference.len() as u64).collect();
        let (visit, frames) = visited(&mut clip, &all);
        assert_eq!(visit, VisitOutcome::Done, "{name}");
        for ((index, time, sum), (reference_time, reference_sum)) in frames.iter().zip(&reference) {
            assert!((time - reference_time).abs() < 1e-9, "{name} frame {index}: {time} {reference_time}");
            assert_eq!(sum, reference_sum, "{name} frame {index}");
        }
        assert_eq!(frames.len(), reference.len(), "{name}");
        assert!(clip.warnings().is_empty(), "{name}: {:?}", clip.warnings());
    }
}

#[test]
fn a_frame_does_not_depend_on_what_else_is_wanted() {
    for name in CLIPS {
        let reference = reference(name);
        let n = reference.len() as u64;
        let mut clip = clip(&fixture(name));
        let choices = (0..n).map(|i| vec![i]).chain([vec![], vec![0, n - 1], (0..n).step_by(3).collect()]);
        for wanted in choices {
            let (visit, frames) = visited(&mut clip, &wanted);
            assert_eq!(visit, VisitOutcome::Done, "{name} {wanted:?}");
            assert_eq!(frames.iter().map(|s| s.0).collect::<Vec<_>>(), wanted, "{name}");
            assert!(frames.iter().all(|s| s.2 == reference[s.0 as usize].1), "{name} {wanted:?}");
        }
    }
}

#[test]
fn a_stream_skips_frames_before_the_requested_time() {
    for name in CLIPS {
        let reference = reference(name);
        for stride in [0.04, 0.1, 0.33] {
            let mut file = open(&fixture(name)).expect("opens");
            let mut stream = ReaderStream::new(file.info().clone(), file.reader().expect("reads"));
            let (mut t, mut from) = (0.0, 0);
            while let Some(frame) = stream.first_at_or_after(t).expect("streams") {
                let want = (from..reference.len()).find(|&i| reference[i].0 >= t - 0.0005).expect("a frame");
                assert_eq!(frame.index, want as u64, "{name} at {t}");
                assert_eq!(checksum(&frame.picture), reference[want].1, "{name} at {t}");
                (t, from) = (t + stride, want + 1);
            }
            assert!((from..reference.len()).all(|i| reference[i].0 < t - 0.0005), "{name} ended early at {t}");
        }
    }
}

#[test]
fn rotation_range_and_size_are_reported() {
    let mut rotated = open(&fixture("rotated.mp4")).expect("opens");
    assert_eq!((rotated.info().width, rotated.info().height), (38, 70));
    let mut reader = rotated.reader().expect("reads");
    reader.advance(&|_, _| true).expect("advances");
    let picture = reader.picture().expect("a picture");
    assert_eq!((picture.width, picture.height, picture.rotation), (70, 38, Rotation::ThreeQuarters));
    let full = open(&fixture("full_range.mp4")).expect("opens");
    assert!(full.tags.full_range && full.tags.matrix == Matrix::Bt709);
    let plain = open(&fixture("bframes.mp4")).expect("opens");
    assert!(!plain.tags.full_range && plain.tags.matrix == Matrix::Bt601);
    assert_eq!(plain.info.fps.map(|f| f.round()), Some(25.0));
}

#[test]
fn unsupported_video_is_described() {
    let Err(OpenError::Unsupported(what)) = Mp4File::open("a.mp4", &fixture("yuv444.mp4"), None) else {
        panic!("decoded 4:4:4")
    };
    assert_eq!(what, "H.264 with 4:4:4 chroma");
}

/// A changed copy of a fixture.
fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::NamedTempFile {
    let mut bytes = std::fs::read(fixture(name)).expect("read");
    change(&mut bytes);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    file
}

/// Overwrites the contents of the slices of the sample with the rank `rank`.
fn corrupt(bytes: &mut [u8], name: &str, rank: usize) {
    let movie = open(&fixture(name)).expect("opens").movie;
    let sample = movie.samples[movie.order[rank] as usize];
    let start = sample.offset as usize;
    let end = start + sample.size as usize;
    // The slice is the last NAL unit of the sample; each NAL unit follows a length of four bytes.
    let mut at = start;
    while at + 4 < end {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        if matches!(bytes[at + 4] & 31, 1 | 5) {
            bytes[at + 5..at + 4 + length].fill(0xaa);
        }
        at += 4 + length;
    }
}

#[test]
fn a_corrupt_picture_that_is_not_needed_is_not_decoded() {
    // No frame refers to frame 1, a B-frame; its group refers to frame 4, a P-frame.
    for (corrupted, wanted, visit) in [
        (1, vec![0, 4, 9], VisitOutcome::Done),
        (4, vec![12, 20], VisitOutcome::Done),
        (4, vec![5], VisitOutcome::CountChanged),
    ] {
        let file = changed("bframes.mp4", |bytes| corrupt(bytes, "bframes.mp4", corrupted));
        assert_eq!(visited(&mut clip(file.path()), &wanted).0, visit, "{corrupted} {wanted:?}");
    }
}

#[test]
fn a_damaged_end_is_found_and_skipped() {
    let reference = reference("bframes.mp4");
    let file = changed("bframes.mp4", |bytes| corrupt(bytes, "bframes.mp4", 28));
    let mut clip = clip(file.path());
    assert_eq!(clip.frame_count().expect("counts"), 30);
    assert_eq!(visited(&mut clip, &[0, 10]).0, VisitOutcome::CountChanged);
    let n = clip.frame_count().expect("counts");
    assert!((20..30).contains(&n), "{n}");
    assert!(clip.warnings()[0].contains("cannot be decoded"), "{:?}", clip.warnings());
    let all: Vec<u64> = (0..n).collect();
    let (visit, frames) = visited(&mut clip, &all);
    assert_eq!(visit, VisitOutcome::Done);
    assert!(frames.iter().take(20).all(|s| s.2 == reference[s.0 as usize].1));
}

#[test]
fn a_truncated_file_gives_the_frames_that_are_left() {
    for (name, parts) in [("uneven.mp4", [15, 8]), ("fragmented.mp4", [10, 2])] {
        let reference = reference(name);
        let whole = std::fs::metadata(fixture(name)).expect("there").len() as usize;
        for cut in parts.map(|part| whole / part) {
            let file = changed(name, |bytes| bytes.truncate(whole - cut));
            let mut clip = clip(file.path());
            let n = clip.frame_count().expect("counts");
            assert!(n > 0 && n < reference.len() as u64, "{name} {cut}: {n}");
            assert!(clip.warnings()[0].contains("truncated"), "{:?}", clip.warnings());
            let (mut visit, mut frames) = visited(&mut clip, &[0]);
            if visit == VisitOutcome::CountChanged {
                (visit, frames) = visited(&mut clip, &[0]);
            }
            assert_eq!((visit, frames[0].2), (VisitOutcome::Done, reference[0].1), "{name} {cut}");
        }
    }
}

#[test]
fn files_without_an_index_or_pictures_are_refused() {
    let half = changed("bframes.mp4", |bytes| bytes.truncate(bytes.len() / 2));
    let no_moov = open(half.path()).err().expect("refused").to_string();
    assert!(no_moov.contains("no index (moov)"), "{no_moov}");
    let head = changed("uneven.mp4", |bytes| bytes.truncate(bytes.len() * 3 / 10));
    let error = open(head.path()).err().expect("refused").to_string();
    assert!(error.contains("truncated"), "{error}");
    let zeros = changed("bframes.mp4", |bytes| bytes.fill(0));
    assert!(open(zeros.path()).is_err());
}

#[test]
fn hostile_bytes_do_not_panic() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..240 {
        let name = CLIPS[round % CLIPS.len()];
        let file = changed(name, |bytes| {
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                bytes[at] = [0, 0xff, 0x80, random(256) as u8][random(4)];
            }
        });
        let Ok(opened) = Mp4File::open("clip.mp4", file.path(), None) else { continue };
        let mut clip = RecordedClip::new("clip.mp4".into(), Box::new(opened));
        for _ in 0..2 {
            let Ok(n) = clip.frame_count() else { break };
            let wanted: Vec<u64> = (0..n).step_by(4).collect();
            if let Ok(VisitOutcome::Done) | Err(_) = clip.visit(&wanted, &mut |_| Ok(())) {
                break;
            }
        }
    }
}

#[test]
fn long_term_references_are_in_doubt() {
    let original = std::fs::read(fixture("bframes.mp4")).expect("read");
    let opened = open(&fixture("bframes.mp4")).expect("opens");
    let (movie, sets) = (&opened.movie, &opened.movie.config.known_sets);
    // The first slice of the sample that is decoded last but one group of pictures.
    let sample = movie.samples[10];
    let mut at = sample.offset as usize;
    while !matches!(original[at + 4] & 31, 1 | 5) {
        at += 4 + u32::from_be_bytes(original[at..at + 4].try_into().expect("four bytes")) as usize;
    }
    let length = u32::from_be_bytes(original[at..at + 4].try_into().expect("four bytes")) as usize;
    assert!(!sets.has_long_term(&original[at + 4..at + 4 + length]));
    // One bit of its header makes it a long-term reference.
    let bit = (8..96).find(|bit| {
        let mut slice = original[at + 4..at + 4 + length].to_vec();
        slice[bit / 8] ^= 0x80 >> (bit % 8);
        slice[0] == original[at + 4] && sets.has_long_term(&slice)
    });
    let bit = bit.expect("a bit of the header");
    let file = changed("bframes.mp4", |bytes| bytes[at + 4 + bit / 8] ^= 0x80 >> (bit % 8));
    let mut doubtful = open(file.path()).expect("opens");
    let mut reader = doubtful.reader().expect("reads");
    while reader.advance(&|_, _| true).expect("advances").is_some() {}
    assert!(reader.doubt().is_some_and(|doubt| doubt.contains("long-term")), "{:?}", reader.doubt());
    drop(reader);
    assert!(Recording::doubt(&doubtful).is_some_and(|doubt| doubt.contains("long-term")));
}
