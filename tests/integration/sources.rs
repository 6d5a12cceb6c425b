//! Inputs are read by their content or refused in one clear sentence, and a clip and a pipe of its frames are sampled
//! alike.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use bike_edge::Error;
use bike_edge::picture::Pixels;
use bike_edge::source::{Clip, ReadSpec, SourceOptions, VisitOutcome, open_clip, open_stream};
use bike_edge::units::ByteSize;

use crate::support::skip::skip;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources").join(name)
}

/// Options without `ffmpeg`, so that these tests give the same result on every machine.
fn without_ffmpeg() -> SourceOptions {
    SourceOptions { ffmpeg: Some("/nowhere/ffmpeg".into()), ..Default::default() }
}

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

/// Returns the message with which an input is refused as a clip; checks that it is refused as a stream too.
fn refusal(input: &OsStr) -> String {
    let of = |error: Error| {
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
        let sentence = error.to_string();
        assert!(!sentence.contains('\n') && !sentence.contains("internal"), "{sentence}");
        sentence
    };
    let clip =
        open_clip(input, &without_ffmpeg()).and_then(|mut clip| clip.frame_count()).err().map(of).expect("refused");
    let stream = open_stream(input, &without_ffmpeg()).and_then(|mut s| s.first_at_or_after(0.0).map(|f| f.is_some()));
    assert!(!matches!(stream, Ok(true)), "{clip}");
    clip
}

#[test]
fn bad_files_are_refused_in_one_sentence_with_a_remedy() {
    let cases: [(&str, &[u8], &str); 9] = [
        ("empty.mp4", b"", "is empty (0 bytes)"),
        ("notes.mp4", b"buy milk\nand bread\n", "contains text, not video"),
        ("zeros.mp4", &[0; 4096], "/nowhere/ffmpeg"),
        ("head.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "no index (moov)"),
        ("moov.mp4", b"\0\0\0\x10ftypisom\0\0\0\0\xff\xff\xff\xffmoov", "index (moov) that is truncated"),
        ("clip.gif", b"GIF89a", "damaged GIF"),
        ("clip.y4m", b"YUV4MPEG2 W16384 H16384 F25:1\nFRAME\n", "16384 x 16384"),
        ("none.y4m", b"YUV4MPEG2 W64 H48 F25:1\n", "no frame can be decoded"),
        ("clip.avi", b"RIFF\x10\0\0\0AVI LIST\0\0\0\0", "/nowhere/ffmpeg"),
    ];
    for (name, bytes, expected) in cases {
        let (_folder, path) = written(name, bytes);
        let sentence = refusal(path.as_os_str());
        assert!(sentence.contains(expected) && sentence.contains(name), "{sentence}");
    }
}

#[test]
fn missing_inputs_are_refused_by_name() {
    let (folder, _) = written("bikes.mp4", b"x");
    let missing = refusal(folder.path().join("bike.mp4").as_os_str());
    assert!(missing.contains("did you mean") && missing.contains("bikes.mp4"), "{missing}");
    assert!(refusal(OsStr::new("/nowhere/at/all.mp4")).contains("no such file"));
    let no_stills = tempfile::tempdir().expect("a folder");
    assert!(refusal(no_stills.path().as_os_str()).contains("without stills"));
    let url = refusal(OsStr::new("rtsp://me:secret@camera.local/live"));
    assert!(url.contains("rtsp://camera.local/...") && !url.contains("secret"), "{url}");
}

#[test]
#[cfg(unix)]
fn a_file_without_read_permission_is_refused_with_a_remedy() {
    use std::os::unix::fs::PermissionsExt;
    // SAFETY: the call has no arguments and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        skip("root may read every file");
        return;
    }
    let (_folder, path) = written("private.mp4", b"x");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("changed");
    assert!(refusal(path.as_os_str()).contains("chmod"));
}

#[test]
#[cfg(unix)]
fn file_names_need_not_be_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let name = OsStr::from_bytes(b"caf\xe9.mp4");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::copy(fixture("bframes.mp4"), &path).expect("copied");
    let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("opens");
    assert_eq!(clip.frame_count().expect("counts"), 30);
}

#[test]
fn the_content_of_a_file_decides_its_format() {
    let bytes = std::fs::read(fixture("bframes.mp4")).expect("read");
    let (_folder, path) = written("clip.gif", &bytes);
    let clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("opens");
    assert_eq!(clip.info().format, "H.264 in MP4");
}

#[test]
fn video_that_only_ffmpeg_decodes_is_refused_with_a_remedy() {
    let sentence = refusal(fixture("yuv444.mp4").as_os_str());
    assert!(sentence.contains("4:4:4") && sentence.contains("ffmpeg"), "{sentence}");
}

