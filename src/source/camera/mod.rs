//! Cameras that Linux drives (V4L2): USB cameras, capture cards, and CSI cameras where a driver shows them as such.
//!
//! A camera is named by its device file (`/dev/video0`) or, better, by what stays the same when it is plugged in again
//! (`camera:ID`, see [`list`]). It is opened in the smallest mode that is large enough, or in the one wished for, read
//! in a thread of its own, and opened again when it is lost, under whatever number it comes back.
//!
//! The `v4l` crate gives the kernel's structures and calls. Its stream is not used: after a time-out it queues a buffer
//! that the kernel still owns, it cannot pass on to the newest frame, and it panics where a camera goes at a bad moment.

mod format;
mod info;
mod wish;

#[cfg(all(target_os = "linux", feature = "camera"))]
mod capture;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod choose;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod coding;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod dialect;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod find;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod modes;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod node;
#[cfg(all(target_os = "linux", feature = "camera"))]
mod opener;
#[cfg(not(all(target_os = "linux", feature = "camera")))]
#[path = "without.rs"]
mod opener;

pub use format::CameraFormat;
pub use info::{CameraInfo, ModeInfo, SizeInfo};
pub use opener::list;
pub(super) use opener::open;
pub use wish::CameraWish;
