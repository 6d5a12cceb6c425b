//! Detects the format of an input from its first bytes, never from its name.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::super::recorded::{Y4M_MAGIC, is_jpeg_sequence};
use crate::io::folder_of;
use crate::{Error, Result};

/// Maximum number of chunks before the data of a PNG that are read.
const MAX_PNG_CHUNKS: usize = 1000;
/// Number of bytes that [`Format::of_bytes`] reads.
pub(super) const HEAD_BYTES: usize = 512;

/// Returns the names of the formats that this build decodes itself, for people. Other formats need ffmpeg.
pub fn decoded_formats() -> Vec<&'static str> {
    let h264 = cfg!(feature = "h264").then_some("H.264 in MP4 and MOV");
    h264.into_iter().chain(["GIF", "animated PNG", "motion JPEG", "stills", "y4m"]).collect()
}

/// Names of boxes with which MP4 and its relatives begin.
const MP4_BOXES: [&[u8; 4]; 11] =
    [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"sidx", b"emsg", b"prft"];
/// Brands of AVIF and HEIC.
const STILL_BRANDS: [&[u8; 4]; 10] =
    [b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"];
/// First words of playlists: HLS, ffmpeg's list of files, DASH.
const PLAYLISTS: [&[u8]; 3] = [b"#EXTM3U", b"ffconcat version", b"<MPD"];

/// The format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// MP4, MOV and relatives.
    Mp4,
    Gif,
    /// One JPEG or PNG. More of the file may show that it is one of the next two.
    Still,
    /// Animated PNG.
    Apng,
    /// JPEG images one after another.
    Mjpeg,
    /// A folder, presumably of stills.
    Folder,
    Y4m,
    NamedPipe,
    /// Anything else, which `ffmpeg` may be able to read.
    Other,
}

impl Format {
    /// Detects the format of an input that begins with `head`; `None` for plain text, which is not video.
    pub(super) fn of_bytes(head: &[u8]) -> Option<Self> {
        let at = |offset: usize, tag: &[u8]| head.get(offset..offset + tag.len()) == Some(tag);
        if at(0, Y4M_MAGIC) {
            Some(Self::Y4m)
        } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
            Some(Self::Gif)
        } else if at(0, b"\xff\xd8\xff") || at(0, b"\x89PNG\r\n\x1a\n") {
            Some(Self::Still)
        } else if at(4, b"ftyp") && STILL_BRANDS.iter().any(|brand| at(8, *brand)) {
            // A photo in the same container: no track, or a track that is not H.264.
            Some(Self::Other)
        } else if MP4_BOXES.iter().any(|tag| at(4, *tag)) {
            Some(Self::Mp4)
        } else if is_text(head) {
            None
        } else {
            Some(Self::Other)
        }
    }

    /// Detects the format of the file or folder at `path`. `input` is its name in messages.
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
        match Self::of_bytes(&head).ok_or_else(|| text_error(input, &head))? {
            Self::Still if is_apng(path) => Ok(Self::Apng),
            Self::Still if is_jpeg_sequence(path) => Ok(Self::Mjpeg),
            // A byte that is no text does not make a playlist something else.
            Self::Other if is_playlist(&head) => Err(text_error(input, &head)),
            format => Ok(format),
        }
    }
}

/// The error for a text file that was given as a clip.
pub(super) fn text_error(input: &str, head: &[u8]) -> Error {
    if is_playlist(head) {
        return Error::input(input, "is a playlist, which names other files; name the clips themselves");
    }
    Error::input(input, "contains text, not video; name the clip itself (lists of clips are read by `bike-edge eval`)")
}

/// Returns whether a file begins as a playlist does.
fn is_playlist(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    PLAYLISTS.iter().any(|first| text.starts_with(first))
}

/// Returns whether a file that may be a PNG is an animated one: it says so before its first data.
fn is_apng(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mut signature = [0; 8];
    if file.read_exact(&mut signature).is_err() || signature != *b"\x89PNG\r\n\x1a\n" {
        return false;
    }
    for _ in 0..MAX_PNG_CHUNKS {
        let mut head = [0; 8];
        if file.read_exact(&mut head).is_err() {
            return false;
        }
        let [a, b, c, d, name @ ..] = head;
        match &name {
            b"acTL" => {
                // Browsers show a PNG with an impossible number of frames as a still.
                let mut frames = [0; 4];
                let read = file.read_exact(&mut frames).is_ok();
                return read && (1..=0x7fff_ffff).contains(&u32::from_be_bytes(frames));
            }
            b"IDAT" => return false,
            _ => {}
        }
        // Its data and a checksum.
        if file.seek(SeekFrom::Current(i64::from(u32::from_be_bytes([a, b, c, d])) + 4)).is_err() {
            return false;
        }
    }
    false
}

