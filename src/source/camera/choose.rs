//! Which of a camera's modes is used.

use super::format::CameraFormat;
use super::info::ModeInfo;
use super::wish::CameraWish;
use crate::source::limits::{MAX_VIDEO_PIXELS, check_size};

/// Shorter side in pixels that is enough: models look at 224 to 256, and half of that again is lost to nothing when it
/// is scaled down well. More only costs the bus and the decoder.
const ENOUGH: u32 = 480;
/// Frames a second aimed at: the newest frame is then at most 67 ms old, and a USB 2 bus carries several cameras.
const AIM_FPS: f64 = 15.0;
/// A mode slower than this is taken only where there is no other.
const SLOW_FPS: f64 = 10.0;

/// What is asked of a camera when it is opened.
pub(super) enum Ask<'a> {
    /// The best mode that fits.
    Wish(&'a CameraWish),
    /// The mode it had, in the same size.
    Again(Choice, (u32, u32)),
}

/// A mode to ask the driver for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub format: CameraFormat,
    pub size: (u32, u32),
    /// `None` where nothing is known of rates and none is wished for.
    pub fps: Option<f64>,
}

/// The mode to ask for: the smallest picture that is large enough, in the format that costs least.
///
/// # Errors
/// A sentence on what is wished for and not offered.
pub(super) fn choose(modes: &[ModeInfo], wish: &CameraWish) -> Result<Choice, String> {
    let candidates = modes.iter().flat_map(|mode| {
        let sizes = mode.sizes.iter().map(|size| (size.nearest(wish.size.unwrap_or((640, 480))), &size.rates[..]));
        // A driver that lists no sizes may still take one.
        let unlisted = mode.sizes.is_empty().then_some((wish.size.unwrap_or((640, 480)), &[][..]));
        sizes.chain(unlisted).map(|(size, rates)| Choice { format: mode.format, size, fps: rate(rates, wish.fps) })
    });
    let wished = |choice: &Choice| {
        wish.format.is_none_or(|format| format == choice.format)
            && wish.size.is_none_or(|size| size == choice.size)
            && check_size(choice.size.0, choice.size.1, MAX_VIDEO_PIXELS).is_ok()
    };
    let cost = |choice: &Choice| {
        let (width, height) = choice.size;
        let (area, enough) = (u64::from(width) * u64::from(height), width.min(height) >= ENOUGH);
        let slow = choice.fps.is_some_and(|fps| fps < SLOW_FPS && wish.fps.is_none_or(|wish| fps < wish * 0.9));
        // The largest where none is large enough.
        (!enough, if enough { area } else { u64::MAX - area }, slow, choice.format)
    };
    candidates.filter(wished).min_by_key(cost).ok_or_else(|| {
        let format = wish.format.map(|format| format!(" --camera-format {format}")).unwrap_or_default();
        let size = wish.size.map(|(w, h)| format!(" --camera-size {w}x{h}")).unwrap_or_default();
        format!("does not offer{format}{size}; `bike-edge camera list` says what it offers")
    })
}

/// The rate nearest to the one wished for; else the lowest that is high enough, or the highest.
fn rate(rates: &[f64], wish: Option<f64>) -> Option<f64> {
    let far = |rate: &f64, from: f64| (rate - from).abs();
    match wish {
        Some(wish) => rates.iter().copied().min_by(|a, b| far(a, wish).total_cmp(&far(b, wish))).or(Some(wish)),
        None => {
            let enough = rates.iter().copied().filter(|rate| *rate >= AIM_FPS * 0.99).min_by(f64::total_cmp);
            enough.or_else(|| rates.iter().copied().max_by(f64::total_cmp))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::info::SizeInfo;
    use super::*;

    fn mode(format: CameraFormat, sizes: &[(u32, u32, f64)]) -> ModeInfo {
        let size = |&(w, h, fps)| SizeInfo { min: (w, h), max: (w, h), step: (1, 1), rates: vec![5.0, fps] };
        ModeInfo { format, sizes: sizes.iter().map(size).collect() }
    }

    /// A usual USB camera: fast only as JPEG.
    fn webcam() -> Vec<ModeInfo> {
        vec![
            mode(CameraFormat::Mjpeg, &[(320, 240, 30.0), (640, 480, 30.0), (1920, 1080, 30.0)]),
            mode(CameraFormat::Yuyv, &[(320, 240, 30.0), (640, 480, 30.0), (1280, 720, 7.5)]),
        ]
    }

    fn chosen(modes: &[ModeInfo], wish: CameraWish) -> Choice {
        choose(modes, &wish).expect("a mode")
    }

    #[test]
    fn the_smallest_picture_that_is_large_enough_is_taken() {
        let choice = chosen(&webcam(), CameraWish::default());
        assert_eq!(choice, Choice { format: CameraFormat::Yuyv, size: (640, 480), fps: Some(30.0) });
        let small = [mode(CameraFormat::Yuyv, &[(160, 120, 30.0), (320, 240, 30.0)])];
        assert_eq!(chosen(&small, CameraWish::default()).size, (320, 240));
        let portrait = [mode(CameraFormat::Nv12, &[(240, 320, 30.0), (480, 640, 30.0), (720, 1280, 30.0)])];
        assert_eq!(chosen(&portrait, CameraWish::default()).size, (480, 640));
    }

    #[test]
    fn a_slow_format_gives_way_to_a_fast_one() {
        let mut modes = webcam();
        modes[1].sizes[1].rates = vec![5.0];
        modes[0].sizes[1].rates = vec![15.0, 30.0];
        let choice = chosen(&modes, CameraWish::default());
        assert_eq!((choice.format, choice.fps), (CameraFormat::Mjpeg, Some(15.0)));
    }

    #[test]
    fn wishes_are_kept_or_refused() {
        let wish = |format, size, fps| CameraWish::parse(format, size, fps).expect("a wish");
        let choice = chosen(&webcam(), wish(Some("mjpeg"), Some("1920x1080"), Some(30.0)));
        assert_eq!(choice, Choice { format: CameraFormat::Mjpeg, size: (1920, 1080), fps: Some(30.0) });
        assert_eq!(chosen(&webcam(), wish(None, Some("1280x720"), None)).format, CameraFormat::Yuyv);
        let refused = choose(&webcam(), &wish(Some("nv12"), Some("1x1"), None)).expect_err("refused");
        assert!(refused.contains("--camera-format nv12 --camera-size 1x1"), "{refused}");
        let unlisted = [ModeInfo { format: CameraFormat::Rgb3, sizes: Vec::new() }];
        assert_eq!(chosen(&unlisted, wish(None, Some("800x600"), None)).size, (800, 600));
        assert!(choose(&[], &CameraWish::default()).is_err());
        for size in ["640", "0x480", "640x", "99999x99999", "-1x5"] {
            assert!(
                CameraWish::parse(None, Some(size), None).expect_err("refused").to_string().contains("--camera-size")
            );
        }
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(CameraWish::parse(None, None, Some(fps)).is_err());
        }
    }
}
