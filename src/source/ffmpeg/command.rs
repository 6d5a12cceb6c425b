//! The command line of `ffmpeg`.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::child::Run;
use crate::{Error, Result};

/// An installed program.
#[derive(Clone, Debug)]
pub(super) struct Ffmpeg {
    pub(super) program: PathBuf,
    pub(super) flags: Flags,
    pub(super) timeout_s: f64,
    /// The matrix where the user knows better than the file.
    pub(super) matrix: Option<crate::source::Matrix>,
}

/// What differs with its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) every_frame: &'static str,
    pub(super) showinfo: &'static str,
}

/// Where the video comes from.
pub(in crate::source) enum Address {
    File(PathBuf),
    Url(String),
    /// A pipe, of which the first bytes were read already.
    Pipe(Vec<u8>, Box<dyn Read + Send>),
}

/// What `ffmpeg` is to hand over.
pub(super) enum Output {
    /// Notes on every frame only.
    Nothing,
    /// Notes on every frame, and the pixels of those picked (of all, if none is).
    Frames { picked: Vec<u64> },
}

/// One run.
pub(super) struct Job {
    /// The input's name in messages.
    pub(super) input: String,
    pub(super) address: Address,
    pub(super) output: Output,
}

/// 8-bit kinds of pixels that y4m carries and `picture.rs` knows; `ffmpeg` picks the nearest.
const PIXELS: &str = "format=pix_fmts=yuv420p|yuvj420p|yuv422p|yuvj422p|yuv444p|yuvj444p|gray";

impl Ffmpeg {
    /// Starts `job`.
    pub(super) fn run(&self, job: Job) -> Result<Run> {
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
        let feed = match job.address {
            Address::Pipe(head, from) => Some((head, from)),
            Address::File(_) | Address::Url(_) => None,
        };
        command.stdin(if feed.is_some() { Stdio::piped() } else { Stdio::null() });
        Run::start(command, &job.input, feed, self.timeout_s)
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
    let (protocols, address) = match &job.address {
        Address::File(path) => {
            let mut address = OsString::from("file:");
            address.push(path);
            ("file,crypto,data", address)
        }
        Address::Pipe(..) => ("pipe", OsString::from("pipe:0")),
        Address::Url(url) => {
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
                        format!("{scheme}:// is not read here; rtsp, http, https, rtmp, udp, rtp, tcp and srt are"),
                    ));
                }
            };
            (protocols, OsString::from(url))
        }
    };
    arguments.extend(["-protocol_whitelist".into(), protocols.into(), "-i".into(), address]);
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(address: Address) -> Result<Vec<String>> {
        let job = Job { input: "x".into(), address, output: Output::Nothing };
        Ok(input_arguments(&job)?.into_iter().map(|a| a.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_file_name_is_never_an_option_or_an_address() {
        let line = arguments(Address::File("-y".into())).expect("a line");
        assert_eq!(line, ["-protocol_whitelist", "file,crypto,data", "-i", "file:-y"]);
        let line = arguments(Address::File("http://x".into())).expect("a line");
        assert_eq!(line.last().map(String::as_str), Some("file:http://x"));
    }

    #[test]
    fn only_known_schemes_are_opened() {
        assert!(arguments(Address::Url("rtsp://h/x".into())).expect("a line").contains(&"tcp".to_string()));
        assert!(arguments(Address::Url("concat://a|b".into())).is_err());
        assert!(arguments(Address::Url("ftp://a".into())).is_err());
    }

    #[test]
    fn picked_frames_are_chosen_by_ffmpeg() {
        let flags = Flags { every_frame: "-vsync", showinfo: "showinfo" };
        let ffmpeg = Ffmpeg { program: "ffmpeg".into(), flags, timeout_s: 1.0, matrix: None };
        let filters = ffmpeg.filters(&Output::Frames { picked: vec![3, 9] });
        assert!(filters.starts_with("showinfo,select='eq(n,3)+eq(n,9)',format="), "{filters}");
    }
}
