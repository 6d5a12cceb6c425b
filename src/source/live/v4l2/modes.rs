//! Lists the modes of a camera and chooses one.

use v4l::v4l_sys::*;
use v4l::v4l2::vidioc;

use super::api::KernelStruct;
use super::node::{DeviceNode, text};
use super::{CameraFormat, CaptureRequest, FrameSize, ModeInfo, SizeInfo};
use crate::picture::{MAX_VIDEO_PIXELS, check_size};
use crate::units::Rate;
use crate::{Error, Result};

/// Maximum number of entries that are read of any list of a driver.
const MAX_ENTRIES: u32 = 256;

/// Lists the modes of supported formats, and the codes of other formats.
pub(super) fn list_modes(node: &DeviceNode) -> (Vec<ModeInfo>, Vec<String>) {
    let (mut modes, mut others) = (Vec::<ModeInfo>::new(), Vec::new());
    for index in 0..MAX_ENTRIES {
        let mut entry = v4l2_fmtdesc { index, type_: node.api().buffer_type(), ..v4l2_fmtdesc::zeroed() };
        if node.call(vidioc::VIDIOC_ENUM_FMT, &mut entry).is_err() {
            break;
        }
        match CameraFormat::of_number(entry.pixelformat) {
            Some(format) if modes.iter().all(|mode| mode.format != format) => {
                modes.push(ModeInfo { format, sizes: sizes(node, entry.pixelformat) });
            }
            Some(_) => {}
            None => others.push(text(&entry.pixelformat.to_le_bytes())),
        }
    }
    (modes, others)
}

fn sizes(node: &DeviceNode, pixel_format: u32) -> Vec<SizeInfo> {
    let mut sizes = Vec::new();
    for index in 0..MAX_ENTRIES {
        let mut entry = v4l2_frmsizeenum { index, pixel_format, ..v4l2_frmsizeenum::zeroed() };
        if node.call(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut entry).is_err() {
            break;
        }
        if entry.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
            // SAFETY: the type determines which part of the union is set, and both consist of whole numbers.
            let size = unsafe { entry.__bindgen_anon_1.discrete };
            let size = (size.width, size.height);
            if size.0 > 0 && size.1 > 0 {
                sizes.push(SizeInfo { min: size, max: size, step: (1, 1), rates: rates(node, pixel_format, size) });
            }
        } else {
            // SAFETY: as above.
            let range = unsafe { entry.__bindgen_anon_1.stepwise };
            let (min, max) = ((range.min_width, range.min_height), (range.max_width, range.max_height));
            if min.0 > 0 && min.1 > 0 && min.0 <= max.0 && min.1 <= max.1 {
                let step = (range.step_width.max(1), range.step_height.max(1));
                let mut size = SizeInfo { min, max, step, rates: Vec::new() };
                size.rates = rates(node, pixel_format, size.nearest((640, 480)));
                sizes.push(size);
            }
            break;
        }
    }
    sizes
}

/// Lists the frame rates for a size; of a range, its highest rate and the usual rates below.
fn rates(node: &DeviceNode, pixel_format: u32, (width, height): (u32, u32)) -> Vec<f64> {
    let mut rates = Vec::new();
    for index in 0..MAX_ENTRIES {
        let mut entry = v4l2_frmivalenum { index, pixel_format, width, height, ..v4l2_frmivalenum::zeroed() };
        if node.call(vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut entry).is_err() {
            break;
        }
        let rate = |interval: v4l2_fract| f64::from(interval.denominator) / f64::from(interval.numerator.max(1));
        if entry.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
            // SAFETY: the type determines which part of the union is set, and both consist of whole numbers.
            rates.push(rate(unsafe { entry.__bindgen_anon_1.discrete }));
        } else {
            // SAFETY: as above.
            let range = unsafe { entry.__bindgen_anon_1.stepwise };
            let (slowest, fastest) = (rate(range.max), rate(range.min));
            rates.extend([5.0, 10.0, 15.0, 25.0, 30.0, 60.0].into_iter().filter(|r| (slowest..fastest).contains(r)));
            rates.push(fastest);
            break;
        }
    }
    rates.retain(|rate| rate.is_finite() && *rate > 0.0);
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

