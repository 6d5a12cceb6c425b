//! A camera that follows a script, for tests of whatever takes frames live.
//!
//! Its clock is its own: it moves on while the taker waits, and by [`FakeCamera::busy`] between two calls, so that hours
//! pass in moments and two runs are the same. Losses are told as real cameras' losses are, by the same back-off.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use super::backoff::Backoff;
use super::{Live, LiveCounts, Loss, Moment};
use crate::Result;
use crate::source::recorded::{Reader, Recording, TIME_TOLERANCE_S};
use crate::source::y4m::Y4mFile;
use crate::source::{ClipInfo, Frame, Matrix, Picture, Pixels, Rate, Rotation, Seconds};

/// Without a frame for so long a camera is lost.
const SILENCE_S: Seconds = 2.0;

/// What the camera does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// So many frames, one after the other at the film's rate.
    Frames(u64),
    /// All frames that are left. A drawn film has no end.
    Rest,
    /// So many frames that lack bytes.
    Short(u64),
    /// So many frames that cannot be decoded.
    Corrupt(u64),
    /// Nothing for so many seconds; two are a loss by time-out.
    Silent(Seconds),
    /// Unplugged for so many seconds.
    Unplugged(Seconds),
}

/// What there is to see.
enum Film {
    /// A flat picture whose level is the frame's number, wrapped at 256.
    Drawn {
        rgb: Vec<u8>,
    },
    Y4m(Box<dyn Reader + Send>),
}

/// A camera that follows a script.
pub struct FakeCamera {
    info: ClipInfo,
    film: Film,
    rate: Rate,
    script: VecDeque<Act>,
    busy: Seconds,
    backoff: Backoff,
    /// The camera's clock.
    now: Seconds,
    /// Seconds in which the film stood still.
    gap: Seconds,
    /// Frame intervals passed, whether a film's frame or a bad one came of them.
    ticks: u64,
    /// The frame last taken from the film.
    current: Option<(u64, Seconds)>,
    lost: bool,
    counts: LiveCounts,
}

impl FakeCamera {
    /// Flat pictures, each as bright as its number (wrapped at 256), at `rate`.
    pub fn drawn(width: u32, height: u32, rate: Rate, script: impl Into<VecDeque<Act>>) -> Self {
        let info = ClipInfo { format: "drawn".into(), width, height, fps: Some(rate.fps()), duration_s: None };
        Self::new(info, Film::Drawn { rgb: vec![0; width as usize * height as usize * 3] }, rate, script.into())
    }

    /// The frames of a y4m file, at its own rate and, where nothing goes wrong, at its own times.
    ///
    /// # Errors
    /// A file that is no y4m.
    pub fn replay(path: &Path, matrix: Option<Matrix>, script: impl Into<VecDeque<Act>>) -> Result<Self> {
        let name = OsStr::to_string_lossy(path.as_os_str());
        let file = Y4mFile::open(&name, path, matrix)?;
        let reader = file.sendable()?;
        let rate = reader.rate();
        Ok(Self::new(file.info().clone(), Film::Y4m(Box::new(reader)), rate, script.into()))
    }

    fn new(info: ClipInfo, film: Film, rate: Rate, script: VecDeque<Act>) -> Self {
        Self {
            info,
            film,
            rate,
            script,
            busy: 0.0,
            backoff: Backoff::default(),
            now: 0.0,
            gap: 0.0,
            ticks: 0,
            current: None,
            lost: false,
            counts: LiveCounts::default(),
        }
    }

    /// Lets so many seconds pass before each [`Live::newest`], as if the taker were at work. Without it every frame is
    /// taken and none is dropped.
    #[must_use]
    pub fn busy(mut self, seconds: Seconds) -> Self {
        self.busy = seconds;
        self
    }

    /// When the next frame is due, good or bad.
    fn due(&self) -> Seconds {
        self.rate.time_of(self.ticks) + self.gap
    }

