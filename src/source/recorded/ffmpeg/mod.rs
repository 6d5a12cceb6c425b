//! Reads all other formats through an installed `ffmpeg`, as a child process.
//!
//! `ffmpeg` writes raw pixels to its standard output: every decoded frame once (no frame is duplicated or dropped to
//! make the rate constant), upright, in 8 bits, in its own size. For each of them the `showinfo` filter writes size,
//! pixel format and exact timestamp to standard error; both are read side by side. A first pass counts a clip: it
//! decodes without delivering pixels. In the second pass `ffmpeg` delivers only the wanted frames.
//!
//! No shell is involved. A file is passed as `file:PATH`, so that no name is taken for an option or a URL, and the
//! protocols that `ffmpeg` may use are listed for every kind of input. For a file, so are the demuxers: none that reads
//! other files, such as a playlist's.

mod child;
mod command;
mod program;
mod reader;
mod showinfo;

use std::path::PathBuf;

use self::command::{Ffmpeg, Job, Output};
use self::reader::{CountedFrames, FfmpegReader};
use super::{Reader, Recording};
use crate::source::wait::CancelFlag;
use crate::source::{ClipInfo, SourceOptions};
use crate::{Error, Result};
pub(in crate::source) use command::FfmpegInput;
pub use program::find_ffmpeg;

/// Maximum number of frames of a clip, as for every other format: 46 hours at 24 per second.
const MAX_FRAMES: usize = 4_000_000;
/// A file that `ffmpeg` decodes.
pub(in crate::source) struct FfmpegFile {
    input: String,
    path: PathBuf,
    ffmpeg: Ffmpeg,
    info: ClipInfo,
    frames: CountedFrames,
    warnings: Vec<String>,
}

impl FfmpegFile {
    /// Opens a file. `what` is the kind of input, for the error if there is no `ffmpeg`.
    pub(in crate::source) fn open(input: &str, path: PathBuf, what: &str, options: &SourceOptions) -> Result<Self> {
        let ffmpeg = Ffmpeg::find(input, what, options, &CancelFlag::default())?;
        Ok(Self {
            input: input.into(),
            path,
            ffmpeg,
            info: unknown("ffmpeg"),
            frames: CountedFrames::default(),
            warnings: Vec::new(),
        })
    }

    fn job(&self, output: Output) -> Job {
        Job { input: self.input.clone(), source: FfmpegInput::File(self.path.clone()), output }
    }
}

