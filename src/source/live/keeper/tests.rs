use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::source::live::shot::Coding;
use crate::source::{Mask, Matrix, Pixels, Rotation, View};

/// What a scripted device does next.
#[derive(Clone, Debug)]
enum Deed {
    /// The device cannot be opened.
    Closed,
    /// The device is opened.
    Open,
    /// A gray frame of this level, at this time of the driver's clock, if it tells one.
    Frame(u8, Option<f64>),
    /// A frame with these bytes of JPEG.
    Jpeg(Vec<u8>),
    /// A frame after so many others that were passed over, and lost.
    After(u64, u64),
    Corrupt,
    Short,
    /// Nothing comes any more.
    Silence,
    Lost,
    Ended,
    Refused,
    /// The taker is given time to look.
    Pause,
}

type Script = Arc<Mutex<VecDeque<Deed>>>;

struct Scripted(Script);

const LAYOUT: Layout = Layout {
    width: 4,
    height: 2,
    coding: Coding::Rgb,
    stride: 12,
    full_range: true,
    matrix: Matrix::Bt601,
    rotation: Rotation::None,
};

impl Device for Scripted {
    fn info(&self) -> ClipInfo {
        ClipInfo { format: "scripted".into(), width: 4, height: 2, fps: None, duration_s: None }
    }

    fn next(&mut self, wait: Duration, into: &mut Vec<u8>) -> Result<Got, Fault> {
        let deed = self.0.lock().expect("no panic").pop_front();
        let frame = |into: &mut Vec<u8>, level, clock_s, passed, lost| {
            into.clear();
            into.resize(24, level);
            Ok(Got::Frame(Came { layout: LAYOUT, clock_s, passed, lost }))
        };
        match deed {
            Some(Deed::Frame(level, clock_s)) => frame(into, level, clock_s, 0, 0),
            Some(Deed::After(passed, lost)) => frame(into, 0, None, passed, lost),
            Some(Deed::Jpeg(bytes)) => {
                *into = bytes;
                let layout = Layout { coding: Coding::Mjpeg, stride: 0, ..LAYOUT };
                Ok(Got::Frame(Came { layout, clock_s: None, passed: 0, lost: 0 }))
            }
            Some(Deed::Corrupt) => Ok(Got::Corrupt),
            Some(Deed::Short) => Ok(Got::Short),
            Some(Deed::Lost) => Err(Fault::Lost("it was unplugged".into())),
            Some(Deed::Ended) => Err(Fault::Ended),
            Some(Deed::Refused) => Err(Fault::Refused(Error::input("cam", "gives up"))),
            Some(Deed::Pause) => {
                thread::sleep(Duration::from_millis(60));
                Ok(Got::Nothing)
            }
            Some(again @ (Deed::Silence | Deed::Open | Deed::Closed)) => {
                if !matches!(again, Deed::Silence) {
                    self.0.lock().expect("no panic").push_front(again);
                }
                thread::sleep(wait);
                Ok(Got::Nothing)
            }
            None => {
                thread::sleep(wait.min(Duration::from_millis(5)));
                Ok(Got::Nothing)
            }
        }
    }
}

fn kept(script: &[Deed], view: View, awaited: bool) -> Result<Kept> {
    let script: Script = Arc::new(Mutex::new(script.to_vec().into()));
    let open: Open = Box::new(move || {
        let first = script.lock().expect("no panic").pop_front();
        match first {
            Some(Deed::Open) | None => Ok(Box::new(Scripted(script.clone())) as Box<dyn Device>),
            Some(Deed::Refused) => Err(Fault::Refused(Error::input("cam", "gives up"))),
            Some(_) => Err(Fault::Lost("it is not plugged in".into())),
        }
    });
    let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(20));
    let silence = Duration::from_millis(250);
    Kept::start(Keeping { name: "cam".into(), silence, backoff, joined: true, awaited }, open, Viewer::new(view))
}

/// The next news that is not waiting, in short words.
fn next(kept: &mut Kept) -> String {
    for _ in 0..200 {
        match kept.newest(0.0, Duration::from_millis(50)) {
            Ok(Moment::Frame(frame)) => {
                let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
                return format!("frame {}", data[0]);
            }
            Ok(Moment::Waiting) => {}
            Ok(Moment::Lost(loss)) => return format!("lost: {}", loss.reason),
            Ok(Moment::Ended) => return "ended".into(),
            Err(e) => return e.to_string(),
        }
    }
    "nothing".into()
}

fn plain(script: &[Deed]) -> Kept {
    kept(script, View::default(), false).expect("opens")
}