/// Returns the frame interval of a rate, in the form that drivers expect.
pub(super) fn interval(fps: f64) -> v4l2_fract {
    if (fps - fps.round()).abs() < 1e-6 {
        v4l2_fract { numerator: 1, denominator: fps.round() as u32 }
    } else {
        v4l2_fract { numerator: 1001, denominator: (fps * 1001.0).round() as u32 }
    }
}

/// The rate of a frame interval, if the driver reports one.
pub(super) fn rate_of(interval: v4l2_fract) -> Option<Rate> {
    (interval.numerator > 0 && interval.denominator > 0)
        .then_some(Rate { num: interval.denominator, den: interval.numerator })
}

/// A shorter side of this many pixels is large enough: models take 224 to 256 pixels, and a picture of about twice that
/// size loses nothing when it is scaled down. Larger pictures only load the bus and the decoder.
const ENOUGH: u32 = 480;
/// Preferred minimum frame rate: the newest frame is then at most 67 ms old, and a USB 2 bus can carry several cameras.
const PREFERRED_FPS: f64 = 15.0;
/// A slower mode is chosen only if there is no other.
const SLOW_FPS: f64 = 10.0;

/// The mode in which a camera is opened.
pub(super) enum ModeRequest<'a> {
    /// The best mode that fits the request.
    Best(&'a CaptureRequest),
    /// The mode that the camera had before, with the size that it set.
    Same(ModeChoice, (u32, u32)),
}

/// A mode to request from the driver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ModeChoice {
    pub format: CameraFormat,
    pub size: (u32, u32),
    /// `None` if the driver lists no rates and none is requested.
    pub fps: Option<f64>,
}

/// Chooses the mode with the smallest picture that is large enough, in the format that costs least. `name` is the
/// camera's name in messages.
///
/// # Errors
/// [`Error::Input`] for a request that the camera does not offer.
pub(super) fn choose(name: &str, modes: &[ModeInfo], request: &CaptureRequest) -> Result<ModeChoice> {
    let size = request.size.map(|FrameSize { width, height }| (width, height));
    let candidates = modes.iter().flat_map(|mode| {
        let sizes = mode.sizes.iter().map(|offer| (offer.nearest(size.unwrap_or((640, 480))), &offer.rates[..]));
        // A driver that lists no sizes may still accept one.
        let unlisted = mode.sizes.is_empty().then_some((size.unwrap_or((640, 480)), &[][..]));
        sizes.chain(unlisted).map(|(size, rates)| ModeChoice {
            format: mode.format,
            size,
            fps: choose_rate(rates, request.rate),
        })
    });
    let requested = |choice: &ModeChoice| {
        request.format.is_none_or(|format| format == choice.format)
            && size.is_none_or(|size| size == choice.size)
            && check_size(choice.size.0, choice.size.1, MAX_VIDEO_PIXELS).is_ok()
    };
    let cost = |choice: &ModeChoice| {
        let (width, height) = choice.size;
        let (area, enough) = (u64::from(width) * u64::from(height), width.min(height) >= ENOUGH);
        let slow = choice.fps.is_some_and(|fps| fps < SLOW_FPS && request.rate.is_none_or(|rate| fps < rate * 0.9));
        // If none is large enough, the largest is best.
        (!enough, if enough { area } else { u64::MAX - area }, slow, choice.format)
    };
    candidates.filter(requested).min_by_key(cost).ok_or_else(|| {
        let format = request.format.map(|format| format!(" `format = {format}`")).unwrap_or_default();
        let size = request.size.map(|size| format!(" `size = {size}`")).unwrap_or_default();
        Error::input(name, format!("does not offer{format}{size}; see `bike-edge camera list`"))
    })
}

