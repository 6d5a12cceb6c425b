//! Opens a source that goes on by itself.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use super::keeper::{Came, Device, Fault, Got, Keeping, Kept, Open};
use super::shot::copy;
use super::{Live, LiveOptions};
use crate::source::open::{Place, bare_stream, name_of, place_of};
use crate::source::view::Viewer;
use crate::source::{ClipInfo, SourceOptions, Stream, camera};
use crate::{Error, Result};

/// Whether `input` names a camera: `camera:ID` or a device file.
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
    // A camera that is unplugged is one all the same.
    named
        || std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_char_device())
            && path != Path::new("/dev/stdin")
}

#[cfg(not(unix))]
fn is_device(_: &Path) -> bool {
    false
}

/// Opens a camera, or reads a pipe or an address live: `-`, a named pipe, `rtsp://...`.
///
/// # Errors
/// What cannot be opened now, unless [`LiveOptions::awaited`]; files, which do not go on by themselves.
pub fn open_live(input: &OsStr, options: &LiveOptions) -> Result<Box<dyn Live>> {
    let name = name_of(input);
    let viewer = Viewer::new(options.source.view.clone());
    let (keeping, open) = if is_camera(input) {
        camera::open(input, name, &options.camera, &options.source)?
    } else {
        piped(input, name, options)?
    };
    Ok(Box::new(Kept::start(Keeping { awaited: options.awaited, ..keeping }, open, viewer)?))
}

fn piped(input: &OsStr, name: String, options: &LiveOptions) -> Result<(Keeping, Open)> {
    let place = place_of(input);
    // Whoever feeds a named pipe may be started anew too, where it is worth waiting for.
    let again = matches!(place, Place::Url(_)) || (options.awaited && matches!(place, Place::Path(_)));
    if let Place::Path(path) = &place
        && std::fs::metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir())
    {
        return Err(Error::input(
            name,
            "is a file, which does not go on by itself; --live is for cameras, pipes and addresses",
        ));
    }
    let source = SourceOptions { view: Default::default(), ..options.source.clone() };
    let silence = Duration::try_from_secs_f64(source.io_timeout_s)
        .map_err(|_| Error::Usage(format!("--io-timeout {}: give seconds, from 0.1 to 86400", source.io_timeout_s)))?;
    let input = input.to_owned();
    let open: Open = Box::new(move || {
        let opened = bare_stream(&input, &source).map(|stream| Piped { stream, again });
        match opened {
            Ok(piped) => Ok(Box::new(piped) as Box<dyn Device>),
            Err(e) => Err(fault(e, again)),
        }
    });
    // A read that waits cannot be broken off, so nobody waits for its thread.
    Ok((Keeping { name, silence, joined: false, ..Keeping::default() }, open))
}

/// What an error means: what is opened `again` may answer again, another pipe that broke stays broken.
fn fault(e: Error, again: bool) -> Fault {
    match e {
        Error::Input { problem, .. } if again => Fault::Lost(problem),
        e => Fault::Refused(e),
    }
}

/// A pipe or an address, drained as it comes.
struct Piped {
    stream: Box<dyn Stream>,
    /// Whether it is opened again at its end.
    again: bool,
}

impl Device for Piped {
    fn info(&self) -> ClipInfo {
        self.stream.info().clone()
    }

    fn next(&mut self, _: Duration, into: &mut Vec<u8>) -> Result<Got, Fault> {
        // Streams wait by themselves, with a patience of their own; zero asks for the very next frame.
        match self.stream.first_at_or_after(0.0) {
            Ok(Some(frame)) => {
                let layout = copy(&frame.picture, into);
                Ok(Got::Frame(Came { layout, clock_s: None, passed: 0, lost: 0 }))
            }
            Ok(None) => {
                for warning in self.stream.warnings() {
                    log::debug!("{warning}");
                }
                Err(if self.again { Fault::Lost("its stream ended".into()) } else { Fault::Ended })
            }
            Err(e) => Err(fault(e, self.again)),
        }
    }
}