#[test]
fn the_newest_frame_wins_and_the_others_are_counted() {
    let frames: Vec<Deed> = (0..10).map(|level| Deed::Frame(level, None)).collect();
    let mut kept = plain(&[&[Deed::Open][..], &frames].concat());
    while kept.counts().captured < 10 {
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(next(&mut kept), "frame 9");
    assert_eq!((kept.counts().captured, kept.counts().dropped), (10, 9));
}

#[test]
fn frames_that_nobody_wanted_are_not_missed() {
    let script = [Deed::Open, Deed::Frame(1, None), Deed::Frame(2, None)];
    let mut kept = plain(&script);
    while kept.counts().captured < 2 {
        thread::sleep(Duration::from_millis(2));
    }
    assert!(matches!(kept.newest(1e6, Duration::from_millis(5)).expect("goes on"), Moment::Waiting));
    assert_eq!((kept.counts().passed, kept.counts().dropped), (2, 0));
}

#[test]
fn a_lost_device_is_told_once_opened_again_and_time_goes_on() {
    let script = [
        Deed::Open,
        Deed::Frame(1, None),
        Deed::Pause,
        Deed::Lost,
        Deed::Closed,
        Deed::Closed,
        Deed::Open,
        Deed::Frame(2, None),
        Deed::Pause,
    ];
    let mut kept = plain(&script);
    assert_eq!(next(&mut kept), "frame 1");
    assert_eq!(next(&mut kept), "lost: it was unplugged");
    let Moment::Frame(frame) = kept.newest(0.0, Duration::from_secs(5)).expect("goes on") else { panic!("no frame") };
    assert!(frame.index == 1 && frame.time > 0.05, "{} at {}", frame.index, frame.time);
    assert_eq!(kept.counts().reconnects, 1);
}

#[test]
fn a_silent_device_is_opened_again() {
    let script =
        [Deed::Open, Deed::Frame(1, None), Deed::Silence, Deed::Silence, Deed::Open, Deed::Frame(2, None), Deed::Pause];
    let mut kept = plain(&script);
    assert_eq!(next(&mut kept), "frame 1");
    assert!(next(&mut kept).starts_with("lost: no usable frame came"));
    assert_eq!(next(&mut kept), "frame 2");
    assert_eq!((kept.counts().timeouts, kept.counts().reconnects), (1, 1));
}

#[test]
fn bad_frames_are_passed_over_and_counted() {
    let script = [
        Deed::Open,
        Deed::Corrupt,
        Deed::Short,
        Deed::Short,
        Deed::Jpeg(b"\xff\xd8 no JPEG at all \xff\xd9".to_vec()),
        Deed::Pause,
        Deed::After(3, 2),
        Deed::Pause,
    ];
    let mut kept = plain(&script);
    assert_eq!(next(&mut kept), "frame 0");
    let counts = kept.counts();
    assert_eq!((counts.captured, counts.corrupt, counts.short, counts.dropped), (8, 2, 2, 5));
}

#[test]
fn clocks_never_go_back_and_foolish_ones_are_not_believed() {
    let now = monotonic_s();
    let script = [
        Deed::Open,
        Deed::Frame(0, Some(now)),
        Deed::Pause,
        Deed::Frame(1, Some(now - 2.0)),
        Deed::Pause,
        Deed::Frame(2, Some(now + 1e9)),
        Deed::Pause,
        Deed::Frame(3, Some(f64::NAN)),
        Deed::Pause,
    ];
    let mut kept = plain(&script);
    let mut times = Vec::new();
    for _ in 0..4 {
        let Moment::Frame(frame) = kept.newest(0.0, Duration::from_secs(5)).expect("goes on") else {
            panic!("no frame")
        };
        times.push(frame.time);
    }
    assert!(times[0] == 0.0 && times.is_sorted() && times[3] < 5.0, "{times:?}");
}

#[test]
fn ends_and_refusals_are_told() {
    assert_eq!(next(&mut plain(&[Deed::Open, Deed::Frame(1, None), Deed::Pause, Deed::Ended])), "frame 1");
    let mut kept_to_end = plain(&[Deed::Open, Deed::Ended]);
    assert_eq!([next(&mut kept_to_end), next(&mut kept_to_end)], ["ended", "ended"]);
    assert!(next(&mut plain(&[Deed::Open, Deed::Pause, Deed::Refused])).contains("gives up"));
    let closed = kept(&[Deed::Closed], View::default(), false).err().expect("refused").to_string();
    assert!(closed.contains("not plugged in"), "{closed}");
    let refused = kept(&[Deed::Refused], View::default(), false).err().expect("refused").to_string();
    assert!(refused.contains("gives up"), "{refused}");
    // What is awaited is not waited for when it is opened.
    assert!(next(&mut kept(&[Deed::Refused], View::default(), true).expect("awaited")).contains("gives up"));
}

#[test]
fn a_device_that_is_not_there_yet_can_be_waited_for() {
    let script = [Deed::Closed, Deed::Closed, Deed::Open, Deed::Frame(7, None), Deed::Pause];
    let mut kept = kept(&script, View::default(), true).expect("waits");
    assert_eq!(next(&mut kept), "frame 7");
    assert_eq!((kept.info().width, kept.counts().reconnects), (4, 1));
}

#[test]
fn masks_and_turns_hold_for_live_pictures() {
    let view = View { masks: vec![Mask { x: 0, y: 0, w: 2, h: 1 }], rotate: Rotation::Quarter };
    let mut kept = kept(&[Deed::Open, Deed::Frame(9, None), Deed::Pause], view, false).expect("opens");
    assert_eq!((kept.info().width, kept.info().height), (2, 4));
    let Moment::Frame(frame) = kept.newest(0.0, Duration::from_secs(5)).expect("goes on") else { panic!("no frame") };
    assert_eq!(frame.picture.display_size(), (2, 4));
    let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
    // The top row of the turned picture is the left column of the stored one.
    let black: Vec<usize> = (0..8).filter(|pixel| data[pixel * 3..][..3] == [0; 3]).collect();
    assert_eq!(black, [0, 4]);
}

#[test]
fn dropping_it_stops_its_thread() {
    let script: Vec<Deed> = std::iter::once(Deed::Open).chain((0..250).map(|n| Deed::Frame(n, None))).collect();
    let kept = plain(&script);
    let latest = kept.latest.clone();
    drop(kept);
    assert_eq!(Arc::strong_count(&latest), 1, "the thread still holds its end");
}
