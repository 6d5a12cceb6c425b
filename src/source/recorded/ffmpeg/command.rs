//! Builds the command line of `ffmpeg`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::child::Process;
use super::program::{Abilities, find_able_ffmpeg};
use super::showinfo::LogParser;
use crate::io::{problem_of_address, url_of_address};
use crate::picture::Matrix;
use crate::source::SourceOptions;
use crate::source::wait::{CancelFlag, WaitLimit};
use crate::{Error, Result};

/// An installed `ffmpeg` and its options.
#[derive(Clone, Debug)]
pub(super) struct Ffmpeg {
    pub(super) program: PathBuf,
    pub(super) abilities: Abilities,
    pub(super) limit: WaitLimit,
    /// The matrix, instead of the one that the input specifies.
    pub(super) matrix: Option<Matrix>,
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
    /// Information on every frame, without pixels.
    InfoOnly,
    /// Every frame.
    All,
    /// The frames with these numbers. The filters may not be set up again in between, because then numbers begin again.
    Picked(Vec<u64>),
}

/// One run of `ffmpeg`.
pub(super) struct Job {
    /// The input's name in messages.
    pub(super) input: String,
    pub(super) source: FfmpegInput,
    pub(super) output: Output,
}

/// The pixel formats that are read from `ffmpeg`, which picks the nearest.
const PIXELS: &str = "format=pix_fmts=yuv420p|yuvj420p|yuv422p|yuvj422p|yuv444p|yuvj444p|gray";

impl Ffmpeg {
    /// Finds the program. `what` is the kind of input, for the error if there is none. `cancel` stops its reads.
    pub(super) fn find(input: &str, what: &str, options: &SourceOptions, cancel: &CancelFlag) -> Result<Self> {
        let (program, abilities) = find_able_ffmpeg(input, what, options, cancel)?;
        let limit = WaitLimit::new(options.read.timeout_s, cancel);
        Ok(Self { program, abilities, limit, matrix: options.read.matrix })
    }

    /// Starts `job`.
    pub(super) fn run(&self, job: Job) -> Result<Process> {
        let mut command = Command::new(&self.program);
        command.args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info"]);
        command.args(self.input_arguments(&job)?);
        let (filters, filter) = self.filters(&job.output);
        command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", &filters]);
        command.args([self.abilities.every_frame, "passthrough"]);
        if self.abilities.own_sizes {
            command.args(["-autoscale", "0"]);
        }
        if let Output::Picked(picked) = &job.output {
            command.args(["-frames:v", &picked.len().to_string()]);
        }
        match &job.output {
            Output::InfoOnly => command.args(["-f", "null", "-"]),
            // Unlike y4m, this format has pictures of any sizes, without headers.
            Output::All | Output::Picked(_) => {
                command.args(["-c:v", "rawvideo", "-flush_packets", "1", "-f", "rawvideo", "pipe:1"])
            }
        };
        command.env("AV_LOG_FORCE_NOCOLOR", "1").env("LC_ALL", "C");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut log = LogParser::new(filter);
        let (stdin, feed): (_, Option<(_, Box<dyn Read + Send>)>) = match job.source {
            FfmpegInput::Pipe(head, from) => (Stdio::piped(), Some((head, from))),
            FfmpegInput::File(path) if !is_printable(&path) => {
                let file = File::open(&path).map_err(|e| Error::input(&job.input, format!("cannot be read: {e}")))?;
                (file.into(), None)
            }
            FfmpegInput::File(_) => (Stdio::null(), None),
            FfmpegInput::Url(address) => {
                let list = list_of(&job.input, &address)?;
                log = log.for_address(address);
                match self.abilities.list_options {
                    true => (Stdio::piped(), Some((list.into_bytes(), Box::new(std::io::empty())))),
                    false => (Stdio::null(), None),
                }
            }
        };
        command.stdin(stdin);
        Process::start(command, &job.input, feed, &self.limit, log)
    }

    /// Returns the chain of filters, and the number in it of the `showinfo` filter that describes delivered frames.
    fn filters(&self, output: &Output) -> (String, usize) {
        let info = self.abilities.showinfo;
        match output {
            Output::InfoOnly => (info.to_owned(), 0),
            Output::All => (format!("{PIXELS},{info}"), 1),
            Output::Picked(picked) => {
                let choice: Vec<String> = picked.iter().map(|n| format!("eq(n,{n})")).collect();
                // The first `showinfo` shows progress while frames are skipped.
                (format!("{info},select='{}',{PIXELS},{info}", choice.join("+")), 3)
            }
        }
    }

