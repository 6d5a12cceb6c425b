//! Reads every frame of made recordings, as clips and as streams.

use std::path::{Path, PathBuf};
use std::process::Command;

use bike_edge::picture::{Picture, Pixels, Rotation};
use bike_edge::source::{SourceOptions, find_ffmpeg, open_clip, open_stream};

use super::skip::skip;

/// The contents of a file in `tests/data/sources`.
pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources").join(name)).expect("read")
}

/// Options without any `ffmpeg`.
pub fn without_ffmpeg() -> SourceOptions {
    SourceOptions { ffmpeg: Some("/nowhere/ffmpeg".into()), ..SourceOptions::default() }
}

/// Options with the installed `ffmpeg`; `None` skips the test.
pub fn with_ffmpeg() -> Option<SourceOptions> {
    let options = SourceOptions::default();
    if find_ffmpeg(&options).is_none() {
        skip("ffmpeg is not installed");
        return None;
    }
    Some(options)
}

/// A folder that is removed in the end.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    /// Creates one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Runs `ffmpeg` with these arguments in the folder; returns what it writes to standard output.
    pub fn ffmpeg(&self, arguments: &str) -> Vec<u8> {
        let mut command = Command::new("ffmpeg");
        command.current_dir(self.0.path()).args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-bitexact"]);
        let output = command.args(arguments.split_whitespace()).output().expect("ffmpeg runs");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// Width, height and luma rows of a picture as it is displayed.
pub fn upright(picture: &Picture<'_>) -> (u32, u32, Vec<u8>) {
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
pub type Shown = (f64, (u32, u32, Vec<u8>));

/// Every frame of a clip, and its warnings.
pub fn clip_frames(path: &Path, options: &SourceOptions) -> Result<(Vec<Shown>, Vec<String>), String> {
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
pub fn stream_frames(path: &Path, options: &SourceOptions) -> Result<Vec<Shown>, String> {
    let mut stream = open_stream(path.as_os_str(), options).map_err(|e| e.to_string())?;
    let mut frames = Vec::new();
    while let Some(frame) = stream.first_at_or_after(0.0).map_err(|e| e.to_string())? {
        frames.push((frame.time, upright(&frame.picture)));
    }
    Ok(frames)
}

/// Checks that clip and stream agree, and returns the frames and the clip's warnings.
pub fn both(path: &Path, options: &SourceOptions) -> (Vec<Shown>, Vec<String>) {
    let (frames, warnings) = clip_frames(path, options).expect("a clip");
    let stream = stream_frames(path, options).expect("a stream");
    let times = |frames: &[Shown]| frames.iter().map(|frame| frame.0).collect::<Vec<_>>();
    assert_eq!(times(&stream), times(&frames), "clip and stream differ in time");
    assert!(stream == frames, "clip and stream differ");
    assert!(frames.windows(2).all(|pair| pair[0].0 <= pair[1].0), "times go back");
    (frames, warnings)
}

/// The refusal of a file as a clip and as a stream.
pub fn refusal(path: &Path, options: &SourceOptions) -> String {
    let clip = clip_frames(path, options).expect_err("refused as a clip");
    let stream = stream_frames(path, options).expect_err("refused as a stream");
    assert_eq!(clip, stream);
    assert!(!clip.contains('\n') && !clip.contains("internal"), "{clip}");
    clip
}