/// The rate nearest to the requested one; without a request the lowest that is high enough, or the highest.
fn choose_rate(rates: &[f64], requested: Option<f64>) -> Option<f64> {
    let far = |rate: &f64, from: f64| (rate - from).abs();
    match requested {
        Some(wanted) => rates.iter().copied().min_by(|a, b| far(a, wanted).total_cmp(&far(b, wanted))).or(Some(wanted)),
        None => {
            let enough = rates.iter().copied().filter(|rate| *rate >= PREFERRED_FPS * 0.99).min_by(f64::total_cmp);
            enough.or_else(|| rates.iter().copied().max_by(f64::total_cmp))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_become_intervals_and_come_back() {
        for fps in [30.0, 15.0, 30000.0 / 1001.0, 7.5] {
            let rate = rate_of(interval(fps)).expect("a rate");
            assert!((rate.fps() - fps).abs() < 1e-3, "{fps}");
        }
        assert_eq!(rate_of(v4l2_fract { numerator: 0, denominator: 30 }), None);
    }

    fn mode(format: CameraFormat, sizes: &[(u32, u32, f64)]) -> ModeInfo {
        let size = |&(w, h, fps)| SizeInfo { min: (w, h), max: (w, h), step: (1, 1), rates: vec![5.0, fps] };
        ModeInfo { format, sizes: sizes.iter().map(size).collect() }
    }

    /// A typical USB camera, whose large sizes are fast only in MJPEG.
    fn webcam() -> Vec<ModeInfo> {
        vec![
            mode(CameraFormat::Mjpeg, &[(320, 240, 30.0), (640, 480, 30.0), (1920, 1080, 30.0)]),
            mode(CameraFormat::Yuyv, &[(320, 240, 30.0), (640, 480, 30.0), (1280, 720, 7.5)]),
        ]
    }

    fn chosen(modes: &[ModeInfo], request: CaptureRequest) -> ModeChoice {
        choose("cam", modes, &request).expect("a mode")
    }

    #[test]
    fn the_smallest_picture_that_is_large_enough_is_chosen() {
        let choice = chosen(&webcam(), CaptureRequest::default());
        assert_eq!(choice, ModeChoice { format: CameraFormat::Yuyv, size: (640, 480), fps: Some(30.0) });
        let small = [mode(CameraFormat::Yuyv, &[(160, 120, 30.0), (320, 240, 30.0)])];
        assert_eq!(chosen(&small, CaptureRequest::default()).size, (320, 240));
        let portrait = [mode(CameraFormat::Nv12, &[(240, 320, 30.0), (480, 640, 30.0), (720, 1280, 30.0)])];
        assert_eq!(chosen(&portrait, CaptureRequest::default()).size, (480, 640));
    }

    #[test]
    fn a_fast_format_is_preferred_to_a_slow_one() {
        let mut modes = webcam();
        modes[1].sizes[1].rates = vec![5.0];
        modes[0].sizes[1].rates = vec![15.0, 30.0];
        let choice = chosen(&modes, CaptureRequest::default());
        assert_eq!((choice.format, choice.fps), (CameraFormat::Mjpeg, Some(15.0)));
    }

    #[test]
    fn a_request_is_fulfilled_or_refused() {
        let request = |format, size: Option<&str>, rate| CaptureRequest {
            format,
            size: size.map(|size| size.parse().expect("a size")),
            rate,
        };
        let choice = chosen(&webcam(), request(Some(CameraFormat::Mjpeg), Some("1920x1080"), Some(30.0)));
        assert_eq!(choice, ModeChoice { format: CameraFormat::Mjpeg, size: (1920, 1080), fps: Some(30.0) });
        assert_eq!(chosen(&webcam(), request(None, Some("1280x720"), None)).format, CameraFormat::Yuyv);
        let refused =
            |format, size| choose("cam", &webcam(), &request(format, size, None)).expect_err("refused").to_string();
        assert_eq!(
            refused(Some(CameraFormat::Nv12), Some("1x1")),
            "cam: does not offer `format = nv12` `size = 1x1`; see `bike-edge camera list`"
        );
        assert!(
            refused(Some(CameraFormat::Yuyv), Some("1920x1080"))
                .contains("does not offer `format = yuyv` `size = 1920x")
        );
        let unlisted = [ModeInfo { format: CameraFormat::Rgb3, sizes: Vec::new() }];
        assert_eq!(chosen(&unlisted, request(None, Some("800x600"), None)).size, (800, 600));
        assert!(choose("cam", &[], &CaptureRequest::default()).is_err());
    }
}
