//! Cameras with a V4L2 driver on Linux: USB cameras, capture cards, and CSI cameras whose driver supports it.
//!
//! A camera is named by its device file (`/dev/video0`) or, better, by a name that stays the same when it is plugged in
//! again (`camera:ID`, see [`list_cameras`]). It is opened in the smallest mode that is large enough, or in the
//! requested one, read in a separate thread, and reopened when it is lost, even under another device number.
//!
//! The `v4l` crate provides the kernel's structures and calls. Its stream is not used: after a timeout it queues a
//! buffer that the kernel still owns, it cannot skip to the newest frame, and it panics if a camera disappears at a bad
//! moment.

mod info;

#[cfg(all(target_os = "linux", feature = "camera"))]
mod api;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod capture;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod find;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod modes;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod node;

#[cfg(all(target_os = "linux", feature = "camera"))]
mod supported {
    use std::ffi::OsStr;
    use std::time::Duration;

    use super::super::reconnect::{Device, DeviceError, OpenDevice, ReconnectSpec};
    use super::CaptureRequest;
    use super::capture::CaptureDevice;
    use super::find::{CameraSelector, Identity, find};
    use super::modes::ModeRequest;
    use crate::source::SourceOptions;
    use crate::{Error, Result};

    pub use super::find::list_cameras;

    /// A camera without a frame for this long is reopened, even if the configured timeout is longer.
    const MAX_TIMEOUT_S: f64 = 5.0;

    /// Returns how the camera that `input` names is opened and reopened: always the same camera in the same size.
    ///
    /// # Errors
    /// A name that no camera can have.
    pub fn camera(
        input: &OsStr,
        name: String,
        request: &CaptureRequest,
        options: &SourceOptions,
    ) -> Result<(ReconnectSpec, OpenDevice)> {
        let text = input.to_str().ok_or_else(|| Error::input(&name, "is not a valid name of a camera"))?;
        let (selector, matrix, request) = (CameraSelector::new(text), options.read.matrix, *request);
        let mut opened: Option<(Identity, ModeRequest<'static>)> = None;
        let open: OpenDevice = Box::new(move || {
            let found = find(&selector, opened.as_ref().map(|(identity, _)| identity)).map_err(DeviceError::Lost)?;
            if let Some((_, same_mode)) = &opened {
                let camera = CaptureDevice::open(&found, same_mode, matrix).map_err(|error| match error {
                    // It offered this mode before and may offer it again: another program may be using it now, or it is
                    // still starting.
                    DeviceError::Fatal(e) => DeviceError::Lost(e.to_string()),
                    error => error,
                })?;
                return Ok(Box::new(camera) as Box<dyn Device>);
            }
            let camera = CaptureDevice::open(&found, &ModeRequest::Best(&request), matrix)?;
            log::info!("{}: {} at {}", found.card, camera.mode(), found.path.display());
            opened = Some((found.identity(), camera.same_mode()));
            Ok(Box::new(camera) as Box<dyn Device>)
        });
        let timeout = Duration::try_from_secs_f64(options.read.timeout_s.min(MAX_TIMEOUT_S))
            .unwrap_or(Duration::from_secs_f64(MAX_TIMEOUT_S));
        Ok((ReconnectSpec::new(name, timeout), open))
    }
}

#[cfg(not(all(target_os = "linux", feature = "camera")))]
mod unsupported {
    use std::ffi::OsStr;

    use super::super::reconnect::{OpenDevice, ReconnectSpec};
    use super::{CameraInfo, CaptureRequest};
    use crate::source::SourceOptions;
    use crate::{Error, Result};

    /// Returns an error.
    pub fn camera(
        _: &OsStr,
        name: String,
        _: &CaptureRequest,
        _: &SourceOptions,
    ) -> Result<(ReconnectSpec, OpenDevice)> {
        let problem = "is a camera, which this build cannot read (it needs Linux and the feature `camera`); pipe it in \
                       by ffmpeg";
        Err(Error::input(name, problem))
    }

    /// Returns an error.
    ///
    /// # Errors
    /// Always returns an error.
    pub fn list_cameras() -> Result<Vec<CameraInfo>> {
        Err(Error::Usage("this build cannot read cameras; it needs Linux and the feature `camera`".into()))
    }
}

pub use info::{CameraFormat, CameraInfo, CaptureRequest, FrameSize, ModeInfo, SizeInfo};
#[cfg(all(target_os = "linux", feature = "camera"))]
pub(super) use supported::camera;
#[cfg(all(target_os = "linux", feature = "camera"))]
pub use supported::list_cameras;
#[cfg(not(all(target_os = "linux", feature = "camera")))]
pub(super) use unsupported::camera;
#[cfg(not(all(target_os = "linux", feature = "camera")))]
pub use unsupported::list_cameras;
