//! Opens an input as what it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::detect::{self, HEAD_BYTES, Kind};
use super::ffmpeg::{self, Address, FfmpegFile};
use super::gif::GifFile;
use super::patient::{self, Patient};
use super::recorded::{Reader, ReaderStream, RecordedClip, Recording};
use super::redact::{is_url, redact};
use super::spool::{Kept, read_head, spool};
use super::stills::Stills;
use super::y4m::{Pipe, Y4mFile, Y4mReader};
use super::{Clip, ClipInfo, SourceOptions, Stream, view};
use crate::{Error, Result};

/// Opens a recorded clip: a file, a folder of stills, or `-` for standard input (or a named pipe), which is
/// kept in a temporary file of at most [`SourceOptions::spool_limit`] bytes.
///
/// Addresses (`rtsp://...`) may have no end to count to and are refused here; what they hold can be piped in.
pub fn open_clip(input: &OsStr, options: &SourceOptions) -> Result<Box<dyn Clip>> {
    Ok(view::clip(bare_clip(input, options)?, &options.view))
}

fn bare_clip(input: &OsStr, options: &SourceOptions) -> Result<Box<dyn Clip>> {
    let name = name_of(input);
    match place_of(input) {
        Place::Url(_) => Err(Error::input(
            name,
            "is an address, which only `watch` reads; to classify what it holds, pipe it in: curl -s ADDRESS | bike-edge classify -",
        )),
        Place::Stdin => {
            let mut from = stdin(&name, options)?;
            spooled_clip(name, &mut from, options)
        }
        Place::Path(path) => match Kind::of_path(&name, &path)? {
            Kind::Pipe => {
                let mut from = Patient::new(open_pipe(&name, &path)?, options.io_timeout_s);
                spooled_clip(name, &mut from, options)
            }
            kind => Ok(Box::new(RecordedClip::new(name.clone(), recording(&name, path, kind, options)?))),
        },
    }
}

/// Opens a stream: anything that [`open_clip`] opens, and addresses. Standard input and named pipes are read as
/// they come when they hold y4m or something for `ffmpeg`; MP4, GIF and stills are spooled first, as their
/// readers need to seek.
pub fn open_stream(input: &OsStr, options: &SourceOptions) -> Result<Box<dyn Stream>> {
    Ok(view::stream(bare_stream(input, options)?, &options.view))
}

/// As [`open_stream`], the view left out.
pub(super) fn bare_stream(input: &OsStr, options: &SourceOptions) -> Result<Box<dyn Stream>> {
    let name = name_of(input);
    match place_of(input) {
        Place::Url(url) => {
            let (info, reader) = ffmpeg::open_stream(&name, Address::Url(url), options)?;
            Ok(Box::new(ReaderStream::new(info, reader)))
        }
        Place::Stdin => piped_stream(&name, Box::new(stdin(&name, options)?), options),
        Place::Path(path) => match Kind::of_path(&name, &path)? {
            Kind::Pipe => {
                let from = Patient::new(open_pipe(&name, &path)?, options.io_timeout_s);
                piped_stream(&name, Box::new(from), options)
            }
            kind => {
                let mut recording = recording(&name, path, kind, options)?;
                let reader = recording.forward()?;
                Ok(Box::new(ReaderStream::new(recording.info().clone(), reader)))
            }
        },
    }
}

pub(super) enum Place {
    Stdin,
    Url(String),
    Path(PathBuf),
}

pub(super) fn place_of(input: &OsStr) -> Place {
    match input.to_str() {
        Some("-") => Place::Stdin,
        Some(text) if text.starts_with("file://") => Place::Path(text.trim_start_matches("file://").into()),
        Some(text) if is_url(text) => Place::Url(text.into()),
        _ => Place::Path(input.into()),
    }
}

/// The input's name in messages: readable, without secrets.
pub(super) fn name_of(input: &OsStr) -> String {
    match input.to_str() {
        Some("-") => "standard input".into(),
        Some(text) if is_url(text) => redact(text),
        _ => input.to_string_lossy().into_owned(),
    }
}

/// A named pipe, without waiting for someone to write to it: that is left to reads, whose patience ends.
#[cfg(target_os = "linux")]
fn open_pipe(name: &str, path: &Path) -> Result<File> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|e| detect::cannot_open(name, path, &e))?;
    // SAFETY: a descriptor that `file` keeps open; only its waiting is changed.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) };
    Ok(file)
}

/// A named pipe; elsewhere it is waited for until someone writes to it.
#[cfg(not(target_os = "linux"))]
fn open_pipe(name: &str, path: &Path) -> Result<File> {
    File::open(path).map_err(|e| detect::cannot_open(name, path, &e))
}

