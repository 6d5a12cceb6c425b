//! Finds the `ffmpeg` program and what its version can do.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use super::child::{KillOnDrop, end_with_us};
use crate::source::SourceOptions;
use crate::source::wait::{CancelFlag, WaitEnd, WaitLimit};
use crate::{Error, Result};

/// How long the program may take to print its version.
const MAX_VERSION_TIME: Duration = Duration::from_secs(15);
/// Maximum length of what it prints then, in bytes.
const MAX_VERSION_BYTES: u64 = 1 << 20;

/// Demuxers that read other inputs than the one they are given (playlists, patterns of file names, networks, devices),
/// or that make pictures of text.
const EXCLUDED_DEMUXERS: [&str; 37] = [
    "alsa",
    "applehttp",
    "avfoundation",
    "avisynth",
    "bluray",
    "caca",
    "concat",
    "dash",
    "decklink",
    "dshow",
    "dvdvideo",
    "fbdev",
    "gdigrab",
    "hls",
    "iec61883",
    "image2",
    "imf",
    "jack",
    "kmsgrab",
    "lavfi",
    "libcdio",
    "libdc1394",
    "openal",
    "oss",
    "pulse",
    "rtp",
    "rtsp",
    "sap",
    "sdp",
    "sndio",
    "tty",
    "v4l2",
    "vapoursynth",
    "vfwcap",
    "video4linux2",
    "webm_dash_manifest",
    "x11grab",
];

/// What depends on the version and build of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// The flag that delivers every frame once.
    pub(super) every_frame: &'static str,
    /// The filter that prints each frame's properties.
    pub(super) showinfo: &'static str,
    /// Frames can be delivered in their own size if the size changes.
    pub(super) own_sizes: bool,
    /// A list of inputs can have options. Without this ability, an address is passed as an argument.
    pub(super) list_options: bool,
    /// The demuxers that may read a file, separated by commas; empty if they are not known.
    pub(super) demuxers: Arc<str>,
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

/// Finds the program and what it can do. `what` is the kind of input, for the error if there is no program.
pub(super) fn find_able_ffmpeg(
    input: &str,
    what: &str,
    options: &SourceOptions,
    cancel: &CancelFlag,
) -> Result<(PathBuf, Abilities)> {
    let program = find_ffmpeg(options).ok_or_else(|| missing(input, what, options))?;
    let abilities = abilities(&program, cancel)
        .map_err(|problem| Error::input(input, format!("needs ffmpeg, and {} {problem}", program.display())))?;
    Ok((program, abilities))
}

/// Abilities by path and time of modification.
type KnownPrograms = HashMap<(PathBuf, Option<SystemTime>), Abilities>;

/// Returns what a program can do. It is asked once; again if the file has changed.
fn abilities(program: &Path, cancel: &CancelFlag) -> Result<Abilities, String> {
    static KNOWN: LazyLock<Mutex<KnownPrograms>> = LazyLock::new(Mutex::default);
    let changed = program.metadata().and_then(|meta| meta.modified()).ok();
    let key = (program.to_path_buf(), changed);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(abilities) = known().get(&key) {
        return Ok(abilities.clone());
    }
    let version = printed(program, &["-version"], cancel)?;
    let demuxers = printed(program, &["-hide_banner", "-demuxers"], cancel).unwrap_or_default();
    let abilities = Abilities { demuxers: single_file_demuxers(&demuxers).into(), ..abilities_of_version(&version) };
    known().insert(key, abilities.clone());
    Ok(abilities)
}

