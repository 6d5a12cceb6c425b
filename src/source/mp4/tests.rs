use super::*;
use crate::source::recorded::{ReaderStream, RecordedClip};
use crate::source::{Clip, Pixels, Stream, Visit};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources").join(name)
}

fn open(path: &Path) -> Result<Mp4File> {
    match Mp4File::open("clip.mp4", path, None)? {
        Opened::Ours(file) => Ok(*file),
        Opened::Foreign(what) => panic!("{what}"),
    }
}

fn clip(path: &Path) -> RecordedClip {
    RecordedClip::new("clip.mp4".into(), Box::new(open(path).expect("opens")))
}

/// Adler-32 over the rows of all planes, begun at 0 as ffmpeg's framecrc begins it.
fn checksum(picture: &crate::source::Picture<'_>) -> u32 {
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

/// Times and checksums of every frame, as ffmpeg found them.
fn golden(name: &str) -> Vec<(f64, u32)> {
    let text = std::fs::read_to_string(fixture(name).with_extension("framecrc")).expect("a golden");
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
fn visited(clip: &mut dyn Clip, wanted: &[u64]) -> (Visit, Vec<(u64, f64, u32)>) {
    let mut seen = Vec::new();
    let visit = clip.visit(wanted, &mut |frame| {
        seen.push((frame.index, frame.time, checksum(&frame.picture)));
        Ok(())
    });
    (visit.expect("visits"), seen)
}

const CLIPS: [&str; 7] =
    ["bframes.mp4", "fragmented.mp4", "rotated.mp4", "uneven.mp4", "edited.mp4", "open_gop.mp4", "full_range.mp4"];

#[test]
fn every_frame_and_time_is_as_ffmpeg_has_them() {
    for name in CLIPS {
        let golden = golden(name);
        let mut clip = clip(&fixture(name));
        assert_eq!(clip.frame_count().expect("counts"), golden.len() as u64, "{name}");
        let all: Vec<u64> = (0..golden.len() as u64).collect();
        let (visit, seen) = visited(&mut clip, &all);
        assert_eq!(visit, Visit::Done, "{name}");
        for ((index, time, sum), (golden_time, golden_sum)) in seen.iter().zip(&golden) {
            assert!((time - golden_time).abs() < 1e-9, "{name} frame {index}: {time} {golden_time}");
            assert_eq!(sum, golden_sum, "{name} frame {index}");
        }
        assert_eq!(seen.len(), golden.len(), "{name}");
        assert!(clip.warnings().is_empty(), "{name}: {:?}", clip.warnings());
    }
}

#[test]
fn a_frame_is_the_same_whatever_else_is_wanted() {
    for name in CLIPS {
        let golden = golden(name);
        let n = golden.len() as u64;
        let mut clip = clip(&fixture(name));
        let choices = (0..n).map(|i| vec![i]).chain([vec![], vec![0, n - 1], (0..n).step_by(3).collect()]);
        for wanted in choices {
            let (visit, seen) = visited(&mut clip, &wanted);
            assert_eq!(visit, Visit::Done, "{name} {wanted:?}");
            assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), wanted, "{name}");
            assert!(seen.iter().all(|s| s.2 == golden[s.0 as usize].1), "{name} {wanted:?}");
        }
    }
}

