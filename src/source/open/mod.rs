//! Opens an input by the format of its content.

mod detect;
mod fallback;
mod pipe;

use std::ffi::OsStr;
use std::io::{BufReader, Cursor, Read};
use std::path::PathBuf;

use self::detect::{Format, HEAD_BYTES};
use self::fallback::FfmpegFallback;
use self::pipe::{SpoolFile, TimedReader, open_named_pipe, read_head, read_mp4_start, spool, stdin};
#[cfg(feature = "h264")]
use super::recorded::Mp4File;
use super::recorded::{
    AnimationFile, AnimationFormat, FfmpegFile, FfmpegInput, JpegSplitter, MjpegFile, NextImage, OpenError, Pipe,
    Reader, ReaderStream, RecordedClip, Recording, Stills, Wanted, Y4mFile, Y4mReader, find_ffmpeg, mjpeg_info,
    mjpeg_stream, open_ffmpeg_stream,
};
use super::transform::{transformed_clip, transformed_stream};
use super::wait::{CancelFlag, WaitLimit};
use super::{Clip, ClipInfo, SourceOptions, Stream};
use crate::io::{is_url, percent_decoded, shown_input};
use crate::picture::Picture;
use crate::units::Seconds;
use crate::{Error, Result};

pub(super) use detect::cannot_open;
pub use detect::decoded_formats;

/// Opens a recorded clip: a file, a folder of stills, `-` for standard input, or a named pipe. The contents of a pipe
/// are written to a temporary file of at most [`super::ReadSpec::spool_limit`] bytes.
///
/// URLs (`rtsp://...`) are refused, because they may never end and then cannot be counted; their contents can be piped
/// in.
///
/// # Errors
/// [`Error::Input`] for an input that cannot be read; [`Error::Setting`] for options out of range.
pub fn open_clip(input: &OsStr, options: &SourceOptions) -> Result<Box<dyn Clip>> {
    options.check()?;
    Ok(transformed_clip(untransformed_clip(input, options)?, &options.transform))
}

fn untransformed_clip(input: &OsStr, options: &SourceOptions) -> Result<Box<dyn Clip>> {
    let name = name_of(input);
    match location_of(input) {
        Location::Url(_) => Err(Error::input(
            name,
            "is a URL, which only `watch` reads; to classify its contents, pipe them in: curl -s URL | bike-edge classify -",
        )),
        Location::Stdin => {
            let mut from = stdin(&name, uncancelled(options))?;
            spooled_clip(name, &mut from, options)
        }
        Location::Path(path) => match Format::of_path(&name, &path)? {
            Format::NamedPipe => {
                let mut from = TimedReader::new(open_named_pipe(&name, &path)?, uncancelled(options));
                spooled_clip(name, &mut from, options)
            }
            format => Ok(Box::new(RecordedClip::new(name.clone(), recording(&name, path, format, options)?))),
        },
    }
}

/// Opens a stream: anything that [`open_clip`] opens, and URLs. Standard input and named pipes are read as data arrive
/// if they contain y4m, motion JPEG, fragmented MP4 or another format for `ffmpeg`; other MP4, GIF and stills are spooled
/// first, as their readers need to seek.
///
/// # Errors
/// As for [`open_clip`].
pub fn open_stream(input: &OsStr, options: &SourceOptions) -> Result<Box<dyn Stream>> {
    options.check()?;
    Ok(transformed_stream(untransformed_stream(input, options, &CancelFlag::default())?, &options.transform))
}

/// How long reads wait that nothing cancels.
fn uncancelled(options: &SourceOptions) -> WaitLimit {
    WaitLimit::new(options.read.timeout_s, &CancelFlag::default())
}

/// Opens a stream without masks and rotation. `cancel` stops reads of URLs and pipes that wait.
pub(super) fn untransformed_stream(
    input: &OsStr,
    options: &SourceOptions,
    cancel: &CancelFlag,
) -> Result<Box<dyn Stream>> {
    let name = name_of(input);
    let limit = WaitLimit::new(options.read.timeout_s, cancel);
    match location_of(input) {
        Location::Url(url) => ffmpeg_stream(&name, FfmpegInput::Url(url), options, cancel),
        Location::Stdin => piped_stream(&name, Box::new(stdin(&name, limit)?), options, cancel),
        Location::Path(path) => match Format::of_path(&name, &path)? {
            Format::NamedPipe => {
                let from = TimedReader::new(open_named_pipe(&name, &path)?, limit);
                piped_stream(&name, Box::new(from), options, cancel)
            }
            format => {
                let mut recording = recording(&name, path, format, options)?;
                let reader = recording.forward_reader()?;
                Ok(Box::new(ReaderStream::new(recording.info().clone(), reader)))
            }
        },
    }
}

/// Where an input is.
pub(super) enum Location {
    Stdin,
    Url(String),
    Path(PathBuf),
}