    /// Takes one off a count of frames; the act is over when none is left.
    fn count_down(&mut self) {
        if let Some(Act::Frames(n) | Act::Short(n) | Act::Corrupt(n)) = self.script.front_mut() {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.script.pop_front();
            }
        }
    }

    /// Moves on to the film's next frame; false at its end.
    fn roll(&mut self) -> Result<bool> {
        let due = self.due();
        match &mut self.film {
            Film::Drawn { rgb } => rgb.fill(self.ticks as u8),
            Film::Y4m(reader) => {
                if reader.advance(&|_, _| true)?.is_none() {
                    return Ok(false);
                }
            }
        }
        self.current = Some((self.counts.captured, due));
        Ok(true)
    }

    /// A frame came, or what should have been one.
    fn tick(&mut self) {
        self.now = self.now.max(self.due());
        self.ticks += 1;
        self.counts.captured += 1;
        if std::mem::take(&mut self.lost) {
            self.counts.reconnects += 1;
            self.backoff.recovered();
        }
        self.count_down();
    }

    fn lose(&mut self, reason: &str, seconds: Seconds) -> Moment<'_> {
        self.gap += seconds;
        self.lost = true;
        Moment::Lost(Loss { reason: reason.into(), retry_in: self.backoff.failed() })
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        match &mut self.film {
            Film::Y4m(reader) => reader.picture(),
            Film::Drawn { rgb } => Ok(Picture {
                width: self.info.width,
                height: self.info.height,
                rotation: Rotation::None,
                pixels: Pixels::Rgb { data: rgb, stride: self.info.width as usize * 3 },
            }),
        }
    }
}