#[test]
fn a_stream_passes_over_what_comes_before_its_time() {
    for name in CLIPS {
        let golden = golden(name);
        for stride in [0.04, 0.1, 0.33] {
            let mut file = open(&fixture(name)).expect("opens");
            let mut stream = ReaderStream::new(file.info().clone(), file.reader().expect("reads"));
            let (mut t, mut from) = (0.0, 0);
            while let Some(frame) = stream.first_at_or_after(t).expect("streams") {
                let want = (from..golden.len()).find(|&i| golden[i].0 >= t - 0.0005).expect("a frame");
                assert_eq!(frame.index, want as u64, "{name} at {t}");
                assert_eq!(checksum(&frame.picture), golden[want].1, "{name} at {t}");
                (t, from) = (t + stride, want + 1);
            }
            assert!((from..golden.len()).all(|i| golden[i].0 < t - 0.0005), "{name} ended early at {t}");
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
    assert!(full.look.full_range && full.look.matrix == Matrix::Bt709);
    let plain = open(&fixture("bframes.mp4")).expect("opens");
    assert!(!plain.look.full_range && plain.look.matrix == Matrix::Bt601);
    assert_eq!(plain.info.fps.map(|f| f.round()), Some(25.0));
}

#[test]
fn what_is_not_decoded_here_is_named() {
    let Opened::Foreign(what) = Mp4File::open("a.mp4", &fixture("yuv444.mp4"), None).expect("opens") else {
        panic!("decoded 4:4:4")
    };
    assert_eq!(what, "H.264 with 4:4:4 chroma");
}

/// A copy of a fixture, changed.
fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::NamedTempFile {
    let mut bytes = std::fs::read(fixture(name)).expect("read");
    change(&mut bytes);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    file
}

/// Overwrites what follows the header of the slices of the sample shown at `rank`.
fn wreck(bytes: &mut [u8], name: &str, rank: usize) {
    let movie = open(&fixture(name)).expect("opens").movie;
    let sample = movie.samples[movie.order[rank] as usize];
    let start = sample.offset as usize;
    let end = start + sample.size as usize;
    // The slice is the last NAL unit of the sample: lengths of four bytes lead to it.
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
fn a_wreck_that_is_not_needed_is_not_decoded() {
    // Frame 1 is a B-frame that no other needs; frame 4 the P-frame that its group stands on.
    for (wrecked, wanted, visit) in
        [(1, vec![0, 4, 9], Visit::Done), (4, vec![12, 20], Visit::Done), (4, vec![5], Visit::Recounted)]
    {
        let file = changed("bframes.mp4", |bytes| wreck(bytes, "bframes.mp4", wrecked));
        assert_eq!(visited(&mut clip(file.path()), &wanted).0, visit, "{wrecked} {wanted:?}");
    }
}

#[test]
fn a_damaged_end_is_found_and_left_out() {
    let golden = golden("bframes.mp4");
    let file = changed("bframes.mp4", |bytes| wreck(bytes, "bframes.mp4", 28));
    let mut clip = clip(file.path());
    assert_eq!(clip.frame_count().expect("counts"), 30);
    assert_eq!(visited(&mut clip, &[0, 10]).0, Visit::Recounted);
    let n = clip.frame_count().expect("counts");
    assert!((20..30).contains(&n), "{n}");
    assert!(clip.warnings()[0].contains("cannot be decoded"), "{:?}", clip.warnings());
    let all: Vec<u64> = (0..n).collect();
    let (visit, seen) = visited(&mut clip, &all);
    assert_eq!(visit, Visit::Done);
    assert!(seen.iter().take(20).all(|s| s.2 == golden[s.0 as usize].1));
}

#[test]
fn a_cut_file_gives_what_is_left_of_it() {
    for (name, parts) in [("uneven.mp4", [15, 8]), ("fragmented.mp4", [10, 2])] {
        let golden = golden(name);
        let whole = std::fs::metadata(fixture(name)).expect("there").len() as usize;
        for cut in parts.map(|part| whole / part) {
            let file = changed(name, |bytes| bytes.truncate(whole - cut));
            let mut clip = clip(file.path());
            let n = clip.frame_count().expect("counts");
            assert!(n > 0 && n < golden.len() as u64, "{name} {cut}: {n}");
            assert!(clip.warnings()[0].contains("cut off"), "{:?}", clip.warnings());
            let (mut visit, mut seen) = visited(&mut clip, &[0]);
            if visit == Visit::Recounted {
                (visit, seen) = visited(&mut clip, &[0]);
            }
            assert_eq!((visit, seen[0].2), (Visit::Done, golden[0].1), "{name} {cut}");
        }
    }
}

#[test]
fn files_without_an_index_or_pictures_are_refused_with_a_reason() {
    let half = changed("bframes.mp4", |bytes| bytes.truncate(bytes.len() / 2));
    let no_moov = open(half.path()).err().expect("refused").to_string();
    assert!(no_moov.contains("no index (moov)"), "{no_moov}");
    let head = changed("uneven.mp4", |bytes| bytes.truncate(bytes.len() * 3 / 10));
    let error = open(head.path()).err().expect("refused").to_string();
    assert!(error.contains("cut off"), "{error}");
    let zeros = changed("bframes.mp4", |bytes| bytes.fill(0));
    assert!(open(zeros.path()).is_err());
}

#[test]
fn hostile_bytes_are_survived() {
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
        let Ok(Opened::Ours(opened)) = Mp4File::open("clip.mp4", file.path(), None) else { continue };
        let mut clip = RecordedClip::new("clip.mp4".into(), opened);
        for _ in 0..2 {
            let Ok(n) = clip.frame_count() else { break };
            let wanted: Vec<u64> = (0..n).step_by(4).collect();
            if let Ok(Visit::Done) | Err(_) = clip.visit(&wanted, &mut |_| Ok(())) {
                break;
            }
        }
    }
}
