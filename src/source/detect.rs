//! What an input is, told from its first bytes and never from its name.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::y4m;
use crate::{Error, Result};

/// As many bytes as [`Kind::of_bytes`] looks at.
pub(super) const HEAD_BYTES: usize = 512;

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// MP4, MOV and relatives.
    Mp4,
    Gif,
    /// One JPEG or PNG.
    Still,
    /// A folder, presumably of stills.
    Folder,
    Y4m,
    /// A named pipe.
    Pipe,
    /// Something that perhaps `ffmpeg` knows.
    Other,
}

impl Kind {
    /// What begins with `head`; `None` for plain text, which no video is.
    pub(super) fn of_bytes(head: &[u8]) -> Option<Self> {
        let at = |offset: usize, tag: &[u8]| head.get(offset..offset + tag.len()) == Some(tag);
        if at(0, y4m::MAGIC) {
            Some(Self::Y4m)
        } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
            Some(Self::Gif)
        } else if at(0, b"\xff\xd8\xff") || at(0, b"\x89PNG\r\n\x1a\n") {
            Some(Self::Still)
        } else if [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"].iter().any(|tag| at(4, *tag)) {
            Some(Self::Mp4)
        } else if is_text(head) && !at(0, b"#EXTM3U") {
            None
        } else {
            Some(Self::Other)
        }
    }

    /// What the file or folder at `path` is. `input` is its name in messages.
    pub(super) fn of_path(input: &str, path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| cannot_open(input, path, &e);
        let meta = fs::metadata(path).map_err(failed)?;
        if meta.is_dir() {
            return Ok(Self::Folder);
        }
        if !meta.is_file() {
            return special(input, &meta);
        }
        if meta.len() == 0 {
            return Err(Error::input(input, "is empty (0 bytes); copy or record it again"));
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        File::open(path).map_err(failed)?.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
        Self::of_bytes(&head).ok_or_else(|| text(input))
    }
}

/// The sentence for a text file given as a clip.
pub(super) fn text(input: &str) -> Error {
    Error::input(input, "holds text, not video; name the clip itself (lists of clips are read by `bike-edge eval`)")
}

/// Printable UTF-8 (perhaps cut within a character), line ends and tabs.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or(""),
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
}

#[cfg(unix)]
fn special(input: &str, meta: &fs::Metadata) -> Result<Kind> {
    use std::os::unix::fs::FileTypeExt;
    let kind = meta.file_type();
    if kind.is_fifo() {
        Ok(Kind::Pipe)
    } else if kind.is_char_device() {
        Err(Error::input(input, "is a device; cameras are read by `bike-edge watch`, which needs no clip's end"))
    } else {
        Err(Error::input(input, "is neither a file nor a folder nor a pipe"))
    }
}

#[cfg(not(unix))]
fn special(input: &str, _: &fs::Metadata) -> Result<Kind> {
    Err(Error::input(input, "is neither a file nor a folder"))
}

/// The sentence for a path that cannot be opened, with the nearest remedy.
pub(super) fn cannot_open(input: &str, path: &Path, e: &std::io::Error) -> Error {
    let problem = match e.kind() {
        ErrorKind::NotFound => match nearest(path) {
            Some(name) => format!("there is no such file; did you mean {name}?"),
            None => "there is no such file or folder; check the path".into(),
        },
        ErrorKind::PermissionDenied => {
            "may not be read by this user; `chmod a+r` on it, or `a+x` on its folders, would allow it".into()
        }
        _ => format!("cannot be read: {e}"),
    };
    Error::input(input, problem)
}

/// The name in the same folder that differs least, if it differs little.
fn nearest(path: &Path) -> Option<String> {
    let folder = match path.parent() {
        Some(p) if p.as_os_str().is_empty() => Path::new("."),
        Some(p) => p,
        None => return None,
    };
    let sought = path.file_name()?.to_str()?.to_lowercase();
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_string();
    fs::read_dir(folder)
        .ok()?
        .take(2000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| {
            let lower = name.to_lowercase();
            let distance = if stem(&lower) == stem(&sought) { 1 } else { edits(&lower, &sought) };
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= 2 && *distance * 3 < sought.chars().count())
        .min()
        .map(|(_, name)| folder.join(name).display().to_string().trim_start_matches("./").to_string())
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = (corner + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells_the_kind() {
        assert_eq!(Kind::of_bytes(b"\0\0\0\x20ftypisom"), Some(Kind::Mp4));
        assert_eq!(Kind::of_bytes(b"GIF89a.."), Some(Kind::Gif));
        assert_eq!(Kind::of_bytes(b"YUV4MPEG2 W4"), Some(Kind::Y4m));
        assert_eq!(Kind::of_bytes(b"\xff\xd8\xff\xe0"), Some(Kind::Still));
        assert_eq!(Kind::of_bytes(b"RIFF\x10\0\0\0AVI "), Some(Kind::Other));
        assert_eq!(Kind::of_bytes(b"#EXTM3U\n"), Some(Kind::Other));
        assert_eq!(Kind::of_bytes("h\u{e9}llo\n".as_bytes()), None);
        assert_eq!(Kind::of_bytes(&"h\u{e9}llo\n".as_bytes()[..2]), None);
    }

    #[test]
    fn a_mistyped_name_is_answered_with_the_nearest() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("bikes.mp4"), b"x").expect("written");
        for typed in ["bike.mp4", "bikes.mov", "Bikes.MP4", "bkies.mp4"] {
            let path = folder.path().join(typed);
            let error = Kind::of_path(typed, &path).expect_err("missing").to_string();
            assert!(error.contains("did you mean") && error.contains("bikes.mp4"), "{error}");
        }
        let error = Kind::of_path("cat.gif", &folder.path().join("cat.gif")).expect_err("missing").to_string();
        assert!(error.contains("no such file or folder"), "{error}");
    }
}