impl Live for FakeCamera {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn newest(&mut self, from: Seconds, wait: Duration) -> Result<Moment<'_>> {
        self.now += self.busy;
        let deadline = self.now + wait.as_secs_f64();
        let mut found = false;
        while let Some(&act) = self.script.front() {
            // With a frame in hand only what has come meanwhile counts; what the taker must be told waits for its turn.
            let until = if found { self.now } else { deadline };
            match act {
                Act::Frames(0) | Act::Short(0) | Act::Corrupt(0) => self.count_down(),
                Act::Silent(seconds) if seconds < SILENCE_S => {
                    self.gap += seconds;
                    self.script.pop_front();
                }
                Act::Silent(_) if found || self.due() + SILENCE_S > until => break,
                Act::Silent(seconds) => {
                    self.script.pop_front();
                    self.now = self.now.max(self.due() + SILENCE_S);
                    self.counts.timeouts += 1;
                    return Ok(self.lose("no frame came for 2 s", seconds));
                }
                Act::Unplugged(_) if found || self.due() > until => break,
                Act::Unplugged(seconds) => {
                    self.script.pop_front();
                    self.now = self.now.max(self.due());
                    return Ok(self.lose("it was unplugged", seconds));
                }
                _ if self.due() > until => break,
                Act::Short(_) => {
                    self.tick();
                    self.counts.short += 1;
                }
                Act::Corrupt(_) => {
                    self.tick();
                    self.counts.corrupt += 1;
                }
                Act::Frames(_) | Act::Rest => {
                    if !self.roll()? {
                        self.script.clear();
                        break;
                    }
                    let early = self.due() < from - TIME_TOLERANCE_S;
                    self.tick();
                    if early {
                        self.counts.passed += 1;
                    } else {
                        self.counts.dropped += u64::from(std::mem::replace(&mut found, true));
                    }
                }
            }
        }
        match self.current {
            Some((index, time)) if found => Ok(Moment::Frame(Frame { index, time, picture: self.picture()? })),
            _ if self.script.is_empty() => Ok(Moment::Ended),
            _ => {
                self.now = deadline;
                Ok(Moment::Waiting)
            }
        }
    }

    fn counts(&self) -> LiveCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);
    const RATE: Rate = Rate { num: 10, den: 1 };

    fn camera(script: &[Act]) -> FakeCamera {
        FakeCamera::drawn(4, 2, RATE, script.to_vec())
    }

    /// The story of a camera in short words, to its end.
    fn story(camera: &mut FakeCamera) -> Vec<String> {
        let mut story = Vec::new();
        loop {
            story.push(match camera.newest(0.0, WAIT).expect("goes on") {
                Moment::Frame(frame) => {
                    let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
                    format!("{}={} {:.1}", frame.index, data[0], frame.time)
                }
                Moment::Waiting => "waiting".into(),
                Moment::Lost(loss) => format!("lost {:.1}", loss.retry_in.as_secs_f64()),
                Moment::Ended => return story,
            });
        }
    }

    #[test]
    fn a_taker_in_time_sees_every_frame() {
        let mut camera = camera(&[Act::Frames(3)]);
        assert_eq!(story(&mut camera), ["0=0 0.0", "1=1 0.1", "2=2 0.2"]);
        assert_eq!(camera.counts(), LiveCounts { captured: 3, ..LiveCounts::default() });
    }

    #[test]
    fn a_taker_at_work_sees_the_newest() {
        let mut camera = camera(&[Act::Frames(10)]).busy(0.35);
        assert_eq!(story(&mut camera), ["3=3 0.3", "7=7 0.7", "9=9 0.9"]);
        assert_eq!(camera.counts(), LiveCounts { captured: 10, dropped: 7, ..LiveCounts::default() });
    }

    #[test]
    fn what_is_too_early_is_passed_over() {
        let mut camera = camera(&[Act::Frames(10)]);
        for from in [0.0, 0.3, 0.6, 0.9] {
            let Moment::Frame(frame) = camera.newest(from, WAIT).expect("goes on") else { panic!("no frame") };
            assert_eq!(frame.time, from);
        }
        assert_eq!(camera.counts(), LiveCounts { captured: 10, passed: 6, ..LiveCounts::default() });
    }

    #[test]
    fn bad_frames_are_counted_and_passed_over() {
        let mut camera = camera(&[Act::Frames(1), Act::Short(2), Act::Corrupt(1), Act::Frames(1)]);
        assert_eq!(story(&mut camera), ["0=0 0.0", "4=4 0.4"]);
        assert_eq!(camera.counts(), LiveCounts { captured: 5, short: 2, corrupt: 1, ..LiveCounts::default() });
    }

    #[test]
    fn losses_are_told_once_and_time_goes_on() {
        let script = [Act::Frames(1), Act::Silent(0.5), Act::Frames(1), Act::Unplugged(4.0), Act::Frames(1)];
        let mut camera = camera(&[&script[..], &[Act::Silent(3.0), Act::Frames(1)]].concat());
        let told: Vec<_> = story(&mut camera).into_iter().filter(|told| told != "waiting").collect();
        assert_eq!(told, ["0=0 0.0", "1=1 0.6", "lost 0.5", "2=2 4.7", "lost 0.5", "3=3 7.8"]);
        assert_eq!((camera.counts().timeouts, camera.counts().reconnects), (1, 2));
    }

    #[test]
    fn a_file_is_replayed_at_its_own_times() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut bytes = b"YUV4MPEG2 W4 H2 F30000:1001\n".to_vec();
        (0..5u8).for_each(|n| bytes.extend([&b"FRAME\n"[..], &[n; 12]].concat()));
        std::fs::write(file.path(), bytes).expect("written");
        let mut camera = FakeCamera::replay(file.path(), None, [Act::Rest]).expect("opens");
        for n in 0..5u64 {
            let Moment::Frame(frame) = camera.newest(0.0, WAIT).expect("goes on") else { panic!("no frame {n}") };
            let Pixels::Yuv { planes, .. } = frame.picture.pixels else { panic!("not YUV") };
            assert_eq!((frame.index, frame.time, u64::from(planes[0][0])), (n, n as f64 * 1001.0 / 30000.0, n));
        }
        assert!(matches!(camera.newest(0.0, WAIT).expect("goes on"), Moment::Ended));
    }
}
