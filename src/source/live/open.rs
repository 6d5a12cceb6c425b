//! Opens live sources: cameras, and pipes and URLs that are read live.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Live;
use super::raw_frame::copy_packed;
use super::reconnect::{Capture, Device, DeviceError, FrameMeta, OpenDevice, ReconnectSpec, ReconnectingSource};
use super::v4l2::{self, CaptureRequest};
use crate::picture::{PictureTransform, PictureTransformer};
use crate::source::open::{Location, location_of, name_of, untransformed_stream};
use crate::source::wait::CancelFlag;
use crate::source::{ClipInfo, SourceOptions, Stream};
use crate::{Error, Result};

/// How live sources are opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveOptions {
    /// Options of all sources.
    pub source: SourceOptions,
    /// The requested mode of a camera.
    pub capture: CaptureRequest,
    /// Wait for a source that is not available yet, instead of failing.
    pub wait_for_source: bool,
}

impl LiveOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] of the key that is out of range.
    pub fn check(&self) -> Result<()> {
        self.source.check()?;
        self.capture.check()
    }
}

/// Returns whether `input` names a camera: `camera:ID` or a device file.
pub fn is_camera(input: &OsStr) -> bool {
    match input.to_str() {
        Some(text) if text.starts_with("camera:") => true,
        _ => is_device(Path::new(input)),
    }
}

#[cfg(unix)]
fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let named = path.to_str().is_some_and(|path| path.starts_with("/dev/video") || path.starts_with("/dev/v4l/"));
    // The device file of an unplugged camera does not exist.
    named
        || std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_char_device())
            && path != Path::new("/dev/stdin")
}

#[cfg(not(unix))]
fn is_device(_: &Path) -> bool {
    false
}

/// Opens a camera, or reads a pipe or a URL live: `-`, a named pipe, `rtsp://...`.
///
/// # Errors
/// A source that cannot be opened now, unless [`LiveOptions::wait_for_source`] is set; a file, which is not live;
/// [`crate::Error::Setting`] for options out of range.
pub fn open_live(input: &OsStr, options: &LiveOptions) -> Result<Box<dyn Live>> {
    options.check()?;
    let name = name_of(input);
    let transformer = PictureTransformer::new(options.source.transform.clone());
    let (spec, open) = if is_camera(input) {
        v4l2::camera(input, name, &options.capture, &options.source)?
    } else {
        pipe_or_url(input, name, options)?
    };
    let spec = ReconnectSpec { wait_for_source: options.wait_for_source, ..spec };
    Ok(Box::new(ReconnectingSource::start(spec, open, transformer)?))
}

/// Returns how a pipe or URL is opened and read. The reader thread opens it.
///
/// # Errors
/// A file or folder, which is not live.
fn pipe_or_url(input: &OsStr, name: String, options: &LiveOptions) -> Result<(ReconnectSpec, OpenDevice)> {
    let location = location_of(input);
    // With `wait_for_source`, the program that writes to a named pipe may also be restarted.
    let reopen =
        matches!(location, Location::Url(_)) || (options.wait_for_source && matches!(location, Location::Path(_)));
    if let Location::Path(path) = &location
        && std::fs::metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir())
    {
        return Err(Error::input(name, "is a file, which cannot be read live; use a camera, a pipe or a URL"));
    }
    let source = SourceOptions { transform: PictureTransform::default(), ..options.source.clone() };
    // `options` have been checked, so that the conversion cannot fail.
    let timeout = Duration::try_from_secs_f64(source.read.timeout_s).unwrap_or(Duration::MAX);
    let input = input.to_owned();
    let cancel = CancelFlag::default();
    let reader_cancel = cancel.clone();
    let open: OpenDevice = Box::new(move || {
        let opened = untransformed_stream(&input, &source, &reader_cancel).map(|stream| LiveStream { stream, reopen });
        match opened {
            Ok(stream) => Ok(Box::new(stream) as Box<dyn Device>),
            Err(e) => Err(device_error(e, reopen)),
        }
    });
    Ok((ReconnectSpec { cancel, ..ReconnectSpec::new(name, timeout) }, open))
}

/// Classifies an error: a source that is reopened may work again, any other source has failed.
fn device_error(e: Error, reopen: bool) -> DeviceError {
    match e {
        Error::Input { problem, .. } if reopen => DeviceError::Lost(problem),
        e => DeviceError::Fatal(e),
    }
}

/// A pipe or URL, read as data arrive.
struct LiveStream {
    stream: Box<dyn Stream>,
    /// Whether it is reopened at its end.
    reopen: bool,
}

impl Device for LiveStream {
    fn info(&self) -> ClipInfo {
        self.stream.info().clone()
    }

    fn next_frame(&mut self, _: Duration, into: &mut Vec<u8>) -> Result<Capture, DeviceError> {
        // Streams wait with their own timeout. The time 0 requests the next frame.
        match self.stream.first_at_or_after(0.0) {
            Ok(Some(frame)) => {
                let layout = copy_packed(&frame.picture, into);
                Ok(Capture::Frame(FrameMeta { layout, clock_s: None, skipped: 0, lost: 0 }))
            }
            Ok(None) => {
                for warning in self.stream.warnings() {
                    log::debug!("{warning}");
                }
                Err(if self.reopen { DeviceError::Lost("its stream ended".into()) } else { DeviceError::Ended })
            }
            Err(e) => Err(device_error(e, self.reopen)),
        }
    }
}