impl Recording for FfmpegFile {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        self.count()?;
        let job = self.job(Output::InfoOnly);
        Ok(Box::new(FfmpegReader::picked(self.ffmpeg.clone(), job, self.frames.clone())))
    }

    fn forward_reader(&mut self) -> Result<Box<dyn Reader>> {
        let job = self.job(Output::All);
        Ok(Box::new(FfmpegReader::all(self.ffmpeg.clone(), job)?))
    }

    fn count(&mut self) -> Result<u64> {
        if self.frames.is_empty() {
            let mut process = self.ffmpeg.run(self.job(Output::InfoOnly))?;
            let mut stamps = Vec::new();
            let mut several_sizes = false;
            while let Some(frame) = process.frames.next()? {
                if stamps.len() == MAX_FRAMES {
                    return Err(Error::input(&self.input, format!("has more than {MAX_FRAMES} frames; cut it first")));
                }
                if stamps.is_empty() {
                    (self.info.width, self.info.height) = frame.size;
                } else {
                    several_sizes |= frame.new_filters;
                }
                stamps.push(frame.stamp);
            }
            let outcome = process.wait()?;
            if stamps.is_empty() {
                return Err(outcome.no_frames(&self.input));
            }
            let mut timeline = process.new_timeline();
            self.frames = CountedFrames::new(stamps, several_sizes, &mut timeline);
            self.warnings.extend(outcome.warning().into_iter().chain(timeline.warning()));
            let times = &self.frames.times;
            if let (Some(last), n @ 2..) = (times.last(), times.len()) {
                let step = last / (n - 1) as f64;
                self.info.duration_s = Some(last + step);
                self.info.fps = (step > 0.0).then(|| 1.0 / step);
            }
        }
        Ok(self.frames.len())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Opens a URL (rtsp, http, ...) or a pipe for reading forward. `cancel` stops reads that wait.
pub(in crate::source) fn open_ffmpeg_stream(
    input: &str,
    source: FfmpegInput,
    options: &SourceOptions,
    cancel: &CancelFlag,
) -> Result<(ClipInfo, Box<dyn Reader>)> {
    let ffmpeg = Ffmpeg::find(input, "reading this", options, cancel)?;
    let format = match &source {
        FfmpegInput::Url(url) => url.split_once("://").map_or("ffmpeg", |(scheme, _)| scheme).to_string(),
        _ => "ffmpeg".to_string(),
    };
    let job = Job { input: input.into(), source, output: Output::All };
    Ok((unknown(&format), Box::new(FfmpegReader::all(ffmpeg, job)?)))
}

/// The properties before the first frame.
fn unknown(format: &str) -> ClipInfo {
    ClipInfo { format: format.into(), width: 0, height: 0, fps: None, duration_s: None }
}

/// Parses bytes as what `ffmpeg` writes to standard error. Only for fuzzing.
#[cfg(fuzzing)]
pub fn fuzz_ffmpeg_log(bytes: &[u8]) {
    let mut parser = showinfo::LogParser::new(1);
    let mut last = f64::NEG_INFINITY;
    for line in bytes.split(|byte| *byte == b'\n') {
        if let showinfo::LogLine::Frame(frame) = parser.line(&String::from_utf8_lossy(line)) {
            assert!(frame.time >= last, "time goes back");
            last = frame.time;
        }
    }
    let _ = (parser.finish(), parser.timeline_warning());
}

#[cfg(test)]
#[path = "../../../../tests/support/skip.rs"]
mod skip;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::skip::skip;
    use super::*;
    use crate::picture::{Matrix, Pixels};
    use crate::source::recorded::{ReaderStream, RecordedClip};
    use crate::source::{Clip, ReadSpec, Stream, VisitOutcome};

    /// Options if `ffmpeg` is installed; the tests that need it are skipped otherwise.
    fn options() -> Option<SourceOptions> {
        let options = SourceOptions::default();
        if find_ffmpeg(&options).is_none() {
            skip("ffmpeg is not installed");
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
        let mut visited = Vec::new();
        let visit = clip.visit(&[0, 1, 7, 19], &mut |frame| {
            visited.push((frame.index, frame.time));
            assert_eq!(frame.picture.display_size(), (64, 48));
            Ok(())
        });
        assert_eq!(visit.expect("visits"), VisitOutcome::Done);
        // Frame n is shown at (n + (n mod 3) * 0.3) / 25 s, in ticks of 1/12800 s.
        let time = |n: u64| ((n as f64 + (n % 3) as f64 * 0.3) / 25.0 * 12800.0 + 1e-6).floor() / 12800.0;
        assert_eq!(visited, [0, 1, 7, 19].map(|n| (n, time(n))));
    }

    #[test]
    fn few_frames_are_picked_and_of_many_all_are_delivered() {
        let Some(options) = options() else { return };
        let mut y4m = b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg\n".to_vec();
        for frame in 0..150u8 {
            y4m.extend_from_slice(b"FRAME\n");
            y4m.extend_from_slice(&[frame + 16; 384]);
        }
        let clip_file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(clip_file.path(), y4m).expect("written");
        let mut clip = RecordedClip::new("clip".into(), Box::new(file(clip_file.path().into(), &options)));
        assert_eq!(clip.frame_count().expect("counts"), 150);
        for step in [40, 3, 2, 1] {
            let wanted: Vec<u64> = (0..150).step_by(step).collect();
            let mut visited = Vec::new();
            let visit = clip.visit(&wanted, &mut |frame| {
                let Pixels::Yuv { planes, .. } = frame.picture.pixels else { panic!("not YUV") };
                assert_eq!(u64::from(planes[0][0]), frame.index + 16);
                assert_eq!(frame.time, frame.index as f64 / 25.0);
                visited.push(frame.index);
                Ok(())
            });
            assert_eq!((visit.expect("visits"), visited), (VisitOutcome::Done, wanted));
        }
    }

    #[test]
    fn a_stream_is_read_in_one_pass_and_upright() {
        let Some(options) = options() else { return };
        let mut file = file(fixture("rotated.mp4"), &options);
        let reader = file.forward_reader().expect("reads");
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
    fn range_and_matrix_are_read() {
        let Some(options) = options() else { return };
        let mut file = file(fixture("full_range.mp4"), &options);
        let mut reader = file.forward_reader().expect("reads");
        reader.advance(&|_, _| true).expect("advances");
        let Pixels::Yuv { full_range, matrix, .. } = reader.picture().expect("a picture").pixels else {
            panic!("not YUV")
        };
        assert!(full_range && matrix == Matrix::Bt709);
    }

    #[test]
    fn a_pipe_is_read() {
        let Some(options) = options() else { return };
        let bytes = std::fs::read(fixture("fragmented.mp4")).expect("read");
        let (head, rest) = bytes.split_at(512);
        let source = FfmpegInput::Pipe(head.to_vec(), Box::new(std::io::Cursor::new(rest.to_vec())));
        let (_, mut reader) =
            open_ffmpeg_stream("standard input", source, &options, &CancelFlag::default()).expect("opens");
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
    fn errors_of_ffmpeg_are_quoted() {
        let Some(options) = options() else { return };
        let junk = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(junk.path(), [0x5au8, 1, 2, 3].repeat(500)).expect("written");
        let error = file(junk.path().into(), &options).count().expect_err("refused").to_string();
        assert!(error.contains("ffmpeg cannot read it: "), "{error}");
        let error = file(junk.path().into(), &options).forward_reader().err().expect("refused").to_string();
        assert!(error.contains("ffmpeg cannot read it: "), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn after_a_timeout_the_child_is_killed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (script, pid) = (folder.path().join("ffmpeg"), folder.path().join("pid"));
        let text = format!("#!/bin/sh\n[ $# -lt 3 ] && exit 0\necho $$ > {}\nexec sleep 60\n", pid.display());
        std::fs::write(&script, text).expect("written");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("allowed");
        let options = SourceOptions {
            ffmpeg: Some(script),
            read: ReadSpec { timeout_s: 0.3, ..ReadSpec::default() },
            ..SourceOptions::default()
        };
        for forward in [false, true] {
            let mut silent = file(fixture("bframes.mp4"), &options);
            let error = if forward { silent.forward_reader().err() } else { silent.count().err() };
            let error = error.expect("a timeout").to_string();
            assert!(error.contains("delivered nothing"), "{error}");
            let pid = std::fs::read_to_string(&pid).expect("it ran");
            let pid: libc::pid_t = pid.trim().parse().expect("a process number");
            // SAFETY: signal 0 is not sent; the call only checks whether the process exists.
            let exists = unsafe { libc::kill(pid, 0) } == 0;
            assert!(!exists, "the child outlived its reader");
        }
    }
}
