//! Finds the `ffmpeg` program and builds its command line.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::child::Process;
use crate::picture::Matrix;
use crate::source::SourceOptions;
use crate::{Error, Result};

/// An installed `ffmpeg` and its options.
#[derive(Clone, Debug)]
pub(super) struct Ffmpeg {
    pub(super) program: PathBuf,
    pub(super) flags: Flags,
    pub(super) timeout_s: f64,
    /// The matrix, instead of the one that the input specifies.
    pub(super) matrix: Option<Matrix>,
}

/// Flags that depend on the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) every_frame: &'static str,
    pub(super) showinfo: &'static str,
}

/// The input of `ffmpeg`.
pub(in crate::source) enum FfmpegInput {
    File(PathBuf),
    Url(String),
    /// A pipe, and its first bytes, which have been read.
    Pipe(Vec<u8>, Box<dyn Read + Send>),
}

/// What `ffmpeg` delivers.
pub(super) enum Output {
    /// Only information on every frame.
    Nothing,
    /// Information on every frame, and the pixels of the picked frames (of all frames if none is picked).
    Frames { picked: Vec<u64> },
}

/// One run of `ffmpeg`.
pub(super) struct Job {
    /// The input's name in messages.
    pub(super) input: String,
    pub(super) source: FfmpegInput,
    pub(super) output: Output,
}

/// The 8-bit pixel formats of y4m that are supported here; `ffmpeg` picks the nearest.
const PIXELS: &str = "format=pix_fmts=yuv420p|yuvj420p|yuv422p|yuvj422p|yuv444p|yuvj444p|gray";

impl Ffmpeg {
    /// Starts `job`.
    pub(super) fn run(&self, job: Job) -> Result<Process> {
        let mut command = Command::new(&self.program);
        command.args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info"]);
        command.args(input_arguments(&job)?);
        command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", &self.filters(&job.output)]);
        command.args([self.flags.every_frame, "passthrough"]);
        match &job.output {
            Output::Nothing => command.args(["-f", "null", "-"]),
            Output::Frames { picked } => {
                if !picked.is_empty() {
                    command.args(["-frames:v", &picked.len().to_string()]);
                }
                command.args(["-f", "yuv4mpegpipe", "pipe:1"])
            }
        };
        command.env("AV_LOG_FORCE_NOCOLOR", "1").env("LC_ALL", "C");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let feed = match job.source {
            FfmpegInput::Pipe(head, from) => Some((head, from)),
            FfmpegInput::File(_) | FfmpegInput::Url(_) => None,
        };
        command.stdin(if feed.is_some() { Stdio::piped() } else { Stdio::null() });
        Process::start(command, &job.input, feed, self.timeout_s)
    }

    fn filters(&self, output: &Output) -> String {
        match output {
            Output::Nothing => self.flags.showinfo.to_string(),
            Output::Frames { picked } if picked.is_empty() => format!("{},{PIXELS}", self.flags.showinfo),
            Output::Frames { picked } => {
                let choice: Vec<String> = picked.iter().map(|n| format!("eq(n,{n})")).collect();
                format!("{},select='{}',{PIXELS}", self.flags.showinfo, choice.join("+"))
            }
        }
    }
}

fn input_arguments(job: &Job) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = Vec::new();
    let (protocols, source) = match &job.source {
        FfmpegInput::File(path) => {
            let mut source = OsString::from("file:");
            source.push(path);
            ("file,crypto,data", source)
        }
        FfmpegInput::Pipe(..) => ("pipe", OsString::from("pipe:0")),
        FfmpegInput::Url(url) => {
            let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
            let protocols = match scheme.as_str() {
                "rtsp" | "rtsps" => {
                    arguments.extend(["-rtsp_transport".into(), "tcp".into()]);
                    "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto"
                }
                "http" | "https" => "http,https,httpproxy,tcp,tls,crypto,data",
                "rtmp" | "rtmps" | "rtmpt" => "rtmp,rtmps,rtmpt,http,https,tcp,tls,crypto",
                "udp" | "rtp" | "srtp" | "tcp" | "srt" => "udp,rtp,srtp,tcp,srt,crypto",
                _ => {
                    return Err(Error::input(
                        &job.input,
                        format!("{scheme}:// is not supported; use rtsp, http, https, rtmp, udp, rtp, tcp or srt"),
                    ));
                }
            };
            (protocols, OsString::from(url))
        }
    };
    arguments.extend(["-protocol_whitelist".into(), protocols.into(), "-i".into(), source]);
    Ok(arguments)
}

