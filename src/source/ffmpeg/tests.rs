//! These need an installed `ffmpeg`, and say so where there is none.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::source::recorded::{ReaderStream, RecordedClip};
use crate::source::{Clip, Stream, Visit};

/// Options where `ffmpeg` is there.
fn options() -> Option<SourceOptions> {
    let options = SourceOptions::default();
    if find_ffmpeg(&options).is_none() {
        eprintln!("skipped: ffmpeg is not installed");
        return None;
    }
    Some(options)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources").join(name)
}

fn file(path: PathBuf, options: &SourceOptions) -> FfmpegFile {
    FfmpegFile::open("clip", path, "this", options).expect("opens")
}

#[test]
fn frames_and_uneven_times_are_exact() {
    let Some(options) = options() else { return };
    let mut clip = RecordedClip::new("clip".into(), Box::new(file(fixture("uneven.mp4"), &options)));
    assert_eq!(clip.frame_count().expect("counts"), 20);
    assert_eq!((clip.info().width, clip.info().height), (64, 48));
    let mut seen = Vec::new();
    let visit = clip.visit(&[0, 1, 7, 19], &mut |frame| {
        seen.push((frame.index, frame.time));
        assert_eq!(frame.picture.display_size(), (64, 48));
        Ok(())
    });
    assert_eq!(visit.expect("visits"), Visit::Done);
    // Frame n is shown at (n + (n mod 3) * 0.3) / 25 s, in ticks of 1/12800 s.
    let time = |n: u64| ((n as f64 + (n % 3) as f64 * 0.3) / 25.0 * 12800.0 + 1e-6).floor() / 12800.0;
    assert_eq!(seen, [0, 1, 7, 19].map(|n| (n, time(n))));
}

#[test]
fn few_frames_are_picked_and_many_are_all_handed_over() {
    let Some(options) = options() else { return };
    let mut y4m = b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg\n".to_vec();
    for frame in 0..150u8 {
        y4m.extend_from_slice(b"FRAME\n");
        y4m.extend_from_slice(&[frame + 16; 384]);
    }
    let kept = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(kept.path(), y4m).expect("written");
    let mut clip = RecordedClip::new("clip".into(), Box::new(file(kept.path().into(), &options)));
    assert_eq!(clip.frame_count().expect("counts"), 150);
    for step in [40, 3, 2, 1] {
        let wanted: Vec<u64> = (0..150).step_by(step).collect();
        let mut seen = Vec::new();
        let visit = clip.visit(&wanted, &mut |frame| {
            let super::super::Pixels::Yuv { planes, .. } = frame.picture.pixels else { panic!("not YUV") };
            assert_eq!(u64::from(planes[0][0]), frame.index + 16);
            assert_eq!(frame.time, frame.index as f64 / 25.0);
            seen.push(frame.index);
            Ok(())
        });
        assert_eq!((visit.expect("visits"), seen), (Visit::Done, wanted));
    }
}

#[test]
fn a_stream_is_read_in_one_pass_and_upright() {
    let Some(options) = options() else { return };
    let mut file = file(fixture("rotated.mp4"), &options);
    let reader = file.forward().expect("reads");
    let mut stream = ReaderStream::new(file.info().clone(), reader);
    let frame = stream.first_at_or_after(0.1).expect("streams").expect("a frame");
    assert_eq!((frame.index, frame.picture.display_size()), (3, (38, 70)));
    let mut left = 0;
    while stream.first_at_or_after(0.0).expect("streams").is_some() {
        left += 1;
    }
    assert_eq!(left, 6);
}

#[test]
fn colours_come_along() {
    let Some(options) = options() else { return };
    let mut file = file(fixture("full_range.mp4"), &options);
    let mut reader = file.forward().expect("reads");
    reader.advance(&|_, _| true).expect("advances");
    let super::super::Pixels::Yuv { full_range, matrix, .. } = reader.picture().expect("a picture").pixels else {
        panic!("not YUV")
    };
    assert!(full_range && matrix == crate::source::Matrix::Bt709);
}

#[test]
fn a_pipe_goes_through() {
    let Some(options) = options() else { return };
    let bytes = std::fs::read(fixture("fragmented.mp4")).expect("read");
    let (head, rest) = bytes.split_at(512);
    let address = Address::Pipe(head.to_vec(), Box::new(std::io::Cursor::new(rest.to_vec())));
    let (_, mut reader) = open_stream("standard input", address, &options).expect("opens");
    let mut frames = 0;
    while reader.advance(&|_, _| true).expect("advances").is_some() {
        frames += 1;
    }
    assert_eq!(frames, 30);
}

#[test]
fn names_that_look_like_options_or_are_not_utf8_are_files() {
    let Some(options) = options() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    #[cfg(unix)]
    let names: Vec<std::ffi::OsString> = {
        use std::os::unix::ffi::OsStringExt;
        vec!["-y.avi".into(), "a:b?c.avi".into(), std::ffi::OsString::from_vec(b"caf\xe9.avi".to_vec())]
    };
    #[cfg(not(unix))]
    let names: Vec<std::ffi::OsString> = vec!["-y.avi".into()];
    for name in names {
        let path = folder.path().join(&name);
        std::fs::copy(fixture("bframes.mp4"), &path).expect("copied");
        assert_eq!(file(path, &options).count().expect("counts"), 30, "{name:?}");
    }
}

#[test]
fn what_ffmpeg_says_is_quoted() {
    let Some(options) = options() else { return };
    let junk = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(junk.path(), [0x5au8, 1, 2, 3].repeat(500)).expect("written");
    let error = file(junk.path().into(), &options).count().expect_err("refused").to_string();
    assert!(error.contains("ffmpeg cannot read it: "), "{error}");
    let error = file(junk.path().into(), &options).forward().err().expect("refused").to_string();
    assert!(error.contains("ffmpeg cannot read it: "), "{error}");
}

#[test]
#[cfg(unix)]
fn patience_ends_and_the_child_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let (script, pid) = (folder.path().join("ffmpeg"), folder.path().join("pid"));
    let text = format!("#!/bin/sh\n[ \"$1\" = -version ] && exit 0\necho $$ > {}\nexec sleep 60\n", pid.display());
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("allowed");
    let options = SourceOptions { ffmpeg: Some(script), io_timeout_s: 0.3, ..Default::default() };
    for forward in [false, true] {
        let mut silent = file(fixture("bframes.mp4"), &options);
        let error = if forward { silent.forward().err() } else { silent.count().err() };
        let error = error.expect("patience ends").to_string();
        assert!(error.contains("handed over nothing"), "{error}");
        let pid = std::fs::read_to_string(&pid).expect("it ran");
        let gone = Command::new("kill").args(["-0", pid.trim()]).output().expect("kill runs");
        assert!(!gone.status.success(), "the child outlived its reader");
    }
}