/// Returns whether the bytes are printable UTF-8 (possibly truncated within a character), line ends and tabs.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or(""),
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
}

#[cfg(unix)]
fn special(input: &str, meta: &fs::Metadata) -> Result<Format> {
    use std::os::unix::fs::FileTypeExt;
    let file_type = meta.file_type();
    if file_type.is_fifo() {
        Ok(Format::NamedPipe)
    } else if file_type.is_char_device() {
        Err(Error::input(input, "is a device; use `bike-edge watch`, which reads cameras"))
    } else {
        Err(Error::input(input, "is neither a file nor a folder nor a pipe"))
    }
}

#[cfg(not(unix))]
fn special(input: &str, _: &fs::Metadata) -> Result<Format> {
    Err(Error::input(input, "is neither a file nor a folder"))
}

/// The error for a path that cannot be opened, with a remedy.
pub(in crate::source) fn cannot_open(input: &str, path: &Path, e: &std::io::Error) -> Error {
    let problem = match e.kind() {
        ErrorKind::NotFound => match nearest(path) {
            Some(name) => format!("there is no such file; did you mean {name}?"),
            None => "there is no such file or folder; check the path".into(),
        },
        ErrorKind::PermissionDenied => {
            "permission denied; run `chmod a+r` on it, and `chmod a+x` on its folders".into()
        }
        _ => format!("cannot be read: {e}"),
    };
    Error::input(input, problem)
}

/// The most similar name in the same folder, if it is similar enough.
fn nearest(path: &Path) -> Option<String> {
    let typed = path.file_name()?.to_str()?.to_lowercase();
    let folder = folder_of(path);
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_string();
    fs::read_dir(folder)
        .ok()?
        .take(2000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| {
            let lower = name.to_lowercase();
            let distance = if stem(&lower) == stem(&typed) { 1 } else { edit_distance(&lower, &typed) };
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= 2 && *distance * 3 < typed.chars().count())
        .min()
        .map(|(_, name)| folder.join(name).display().to_string().trim_start_matches("./").to_string())
}

/// Levenshtein distance.
fn edit_distance(a: &str, b: &str) -> usize {
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
    fn the_format_is_detected_from_content() {
        assert_eq!(Format::of_bytes(b"\0\0\0\x20ftypisom"), Some(Format::Mp4));
        assert_eq!(Format::of_bytes(b"GIF89a.."), Some(Format::Gif));
        assert_eq!(Format::of_bytes(b"YUV4MPEG2 W4"), Some(Format::Y4m));
        assert_eq!(Format::of_bytes(b"\xff\xd8\xff\xe0"), Some(Format::Still));
        assert_eq!(Format::of_bytes(b"RIFF\x10\0\0\0AVI "), Some(Format::Other));
        assert_eq!(Format::of_bytes(b"#EXTM3U\n"), None);
        assert_eq!(Format::of_bytes(b"\0\0\0\x20ftypavif"), Some(Format::Other));
        assert_eq!(Format::of_bytes(b"\0\0\0\x20moof"), Some(Format::Mp4));
        assert_eq!(Format::of_bytes("h\u{e9}llo\n".as_bytes()), None);
        assert_eq!(Format::of_bytes(&"h\u{e9}llo\n".as_bytes()[..2]), None);
    }

    #[test]
    fn a_similar_name_is_suggested_for_a_mistyped_one() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("bikes.mp4"), b"x").expect("written");
        for typed in ["bike.mp4", "bikes.mov", "Bikes.MP4", "bkies.mp4"] {
            let path = folder.path().join(typed);
            let error = Format::of_path(typed, &path).expect_err("missing").to_string();
            assert!(error.contains("did you mean") && error.contains("bikes.mp4"), "{error}");
        }
        let error = Format::of_path("cat.gif", &folder.path().join("cat.gif")).expect_err("missing").to_string();
        assert!(error.contains("no such file or folder"), "{error}");
    }
}
