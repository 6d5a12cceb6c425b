use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::raw_frame::Coding;
use super::*;
use crate::picture::{Matrix, PictureTransform, PixelAspect, Pixels, Rect, Rotation};

/// What a scripted device does next.
#[derive(Clone, Debug)]
enum Action {
    /// The device cannot be opened.
    Closed,
    /// The device is opened.
    Open,
    /// A gray frame of this level, with this time of the driver's clock.
    Frame(u8, Option<f64>),
    /// A frame with these bytes of JPEG.
    Jpeg(Vec<u8>),
    /// A frame after this many skipped and lost frames.
    After(u64, u64),
    Corrupt,
    Short,
    /// No more frames arrive.
    Silence,
    Lost,
    Ended,
    Fatal,
    /// Time for the test to take a frame.
    Pause,
}

type Script = Arc<Mutex<VecDeque<Action>>>;

struct Scripted(Script);

const LAYOUT: FrameLayout = FrameLayout {
    width: 4,
    height: 2,
    coding: Coding::Rgb,
    stride: 12,
    full_range: true,
    matrix: Matrix::Bt601,
    rotation: Rotation::None,
    aspect: PixelAspect::SQUARE,
};

impl Device for Scripted {
    fn info(&self) -> ClipInfo {
        ClipInfo { format: "scripted".into(), width: 4, height: 2, fps: None, duration_s: None }
    }

    fn next_frame(&mut self, wait: Duration, into: &mut Vec<u8>) -> Result<Capture, DeviceError> {
        let action = self.0.lock().expect("no panic").pop_front();
        let frame = |into: &mut Vec<u8>, level, clock_s, skipped, lost| {
            into.clear();
            into.resize(24, level);
            Ok(Capture::Frame(FrameMeta { layout: LAYOUT, clock_s, skipped, lost }))
        };
        match action {
            Some(Action::Frame(level, clock_s)) => frame(into, level, clock_s, 0, 0),
            Some(Action::After(skipped, lost)) => frame(into, 0, None, skipped, lost),
            Some(Action::Jpeg(bytes)) => {
                *into = bytes;
                let layout = FrameLayout { coding: Coding::Mjpeg, stride: 0, ..LAYOUT };
                Ok(Capture::Frame(FrameMeta { layout, clock_s: None, skipped: 0, lost: 0 }))
            }
            Some(Action::Corrupt) => Ok(Capture::Corrupt),
            Some(Action::Short) => Ok(Capture::Short),
            Some(Action::Lost) => Err(DeviceError::Lost("it was unplugged".into())),
            Some(Action::Ended) => Err(DeviceError::Ended),
            Some(Action::Fatal) => Err(DeviceError::Fatal(Error::input("cam", "gives up"))),
            Some(Action::Pause) => {
                thread::sleep(Duration::from_millis(60));
                Ok(Capture::Nothing)
            }
            Some(again @ (Action::Silence | Action::Open | Action::Closed)) => {
                if !matches!(again, Action::Silence) {
                    self.0.lock().expect("no panic").push_front(again);
                }
                thread::sleep(wait);
                Ok(Capture::Nothing)
            }
            None => {
                thread::sleep(wait.min(Duration::from_millis(5)));
                Ok(Capture::Nothing)
            }
        }
    }
}

fn source(script: &[Action], transform: PictureTransform, wait_for_source: bool) -> Result<ReconnectingSource> {
    let script: Script = Arc::new(Mutex::new(script.to_vec().into()));
    let open: OpenDevice = Box::new(move || {
        let first = script.lock().expect("no panic").pop_front();
        match first {
            Some(Action::Open) | None => Ok(Box::new(Scripted(script.clone())) as Box<dyn Device>),
            Some(Action::Fatal) => Err(DeviceError::Fatal(Error::input("cam", "gives up"))),
            Some(_) => Err(DeviceError::Lost("it is not plugged in".into())),
        }
    });
    let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(20));
    let timeout = Duration::from_millis(250);
    let spec = ReconnectSpec { name: "cam".into(), timeout, backoff, cancel: CancelFlag::default(), wait_for_source };
    ReconnectingSource::start(spec, open, PictureTransformer::new(transform))
}