pub(super) fn location_of(input: &OsStr) -> Location {
    match input.to_str() {
        Some("-") => Location::Stdin,
        Some(text) if text.starts_with("file://") => Location::Path(path_of_file_url(text)),
        Some(text) if is_url(text) => Location::Url(text.into()),
        _ => Location::Path(input.into()),
    }
}

/// The path of a `file://` address: without a host, and with `%20` and the like decoded.
fn path_of_file_url(address: &str) -> PathBuf {
    let path = address.strip_prefix("file://").unwrap_or(address);
    let path = path.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    // A file may have a name that looks encoded and is not.
    if path.as_bytes().contains(&b'%') && !std::path::Path::new(path).exists() {
        return path_of_bytes(percent_decoded(path));
    }
    path.into()
}

#[cfg(unix)]
fn path_of_bytes(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_of_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Returns the input's name in messages, without credentials.
pub(super) fn name_of(input: &OsStr) -> String {
    match input.to_str() {
        Some("-") => "standard input".into(),
        _ => shown_input(input),
    }
}

/// Opens the recording at `path`, whose format was detected. Formats of files go through [`FfmpegFallback::open`], so that
/// `ffmpeg` reads what our reader cannot.
fn recording(name: &str, path: PathBuf, format: Format, options: &SourceOptions) -> Result<Box<dyn Recording>> {
    let matrix = options.read.matrix;
    let fallback = FfmpegFallback::new(name, &path, options);
    match format {
        #[cfg(feature = "h264")]
        Format::Mp4 => fallback.open(Mp4File::open(name, &path, matrix)),
        #[cfg(not(feature = "h264"))]
        Format::Mp4 => Ok(Box::new(FfmpegFile::open(name, path, "MP4 (this build lacks the feature h264)", options)?)),
        Format::Gif => fallback.open(AnimationFile::open(name, &path, AnimationFormat::Gif)),
        Format::Apng => fallback.open(AnimationFile::open(name, &path, AnimationFormat::Apng)),
        Format::Mjpeg => fallback.open(MjpegFile::open(name, &path).map_err(OpenError::from)),
        Format::Still => fallback.open(Stills::open(name, &path, options.stills_rate).map_err(OpenError::from)),
        Format::Folder => Ok(Box::new(Stills::open(name, &path, options.stills_rate)?)),
        Format::Y4m => fallback.open(Y4mFile::open(name, &path, matrix).map_err(OpenError::from)),
        Format::NamedPipe | Format::Other => {
            // Without ffmpeg: "reading this kind of file needs ffmpeg".
            Ok(Box::new(FfmpegFile::open(name, path, "reading this kind of file", options)?))
        }
    }
}

/// A recording, together with the temporary file that contains it.
struct SpooledRecording {
    recording: Box<dyn Recording>,
    _file: SpoolFile,
}

impl Recording for SpooledRecording {
    fn info(&self) -> &ClipInfo {
        self.recording.info()
    }

    fn reader(&mut self) -> Result<Box<dyn Reader>> {
        self.recording.reader()
    }

    fn forward_reader(&mut self) -> Result<Box<dyn Reader>> {
        self.recording.forward_reader()
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

fn spooled_recording(
    name: &str,
    head: &[u8],
    from: &mut dyn Read,
    options: &SourceOptions,
) -> Result<SpooledRecording> {
    // Before the rest is read, which may be long.
    Format::of_bytes(head).ok_or_else(|| detect::text_error(name, head))?;
    let file = spool(name, head, from, options.read.spool_limit.bytes())?;
    let format = Format::of_path(name, &file.path())?;
    Ok(SpooledRecording { recording: recording(name, file.path(), format, options)?, _file: file })
}

fn spooled_clip(name: String, from: &mut dyn Read, options: &SourceOptions) -> Result<Box<dyn Clip>> {
    let head = read_head(&name, from, HEAD_BYTES)?;
    let recording = spooled_recording(&name, &head, from, options)?;
    Ok(Box::new(RecordedClip::new(name, Box::new(recording))))
}

fn piped_stream(
    name: &str,
    mut from: Box<dyn Read + Send>,
    options: &SourceOptions,
    cancel: &CancelFlag,
) -> Result<Box<dyn Stream>> {
    let head = read_head(name, &mut from, HEAD_BYTES)?;
    match Format::of_bytes(&head).ok_or_else(|| detect::text_error(name, &head))? {
        Format::Y4m => piped_y4m(name, head, from, options, cancel),
        Format::Mp4 => piped_mp4(name, head, from, options, cancel),
        Format::Still if head.starts_with(b"\xff\xd8") => piped_jpeg(name, head, from, options),
        Format::Gif | Format::Still | Format::Apng | Format::Mjpeg => spooled_stream(name, &head, &mut from, options),
        Format::Folder | Format::NamedPipe | Format::Other => {
            ffmpeg_stream(name, FfmpegInput::Pipe(head, from), options, cancel)
        }
    }
}

/// Reads a URL or a pipe by `ffmpeg`, as data arrive.
fn ffmpeg_stream(
    name: &str,
    input: FfmpegInput,
    options: &SourceOptions,
    cancel: &CancelFlag,
) -> Result<Box<dyn Stream>> {
    let (info, reader) = open_ffmpeg_stream(name, input, options, cancel)?;
    Ok(Box::new(ReaderStream::new(info, reader)))
}

/// Reads a pipe through a temporary file.
fn spooled_stream(name: &str, head: &[u8], from: &mut dyn Read, options: &SourceOptions) -> Result<Box<dyn Stream>> {
    let mut recording = spooled_recording(name, head, from, options)?;
    let reader = recording.forward_reader()?;
    Ok(Box::new(ReaderStream::new(recording.info().clone(), Box::new(SpooledReader { reader, _recording: recording }))))
}

/// Reads y4m as it arrives. Pixel formats that our reader does not support are read by an installed `ffmpeg`.
fn piped_y4m(
    name: &str,
    head: Vec<u8>,
    from: Box<dyn Read + Send>,
    options: &SourceOptions,
    cancel: &CancelFlag,
) -> Result<Box<dyn Stream>> {
    let supported = Y4mReader::new(name, Pipe(&head[..]), None, options.read.matrix);
    // Only if the whole header is in the head; a longer one is not that of a known format.
    if supported.is_err() && head.contains(&b'\n') && find_ffmpeg(options).is_some() {
        return ffmpeg_stream(name, FfmpegInput::Pipe(head, from), options, cancel);
    }
    let whole = BufReader::with_capacity(1 << 16, Cursor::new(head).chain(from));
    let unknown_length = None;
    let reader = Y4mReader::new(name, Pipe(whole), unknown_length, options.read.matrix)?;
    Ok(Box::new(ReaderStream::new(reader.info(), Box::new(reader))))
}

/// Reads fragmented MP4 as it arrives, by `ffmpeg` if it is installed, and other MP4 through a temporary file.
fn piped_mp4(
    name: &str,
    head: Vec<u8>,
    mut from: Box<dyn Read + Send>,
    options: &SourceOptions,
    cancel: &CancelFlag,
) -> Result<Box<dyn Stream>> {
    let failed = |e: std::io::Error| Error::input(name, format!("cannot be read: {e}"));
    if find_ffmpeg(options).is_none() {
        return spooled_stream(name, &head, &mut from, options);
    }
    let (start, fragmented) = read_mp4_start(head, &mut from).map_err(failed)?;
    if !fragmented {
        return spooled_stream(name, &start, &mut from, options);
    }
    ffmpeg_stream(name, FfmpegInput::Pipe(start, from), options, cancel)
}

/// Reads JPEG images one after another as they arrive; a single one through a temporary file.
fn piped_jpeg(
    name: &str,
    head: Vec<u8>,
    from: Box<dyn Read + Send>,
    options: &SourceOptions,
) -> Result<Box<dyn Stream>> {
    let failed = |e: std::io::Error| Error::input(name, format!("cannot be read: {e}"));
    let buffered = BufReader::with_capacity(1 << 16, Cursor::new(head).chain(from));
    let mut images = JpegSplitter::new(buffered);
    let first = images.next().map_err(failed)?;
    let several = first == NextImage::Whole && !images.is_one_of_several() && images.find_start().map_err(failed)?;
    let (mut image, mut rest) = images.into_parts();
    if !several {
        return spooled_stream(name, &image, &mut rest, options);
    }
    // The start of the second image was read.
    image.extend_from_slice(b"\xff\xd8");
    Ok(Box::new(ReaderStream::new(mjpeg_info(), Box::new(mjpeg_stream(name, image, rest)))))
}

/// A reader, together with the temporary file that it reads.
struct SpooledReader {
    reader: Box<dyn Reader>,
    _recording: SpooledRecording,
}

impl Reader for SpooledReader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        self.reader.advance(wanted)
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        self.reader.picture()
    }

    fn finish(&mut self) -> Result<bool> {
        self.reader.finish()
    }

    fn warnings(&self) -> &[String] {
        self.reader.warnings()
    }

    fn doubt(&self) -> Option<&str> {
        self.reader.doubt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_addresses_are_decoded() {
        for (address, path) in [
            ("file:///tmp/a%20b.mp4", "/tmp/a b.mp4"),
            ("file://localhost/tmp/a.mp4", "/tmp/a.mp4"),
            ("file:///tmp/50%25.mp4", "/tmp/50%.mp4"),
            ("file:///tmp/100%.mp4", "/tmp/100%.mp4"),
            ("file:///tmp/caf%C3%A9.mp4", "/tmp/caf\u{e9}.mp4"),
            ("file://relative.mp4", "relative.mp4"),
        ] {
            assert_eq!(path_of_file_url(address), PathBuf::from(path), "{address}");
        }
    }
}