/// Returns the frames of a clip as y4m, as `ffmpeg -i clip -f yuv4mpegpipe -` would write them.
fn as_y4m(clip: &mut dyn Clip, rate: &str) -> Vec<u8> {
    let info = clip.info().clone();
    let mut y4m = format!("YUV4MPEG2 W{} H{} F{rate} Ip A1:1 C420jpeg\n", info.width, info.height).into_bytes();
    let all: Vec<u64> = (0..clip.frame_count().expect("counts")).collect();
    let visit = clip.visit(&all, &mut |frame| {
        let Pixels::Yuv { planes, strides, .. } = frame.picture.pixels else { panic!("not YUV") };
        y4m.extend_from_slice(b"FRAME\n");
        for (which, plane) in planes.iter().enumerate() {
            let half = |n: u32| if which == 0 { n } else { n.div_ceil(2) } as usize;
            for row in plane.chunks(strides[which]).take(half(frame.picture.height)) {
                y4m.extend_from_slice(&row[..half(frame.picture.width)]);
            }
        }
        Ok(())
    });
    assert_eq!(visit.expect("visits"), VisitOutcome::Done);
    y4m
}

/// Returns index, time and first row of every frame that a stride selects.
fn sampled(input: &OsStr, stride: f64) -> Vec<(u64, f64, Vec<u8>)> {
    let mut stream = open_stream(input, &without_ffmpeg()).expect("opens");
    let mut sampled = Vec::new();
    while let Some(frame) = stream.first_at_or_after(sampled.len() as f64 * stride).expect("streams") {
        let Pixels::Yuv { planes, .. } = frame.picture.pixels else { panic!("not YUV") };
        sampled.push((frame.index, frame.time, planes[0][..frame.picture.width as usize].to_vec()));
    }
    sampled
}

#[test]
fn a_clip_and_a_pipe_of_its_frames_are_sampled_alike() {
    for (name, rate) in [("bframes.mp4", "25:1"), ("fragmented.mp4", "30000:1001"), ("open_gop.mp4", "50:2")] {
        let path = fixture(name);
        let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("opens");
        let (_folder, y4m) = written("clip.y4m", &as_y4m(&mut *clip, rate));
        for stride in [0.01, 0.04, 0.1, 0.15, 1.0 / 3.0] {
            let (clip, pipe) = (sampled(path.as_os_str(), stride), sampled(y4m.as_os_str(), stride));
            assert!(clip == pipe && !clip.is_empty(), "{name} at {stride}");
        }
    }
}

#[test]
#[cfg(unix)]
fn a_named_pipe_is_streamed_or_spooled() {
    let folder = tempfile::tempdir().expect("a folder");
    let y4m = as_y4m(&mut *open_clip(fixture("bframes.mp4").as_os_str(), &without_ffmpeg()).expect("opens"), "25:1");
    let mp4 = std::fs::read(fixture("bframes.mp4")).expect("read");
    for (name, bytes) in [("y4m", y4m), ("mp4", mp4)] {
        let path = folder.path().join(name);
        let c_path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no zeros");
        // SAFETY: the path is a valid C string.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
        let feed = |bytes: Vec<u8>| {
            let path = path.clone();
            std::thread::spawn(move || std::fs::OpenOptions::new().write(true).open(path)?.write_all(&bytes))
        };
        let feeder = feed(bytes.clone());
        assert_eq!(sampled(path.as_os_str(), 0.2).iter().map(|f| f.0).collect::<Vec<_>>(), [0, 5, 10, 15, 20, 25]);
        feeder.join().expect("joined").ok();
        let feeder = feed(bytes.clone());
        let mut clip = open_clip(path.as_os_str(), &without_ffmpeg()).expect("opens");
        assert_eq!(clip.frame_count().expect("counts"), 30);
        feeder.join().expect("joined").expect("written");
        let feeder = feed(bytes);
        let small = SourceOptions {
            read: ReadSpec { spool_limit: ByteSize::new(1000), ..ReadSpec::default() },
            ..without_ffmpeg()
        };
        let error = open_clip(path.as_os_str(), &small).err().expect("refused").to_string();
        assert!(error.contains("raise `spool_limit`"), "{error}");
        feeder.join().expect("joined").ok();
    }
}

#[test]
#[cfg(unix)]
fn a_silent_pipe_is_refused_with_the_key_of_its_timeout() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let c_path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no zeros");
    // SAFETY: the path is a valid C string.
    assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
    // Open for reading and writing, so that the open does not wait for a reader.
    let writer = std::fs::OpenOptions::new().read(true).write(true).open(&path).expect("opens");
    let options = SourceOptions { read: ReadSpec { timeout_s: 0.2, ..ReadSpec::default() }, ..without_ffmpeg() };
    let result =
        open_stream(path.as_os_str(), &options).and_then(|mut s| s.first_at_or_after(0.0).map(|f| f.is_some()));
    let sentence = result.expect_err("refused").to_string();
    drop(writer);
    assert!(sentence.contains("no data arrived for 0.2 s") && sentence.contains("raise `timeout_s`"), "{sentence}");
    assert!(!sentence.contains("--"), "a library message names no flag: {sentence}");
}