/// The next update other than "no frame", as text.
fn next(source: &mut ReconnectingSource) -> String {
    for _ in 0..200 {
        match source.newest(0.0, Duration::from_millis(50)) {
            Ok(LiveUpdate::Frame(frame)) => {
                let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
                return format!("frame {}", data[0]);
            }
            Ok(LiveUpdate::NoFrame) => {}
            Ok(LiveUpdate::Lost(loss)) => return format!("lost: {}", loss.reason),
            Ok(LiveUpdate::Ended) => return "ended".into(),
            Err(e) => return e.to_string(),
        }
    }
    "nothing".into()
}

fn plain(script: &[Action]) -> ReconnectingSource {
    source(script, PictureTransform::default(), false).expect("opens")
}

#[test]
fn the_newest_frame_wins_and_the_others_are_counted() {
    let frames: Vec<Action> = (0..10).map(|level| Action::Frame(level, None)).collect();
    let mut live = plain(&[&[Action::Open][..], &frames].concat());
    while live.counts().captured < 10 {
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(next(&mut live), "frame 9");
    assert_eq!((live.counts().captured, live.counts().dropped), (10, 9));
}

#[test]
fn frames_before_the_requested_time_are_not_counted_as_dropped() {
    let script = [Action::Open, Action::Frame(1, None), Action::Frame(2, None)];
    let mut live = plain(&script);
    while live.counts().captured < 2 {
        thread::sleep(Duration::from_millis(2));
    }
    assert!(matches!(live.newest(1e6, Duration::from_millis(5)).expect("an update"), LiveUpdate::NoFrame));
    assert_eq!((live.counts().passed, live.counts().dropped), (2, 0));
}

#[test]
fn a_loss_is_reported_once_and_time_continues() {
    let script = [
        Action::Open,
        Action::Frame(1, None),
        Action::Pause,
        Action::Lost,
        Action::Closed,
        Action::Closed,
        Action::Open,
        Action::Frame(2, None),
        Action::Pause,
    ];
    let mut live = plain(&script);
    assert_eq!(next(&mut live), "frame 1");
    assert_eq!(next(&mut live), "lost: it was unplugged");
    let LiveUpdate::Frame(frame) = live.newest(0.0, Duration::from_secs(5)).expect("an update") else {
        panic!("no frame")
    };
    assert!(frame.index == 1 && frame.time > 0.05, "{} at {}", frame.index, frame.time);
    assert_eq!(live.counts().reconnects, 1);
}

#[test]
fn a_silent_device_is_reopened() {
    let script = [
        Action::Open,
        Action::Frame(1, None),
        Action::Silence,
        Action::Silence,
        Action::Open,
        Action::Frame(2, None),
        Action::Pause,
    ];
    let mut live = plain(&script);
    assert_eq!(next(&mut live), "frame 1");
    assert!(next(&mut live).starts_with("lost: no usable frame for"));
    assert_eq!(next(&mut live), "frame 2");
    assert_eq!((live.counts().timeouts, live.counts().reconnects), (1, 1));
}

#[test]
fn bad_frames_are_skipped_and_counted() {
    let script = [
        Action::Open,
        Action::Corrupt,
        Action::Short,
        Action::Short,
        Action::Jpeg(b"\xff\xd8 no JPEG at all \xff\xd9".to_vec()),
        Action::Pause,
        Action::After(3, 2),
        Action::Pause,
    ];
    let mut live = plain(&script);
    assert_eq!(next(&mut live), "frame 0");
    let counts = live.counts();
    assert_eq!((counts.captured, counts.corrupt, counts.short, counts.dropped), (8, 2, 2, 5));
}

#[test]
fn time_never_goes_back_and_wrong_clocks_are_ignored() {
    let now = monotonic_s();
    let script = [
        Action::Open,
        Action::Frame(0, Some(now)),
        Action::Pause,
        Action::Frame(1, Some(now - 2.0)),
        Action::Pause,
        Action::Frame(2, Some(now + 1e9)),
        Action::Pause,
        Action::Frame(3, Some(f64::NAN)),
        Action::Pause,
    ];
    let mut live = plain(&script);
    let mut times = Vec::new();
    for _ in 0..4 {
        let LiveUpdate::Frame(frame) = live.newest(0.0, Duration::from_secs(5)).expect("an update") else {
            panic!("no frame")
        };
        times.push(frame.time);
    }
    assert!(times[0] == 0.0 && times.is_sorted() && times[3] < 5.0, "{times:?}");
}

#[test]
fn ends_and_fatal_errors_are_reported() {
    assert_eq!(next(&mut plain(&[Action::Open, Action::Frame(1, None), Action::Pause, Action::Ended])), "frame 1");
    let mut ending = plain(&[Action::Open, Action::Ended]);
    assert_eq!([next(&mut ending), next(&mut ending)], ["ended", "ended"]);
    assert!(next(&mut plain(&[Action::Open, Action::Pause, Action::Fatal])).contains("gives up"));
    let closed = source(&[Action::Closed], PictureTransform::default(), false).err().expect("refused").to_string();
    assert!(closed.contains("not plugged in"), "{closed}");
    let refused = source(&[Action::Fatal], PictureTransform::default(), false).err().expect("refused").to_string();
    assert!(refused.contains("gives up"), "{refused}");
    // Starting does not wait for a source that may be waited for.
    assert!(
        next(&mut source(&[Action::Fatal], PictureTransform::default(), true).expect("starts")).contains("gives up")
    );
}

#[test]
fn a_device_that_is_not_available_yet_can_be_waited_for() {
    let script = [Action::Closed, Action::Closed, Action::Open, Action::Frame(7, None), Action::Pause];
    let mut live = source(&script, PictureTransform::default(), true).expect("waits");
    assert_eq!(next(&mut live), "frame 7");
    assert_eq!((live.info().width, live.counts().reconnects), (4, 1));
}

#[test]
fn live_pictures_are_masked_and_rotated() {
    let transform = PictureTransform { masks: vec![Rect { x: 0, y: 0, w: 2, h: 1 }], rotate: Rotation::Quarter };
    let mut live = source(&[Action::Open, Action::Frame(9, None), Action::Pause], transform, false).expect("opens");
    assert_eq!((live.info().width, live.info().height), (2, 4));
    let LiveUpdate::Frame(frame) = live.newest(0.0, Duration::from_secs(5)).expect("an update") else {
        panic!("no frame")
    };
    assert_eq!(frame.picture.display_size(), (2, 4));
    let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
    // The top row of the rotated picture is the left column of the stored one.
    let black: Vec<usize> = (0..8).filter(|pixel| data[pixel * 3..][..3] == [0; 3]).collect();
    assert_eq!(black, [0, 4]);
}

#[test]
fn dropping_the_source_stops_its_thread() {
    let script: Vec<Action> = std::iter::once(Action::Open).chain((0..250).map(|n| Action::Frame(n, None))).collect();
    let live = plain(&script);
    let slot = live.slot.clone();
    drop(live);
    assert_eq!(Arc::strong_count(&slot), 1, "the thread still holds the slot");
}

#[test]
fn waiting_times_double_up_to_a_limit() {
    let mut backoff = Backoff::default();
    let waits: Vec<f64> = (0..8).map(|_| backoff.failed().as_secs_f64()).collect();
    assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]);
    (0..100).for_each(|_| assert!(backoff.failed() == Duration::from_secs(15)));
    backoff.recovered();
    assert_eq!(backoff.failed(), Duration::from_millis(500));
}