/// Returns what the program prints with these arguments, within a limited time.
fn printed(program: &Path, arguments: &[&str], cancel: &CancelFlag) -> Result<String, String> {
    let failed = |e: &dyn std::fmt::Display| format!("does not start: {e}");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    end_with_us(&mut command);
    // It has ended when this returns, or it has to.
    let mut child = KillOnDrop::new(command.spawn().map_err(|e| failed(&e))?);
    let stdout = child.child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    let reader = thread::Builder::new().name("ffmpeg-version".into()).spawn(move || {
        let mut text = Vec::new();
        if let Some(stdout) = stdout {
            // What was read before an error is enough.
            let _ = stdout.take(MAX_VERSION_BYTES).read_to_end(&mut text);
        }
        // Nobody listens after the time limit.
        let _ = sender.send(text);
    });
    reader.map_err(|e| failed(&e))?;
    let limit = WaitLimit { timeout: MAX_VERSION_TIME, cancel: cancel.clone() };
    match limit.wait(|| 0, |wait| Ok::<_, String>(receiver.recv_timeout(wait).ok()))? {
        WaitEnd::Ready(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        WaitEnd::Cancelled => Err("was stopped".into()),
        WaitEnd::TimedOut => Err(format!("did not print its version within {} s", MAX_VERSION_TIME.as_secs())),
    }
}

/// The abilities of a version. ffmpeg 4.4 (libavfilter 7.110) can deliver frames in their own sizes; 5.1 (libavfilter
/// 8.44) renamed the flag that delivers every frame once, and `showinfo` can omit checksums; in 5.0 (libavfilter 8.24) lists
/// of inputs can have options.
fn abilities_of_version(version: &str) -> Abilities {
    let library = version.lines().find_map(|line| line.strip_prefix("libavfilter"));
    let mut numbers = library.unwrap_or("").split(['.', '/']).map(|n| n.trim().parse::<u32>().unwrap_or(0));
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (every_frame, showinfo) =
        if number >= (8, 44) { ("-fps_mode", "showinfo=checksum=0") } else { ("-vsync", "showinfo") };
    Abilities {
        every_frame,
        showinfo,
        own_sizes: number >= (7, 110),
        list_options: number >= (8, 24),
        demuxers: "".into(),
    }
}

/// The names of all demuxers in the output of `ffmpeg -demuxers` that read only the file they are given.
fn single_file_demuxers(list: &str) -> String {
    let entries = list.lines().skip_while(|line| !line.trim().starts_with("--")).skip(1);
    let names = entries.filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|flags| flags.contains('D'))?;
        words.next()
    });
    let allowed = names.filter(|names| !names.split(',').any(|name| EXCLUDED_DEMUXERS.contains(&name)));
    allowed.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_depend_on_the_version() {
        let of = |lavfi: &str| {
            let text = format!("ffmpeg version x\nlibavcodec 1. 2. 3 / 1. 2. 3\nlibavfilter     {lavfi}\n");
            let abilities = abilities_of_version(&text);
            (abilities.every_frame, abilities.own_sizes)
        };
        assert_eq!(of(" 8. 44.100 /  8. 44.100"), ("-fps_mode", true));
        assert_eq!(of("10.  4.100 / 10.  4.100"), ("-fps_mode", true));
        assert_eq!(of(" 7.110.100 /  7.110.100"), ("-vsync", true));
        assert_eq!(of(" 7. 57.100 /  7. 57.100"), ("-vsync", false));
        assert_eq!(of(""), ("-vsync", false));
    }

    #[test]
    fn demuxers_that_read_other_inputs_are_left_out() {
        let list = "File formats:\n D. = Demuxing supported\n --\n D  avi             AVI\n D  concat   Virtual\n \
                    D  mov,mp4,m4a   QuickTime\n D  hls   Apple\n D  video4linux2,v4l2  grab\n DE wav  WAV\n";
        assert_eq!(single_file_demuxers(list), "avi,mov,mp4,m4a,wav");
        assert_eq!(single_file_demuxers("nothing"), "");
    }

    #[test]
    fn a_missing_program_is_an_error_with_a_remedy() {
        let options = SourceOptions { ffmpeg: Some("/nowhere/ffmpeg".into()), ..Default::default() };
        assert_eq!(find_ffmpeg(&options), None);
        let error =
            find_able_ffmpeg("a.avi", "AVI", &options, &CancelFlag::default()).expect_err("missing").to_string();
        assert!(error.contains("/nowhere/ffmpeg"), "{error}");
        assert!(missing("a.avi", "AVI", &SourceOptions::default()).to_string().contains("apt install ffmpeg"));
    }
}