/// Finds the `ffmpeg` program: [`SourceOptions::ffmpeg`], else the first one in `PATH`.
pub fn find_ffmpeg(options: &SourceOptions) -> Option<PathBuf> {
    match &options.ffmpeg {
        Some(named) => is_program(named).then(|| named.clone()),
        None => std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|folder| folder.join(if cfg!(windows) { "ffmpeg.exe" } else { "ffmpeg" }))
            .find(|path| is_program(path)),
    }
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// The error for an input that only `ffmpeg` can read.
fn missing(input: &str, what: &str, options: &SourceOptions) -> Error {
    let remedy = match &options.ffmpeg {
        Some(named) => format!("{} is not a program", named.display()),
        None => "it is not installed; `sudo apt install ffmpeg`, or convert to H.264 (4:2:0, 8 bits) in MP4 elsewhere"
            .into(),
    };
    Error::input(input, format!("{what} needs ffmpeg, and {remedy}"))
}

impl Ffmpeg {
    /// Finds the program and its version. `what` is the kind of input, for the error if there is no program.
    pub(super) fn find(input: &str, what: &str, options: &SourceOptions) -> Result<Self> {
        let program = find_ffmpeg(options).ok_or_else(|| missing(input, what, options))?;
        let version =
            Command::new(&program).arg("-version").stdin(Stdio::null()).output().map_err(|e| {
                Error::input(input, format!("needs ffmpeg, and {} does not start: {e}", program.display()))
            })?;
        let flags = flags_for(&String::from_utf8_lossy(&version.stdout));
        Ok(Self { program, flags, timeout_s: options.read.timeout_s, matrix: options.read.matrix })
    }
}

/// The flags for a version. ffmpeg 5.1 (libavfilter 8.44) renamed the flag that delivers every frame once; `showinfo`
/// has been able to omit checksums since before that.
fn flags_for(version: &str) -> Flags {
    let library = version.lines().find_map(|line| line.strip_prefix("libavfilter"));
    let mut numbers = library.unwrap_or("").split(['.', '/']).map(|n| n.trim().parse::<u32>().unwrap_or(0));
    match (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) {
        (major, minor) if (major, minor) >= (8, 44) => {
            Flags { every_frame: "-fps_mode", showinfo: "showinfo=checksum=0" }
        }
        _ => Flags { every_frame: "-vsync", showinfo: "showinfo" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(source: FfmpegInput) -> Result<Vec<String>> {
        let job = Job { input: "x".into(), source, output: Output::Nothing };
        Ok(input_arguments(&job)?.into_iter().map(|a| a.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_file_name_is_never_an_option_or_a_url() {
        let line = arguments(FfmpegInput::File("-y".into())).expect("a line");
        assert_eq!(line, ["-protocol_whitelist", "file,crypto,data", "-i", "file:-y"]);
        let line = arguments(FfmpegInput::File("http://x".into())).expect("a line");
        assert_eq!(line.last().map(String::as_str), Some("file:http://x"));
    }

    #[test]
    fn only_listed_schemes_are_opened() {
        assert!(arguments(FfmpegInput::Url("rtsp://h/x".into())).expect("a line").contains(&"tcp".to_string()));
        assert!(arguments(FfmpegInput::Url("concat://a|b".into())).is_err());
        assert!(arguments(FfmpegInput::Url("ftp://a".into())).is_err());
    }

    #[test]
    fn ffmpeg_selects_the_picked_frames() {
        let flags = Flags { every_frame: "-vsync", showinfo: "showinfo" };
        let ffmpeg = Ffmpeg { program: "ffmpeg".into(), flags, timeout_s: 1.0, matrix: None };
        let filters = ffmpeg.filters(&Output::Frames { picked: vec![3, 9] });
        assert!(filters.starts_with("showinfo,select='eq(n,3)+eq(n,9)',format="), "{filters}");
    }

    #[test]
    fn flags_depend_on_the_version() {
        let version =
            |lavfi: &str| format!("ffmpeg version x\nlibavcodec 1. 2. 3 / 1. 2. 3\nlibavfilter     {lavfi}\n");
        assert_eq!(flags_for(&version(" 8. 44.100 /  8. 44.100")).every_frame, "-fps_mode");
        assert_eq!(flags_for(&version("10.  4.100 / 10.  4.100")).every_frame, "-fps_mode");
        assert_eq!(flags_for(&version(" 7. 57.100 /  7. 57.100")).every_frame, "-vsync");
        assert_eq!(flags_for("").every_frame, "-vsync");
    }

    #[test]
    fn a_missing_program_is_an_error_with_a_remedy() {
        let options = SourceOptions { ffmpeg: Some("/nowhere/ffmpeg".into()), ..Default::default() };
        assert_eq!(find_ffmpeg(&options), None);
        let error = Ffmpeg::find("a.avi", "AVI", &options).expect_err("missing").to_string();
        assert!(error.contains("/nowhere/ffmpeg"), "{error}");
        assert!(missing("a.avi", "AVI", &SourceOptions::default()).to_string().contains("apt install ffmpeg"));
    }
}