/// The recording at `path`, of a kind that was told from its content.
fn recording(name: &str, path: PathBuf, kind: Kind, options: &SourceOptions) -> Result<Box<dyn Recording>> {
    Ok(match kind {
        Kind::Mp4 => return mp4(name, path, options),
        Kind::Gif => Box::new(GifFile::open(name, &path)?),
        Kind::Still | Kind::Folder => Box::new(Stills::open(name, &path, options.stills_rate)?),
        Kind::Y4m => Box::new(Y4mFile::open(name, &path, options.matrix)?),
        Kind::Pipe | Kind::Other => Box::new(FfmpegFile::open(name, path, "reading this kind of file", options)?),
    })
}

#[cfg(feature = "h264")]
fn mp4(name: &str, path: PathBuf, options: &SourceOptions) -> Result<Box<dyn Recording>> {
    use super::mp4::{Mp4File, Opened};
    match Mp4File::open(name, &path, options.matrix)? {
        Opened::Ours(file) => Ok(Box::new(*file)),
        Opened::Foreign(what) => Ok(Box::new(FfmpegFile::open(name, path, &what, options)?)),
    }
}

#[cfg(not(feature = "h264"))]
fn mp4(name: &str, path: PathBuf, options: &SourceOptions) -> Result<Box<dyn Recording>> {
    Ok(Box::new(FfmpegFile::open(name, path, "MP4 (this build is without the feature h264)", options)?))
}

/// Standard input, given up where nothing comes.
fn stdin(name: &str, options: &SourceOptions) -> Result<Patient<patient::Stdin>> {
    let from = patient::stdin().map_err(|e| Error::input(name, format!("cannot be read: {e}")))?;
    Ok(Patient::new(from, options.io_timeout_s))
}

/// A recording that goes with the temporary file it lies in.
struct Spooled {
    recording: Box<dyn Recording>,
    _file: Kept,
}

impl Recording for Spooled {
    fn info(&self) -> &ClipInfo {
        self.recording.info()
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        self.recording.reader()
    }

    fn count(&mut self) -> Result<u64> {
        self.recording.count()
    }

    fn recount(&mut self) -> Result<u64> {
        self.recording.recount()
    }

    fn warnings(&self) -> &[String] {
        self.recording.warnings()
    }
}

fn spooled(name: &str, head: &[u8], from: &mut dyn Read, options: &SourceOptions) -> Result<Spooled> {
    let kind = Kind::of_bytes(head).ok_or_else(|| detect::text(name))?;
    let kept = spool(name, head, from, options.spool_limit)?;
    Ok(Spooled { recording: recording(name, kept.path(), kind, options)?, _file: kept })
}

fn spooled_clip(name: String, from: &mut dyn Read, options: &SourceOptions) -> Result<Box<dyn Clip>> {
    let head = read_head(&name, from, HEAD_BYTES)?;
    let spooled = spooled(&name, &head, from, options)?;
    Ok(Box::new(RecordedClip::new(name, Box::new(spooled))))
}

fn piped_stream(name: &str, mut from: Box<dyn Read + Send>, options: &SourceOptions) -> Result<Box<dyn Stream>> {
    let head = read_head(name, &mut from, HEAD_BYTES)?;
    let (info, reader) = match Kind::of_bytes(&head).ok_or_else(|| detect::text(name))? {
        Kind::Y4m => {
            let whole = BufReader::with_capacity(1 << 16, io::Cursor::new(head).chain(from));
            let reader = Y4mReader::new(name, Pipe(whole), None, options.matrix)?;
            (reader.info(), Box::new(reader) as Box<dyn Reader>)
        }
        Kind::Mp4 | Kind::Gif | Kind::Still => {
            let mut spooled = spooled(name, &head, &mut from, options)?;
            let reader = spooled.reader()?;
            (spooled.info().clone(), Box::new(SpooledReader { reader, _recording: spooled }) as Box<dyn Reader>)
        }
        Kind::Folder | Kind::Pipe | Kind::Other => ffmpeg::open_stream(name, Address::Pipe(head, from), options)?,
    };
    Ok(Box::new(ReaderStream::new(info, reader)))
}

/// A reader that goes with the temporary file it reads.
struct SpooledReader {
    reader: Box<dyn Reader>,
    _recording: Spooled,
}

impl Reader for SpooledReader {
    fn advance(&mut self, wanted: &super::recorded::Wanted<'_>) -> Result<Option<(u64, super::Seconds)>> {
        self.reader.advance(wanted)
    }

    fn picture(&mut self) -> Result<super::Picture<'_>> {
        self.reader.picture()
    }

    fn warnings(&self) -> &[String] {
        self.reader.warnings()
    }
}