    fn input_arguments(&self, job: &Job) -> Result<Vec<OsString>> {
        let mut arguments: Vec<OsString> = Vec::new();
        let (protocols, source) = match &job.source {
            FfmpegInput::File(path) => {
                if !self.abilities.demuxers.is_empty() {
                    arguments.extend(["-format_whitelist".into(), self.abilities.demuxers.to_string().into()]);
                }
                let mut source = OsString::from("file:");
                source.push(if is_printable(path) { path } else { Path::new(STDIN) });
                ("file", source)
            }
            FfmpegInput::Pipe(..) => ("pipe", OsString::from("pipe:0")),
            FfmpegInput::Url(url) => {
                let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
                let protocols = match scheme.as_str() {
                    "rtsp" | "rtsps" => "pipe,rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
                    "http" | "https" => "pipe,http,https,httpproxy,tcp,tls,crypto,data",
                    "rtmp" | "rtmps" | "rtmpt" => "pipe,rtmp,rtmps,rtmpt,http,https,tcp,tls,crypto",
                    "udp" | "rtp" | "srtp" | "tcp" | "srt" => "pipe,udp,rtp,srtp,tcp,srt,crypto",
                    _ => {
                        return Err(Error::input(
                            &job.input,
                            format!("{scheme}:// is not supported; use rtsp, http, https, rtmp, udp, rtp, tcp or srt"),
                        ));
                    }
                };
                if self.abilities.list_options {
                    arguments.extend(["-f", "concat", "-safe", "0"].map(OsString::from));
                    (protocols, OsString::from("pipe:0"))
                } else {
                    if scheme.starts_with("rtsp") {
                        arguments.extend(["-rtsp_transport", "tcp"].map(OsString::from));
                    }
                    (protocols, url_of_address(url).into())
                }
            }
        };
        // Without `unaligned`, ffmpeg shows columns that the video crops on the left, to keep rows aligned in memory.
        arguments.extend(["-flags", "+unaligned", "-protocol_whitelist", protocols, "-i"].map(OsString::from));
        arguments.push(source);
        Ok(arguments)
    }
}

/// The path by which a process can open the file that is its standard input.
const STDIN: &str = "/dev/stdin";

/// Whether a path has no control characters. `ffmpeg` quotes its name in its log, where these could forge lines.
fn is_printable(path: &Path) -> bool {
    !path.as_os_str().as_encoded_bytes().iter().any(|byte| byte.is_ascii_control())
}

/// Escapes the segments `.` and `..` of a path, which ffmpeg would resolve in a list, although they mean something to the
/// camera.
fn with_escaped_dots(url: &str) -> String {
    let (path, tail) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    let segments = path.split('/').map(|segment| match segment {
        "." => "%2E",
        ".." => "%2E%2E",
        other => other,
    });
    segments.collect::<Vec<_>>().join("/") + tail
}

/// A list of files for `ffmpeg` that has one address. It is written to standard input, because other users of the machine
/// can read the arguments of a process.
fn list_of(input: &str, address: &str) -> Result<String> {
    if let Some(problem) = problem_of_address(address) {
        return Err(Error::input(input, problem));
    }
    let url = url_of_address(address);
    let url = with_escaped_dots(&url);
    // Pictures over UDP lack parts.
    let transport = if url.starts_with("rtsp") { "option rtsp_transport tcp\n" } else { "" };
    Ok(format!("ffconcat version 1.0\nfile '{}'\n{transport}", url.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ffmpeg() -> Ffmpeg {
        let abilities = Abilities {
            every_frame: "-vsync",
            showinfo: "showinfo",
            own_sizes: true,
            list_options: true,
            demuxers: "avi,mov".into(),
        };
        Ffmpeg { program: "ffmpeg".into(), abilities, limit: WaitLimit::new(1.0, &CancelFlag::default()), matrix: None }
    }

    fn arguments(source: FfmpegInput) -> Result<Vec<String>> {
        let job = Job { input: "x".into(), source, output: Output::InfoOnly };
        Ok(ffmpeg().input_arguments(&job)?.into_iter().map(|a| a.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_file_name_is_never_an_option_or_a_url() {
        let line = arguments(FfmpegInput::File("-y".into())).expect("a line");
        assert_eq!(line[..2], ["-format_whitelist", "avi,mov"]);
        assert_eq!(line[line.len() - 4..], ["-protocol_whitelist", "file", "-i", "file:-y"]);
        let line = arguments(FfmpegInput::File("http://x".into())).expect("a line");
        assert_eq!(line.last().map(String::as_str), Some("file:http://x"));
        let line = arguments(FfmpegInput::File("a\n[info] x.mp4".into())).expect("a line");
        assert_eq!(line.last().map(String::as_str), Some("file:/dev/stdin"));
    }

    #[test]
    fn only_listed_schemes_are_opened() {
        assert!(arguments(FfmpegInput::Url("rtsp://h/x".into())).is_ok());
        assert!(arguments(FfmpegInput::Url("concat://a|b".into())).is_err());
        assert!(arguments(FfmpegInput::Url("ftp://a".into())).is_err());
    }

    #[test]
    fn an_address_is_in_the_list_and_not_in_the_arguments() {
        let line = arguments(FfmpegInput::Url("rtsp://u:secret@h/x".into())).expect("a line").join(" ");
        assert!(!line.contains("secret") && line.ends_with("-i pipe:0"), "{line}");
        for (address, file) in [
            ("rtsp://u:it's@h/x", "file 'rtsp://u:it%27s@h/x'\noption rtsp_transport tcp\n"),
            ("RTSP://h/it's?a=b", "file 'rtsp://h/it'\\''s?a=b'\noption rtsp_transport tcp\n"),
            ("http://h/a/././../x/..?a=/./b", "file 'http://h/a/%2E/%2E/%2E%2E/x/%2E%2E?a=/./b'\n"),
        ] {
            assert_eq!(list_of("x", address).expect("a list"), format!("ffconcat version 1.0\n{file}"));
        }
        assert!(list_of("x", "rtsp://h/x'\noption a b").is_err());
    }

    #[test]
    fn delivered_frames_are_described_after_every_other_filter() {
        let (filters, filter) = ffmpeg().filters(&Output::Picked(vec![3, 9]));
        assert!(filters.starts_with("showinfo,select='eq(n,3)+eq(n,9)',format="), "{filters}");
        assert!(filters.ends_with(",showinfo") && filter == 3, "{filters}");
        let (filters, filter) = ffmpeg().filters(&Output::All);
        assert!(filters.ends_with(",showinfo") && filter == 1, "{filters}");
    }
}
