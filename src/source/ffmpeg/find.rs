//! Where `ffmpeg` is, and how old.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::SourceOptions;
use super::command::{Ffmpeg, Flags};
use crate::{Error, Result};

/// The `ffmpeg` that would be used: the one named, else the first in `PATH`.
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

/// The sentence for an input that only `ffmpeg` could read.
pub(super) fn missing(input: &str, what: &str, options: &SourceOptions) -> Error {
    let remedy = match &options.ffmpeg {
        Some(named) => format!("there is no such program as {}", named.display()),
        None => "it is not installed; `sudo apt install ffmpeg`, or convert to H.264 (4:2:0, 8 bits) in MP4 elsewhere"
            .into(),
    };
    Error::input(input, format!("{what} takes ffmpeg, and {remedy}"))
}

impl Ffmpeg {
    /// Looks for the program and asks it for its age.
    pub(super) fn find(input: &str, what: &str, options: &SourceOptions) -> Result<Self> {
        let program = find_ffmpeg(options).ok_or_else(|| missing(input, what, options))?;
        let said =
            Command::new(&program).arg("-version").stdin(Stdio::null()).output().map_err(|e| {
                Error::input(input, format!("takes ffmpeg, and {} does not start: {e}", program.display()))
            })?;
        let flags = flags_for(&String::from_utf8_lossy(&said.stdout));
        Ok(Self { program, flags, timeout_s: options.io_timeout_s, matrix: options.matrix })
    }
}

/// ffmpeg 5.1 (libavfilter 8.44) renamed the flag that hands over every frame once; `showinfo` can leave out
/// its checksums since before that.
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

    #[test]
    fn flags_follow_the_age() {
        let version =
            |lavfi: &str| format!("ffmpeg version x\nlibavcodec 1. 2. 3 / 1. 2. 3\nlibavfilter     {lavfi}\n");
        assert_eq!(flags_for(&version(" 8. 44.100 /  8. 44.100")).every_frame, "-fps_mode");
        assert_eq!(flags_for(&version("10.  4.100 / 10.  4.100")).every_frame, "-fps_mode");
        assert_eq!(flags_for(&version(" 7. 57.100 /  7. 57.100")).every_frame, "-vsync");
        assert_eq!(flags_for("").every_frame, "-vsync");
    }

    #[test]
    fn a_missing_program_is_named_with_its_remedy() {
        let options = SourceOptions { ffmpeg: Some("/nowhere/ffmpeg".into()), ..Default::default() };
        assert_eq!(find_ffmpeg(&options), None);
        let error = Ffmpeg::find("a.avi", "AVI", &options).expect_err("missing").to_string();
        assert!(error.contains("/nowhere/ffmpeg"), "{error}");
        assert!(missing("a.avi", "AVI", &SourceOptions::default()).to_string().contains("apt install ffmpeg"));
    }
}
