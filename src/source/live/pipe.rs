//! Pipes and URLs as live sources.

use std::ffi::OsStr;
use std::time::Duration;

use super::LiveOptions;
use super::raw_frame::copy_packed;
use super::reconnect::{Capture, Device, DeviceError, FrameMeta, OpenDevice, ReconnectSpec};
use crate::picture::ViewSpec;
use crate::source::open::{Location, location_of, unpainted_stream};
use crate::source::{ClipInfo, SourceOptions, Stream};
use crate::{Error, Result};

/// Returns what opens a pipe or URL, which is done by the reader thread.
///
/// # Errors
/// A file or folder, which is not live.
pub(super) fn pipe_or_url(input: &OsStr, name: String, options: &LiveOptions) -> Result<(ReconnectSpec, OpenDevice)> {
    let location = location_of(input);
    // If a source may be waited for, the program that writes to a named pipe may also be restarted.
    let reopen =
        matches!(location, Location::Url(_)) || (options.wait_for_source && matches!(location, Location::Path(_)));
    if let Location::Path(path) = &location
        && std::fs::metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir())
    {
        return Err(Error::input(name, "is a file, which cannot be read live; use a camera, a pipe or a URL"));
    }
    let source = SourceOptions { view: ViewSpec::default(), ..options.source.clone() };
    // `options` have been checked, so that the conversion cannot fail.
    let timeout = Duration::try_from_secs_f64(source.read.timeout_s).unwrap_or(Duration::MAX);
    let input = input.to_owned();
    let open: OpenDevice = Box::new(move || {
        let opened = unpainted_stream(&input, &source).map(|stream| LiveStream { stream, reopen });
        match opened {
            Ok(stream) => Ok(Box::new(stream) as Box<dyn Device>),
            Err(e) => Err(device_error(e, reopen)),
        }
    });
    // A waiting read cannot be interrupted, so dropping the source does not wait for its thread.
    Ok((ReconnectSpec { name, timeout, join_on_drop: false, ..ReconnectSpec::default() }, open))
}

/// Classifies an error: a source that is reopened may work again, any other stays broken.
fn device_error(e: Error, reopen: bool) -> DeviceError {
    match e {
        Error::Input { problem, .. } if reopen => DeviceError::Lost(problem),
        e => DeviceError::Fatal(e),
    }
}

/// A pipe or URL, read as data arrive.
struct LiveStream {
    stream: Box<dyn Stream>,
    /// Reopen it at its end.
    reopen: bool,
}

impl Device for LiveStream {
    fn info(&self) -> ClipInfo {
        self.stream.info().clone()
    }

    fn next_frame(&mut self, _: Duration, into: &mut Vec<u8>) -> Result<Capture, DeviceError> {
        // Streams wait by themselves, with their own timeout; the time 0 requests the very next frame.
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
