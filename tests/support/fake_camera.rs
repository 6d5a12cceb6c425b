//! A camera that follows a script, for tests of code that reads live sources.
//!
//! It has its own clock, which advances while the reader waits, and by [`FakeCamera::busy`] between two calls. So hours
//! pass in moments, and two runs are the same. Losses are reported as by real cameras, with the same back-off.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use bike_edge::picture::OwnedPicture;
use bike_edge::source::{ClipInfo, Frame, Live, LiveCounts, LiveUpdate, Loss, SourceOptions, open_stream};
use bike_edge::units::{Rate, Seconds, TIME_TOLERANCE_S};
use bike_edge::{Error, Result};

/// Without a frame for this long the camera is lost.
const TIMEOUT_S: Seconds = 2.0;

/// What the camera does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScriptStep {
    /// Delivers this many frames at the frame rate.
    Frames(u64),
    /// Delivers all frames that are left. Drawn pictures have no end.
    Rest,
    /// Delivers this many frames that lack bytes.
    Short(u64),
    /// Delivers this many frames that cannot be decoded.
    Corrupt(u64),
    /// Delivers nothing for this many seconds; from two seconds on this is a loss by timeout.
    Silent(Seconds),
    /// Is unplugged for this many seconds.
    Unplugged(Seconds),
}

/// The pictures that the camera delivers.
enum FrameSource {
    /// Flat pictures; the level of each is the frame's number, wrapped at 256.
    Drawn { width: u32, height: u32 },
    /// The frames of a file that are left.
    Recorded(VecDeque<OwnedPicture>),
}

/// A camera that follows a script.
pub struct FakeCamera {
    info: ClipInfo,
    frames: FrameSource,
    rate: Rate,
    script: VecDeque<ScriptStep>,
    busy: Seconds,
    /// Losses since the camera last delivered a frame.
    failures: u32,
    /// The camera's clock.
    now: Seconds,
    /// Seconds without frames.
    gap: Seconds,
    /// Frame intervals passed, with good or bad frames.
    ticks: u64,
    /// The frame that was taken last.
    current: Option<(u64, Seconds)>,
    picture: OwnedPicture,
    lost: bool,
    counts: LiveCounts,
}

impl FakeCamera {
    /// Delivers flat pictures at `rate`; the level of each is the frame's number, wrapped at 256.
    pub fn drawn(width: u32, height: u32, rate: Rate, script: impl Into<VecDeque<ScriptStep>>) -> Self {
        let info = ClipInfo { format: "drawn".into(), width, height, fps: Some(rate.fps()), duration_s: None };
        Self::new(info, FrameSource::Drawn { width, height }, rate, script.into())
    }

    /// Delivers the frames of a y4m file, at its frame rate and, if nothing goes wrong, at its own times.
    ///
    /// # Errors
    /// A file that is not y4m.
    pub fn replay(path: &Path, script: impl Into<VecDeque<ScriptStep>>) -> Result<Self> {
        let rate = y4m_rate(path).ok_or_else(|| Error::input(path.display().to_string(), "has no y4m frame rate"))?;
        let mut stream = open_stream(path.as_os_str(), &SourceOptions::default())?;
        let info = stream.info().clone();
        let mut frames = VecDeque::new();
        while let Some(frame) = stream.first_at_or_after(0.0)? {
            frames.push_back(OwnedPicture::copy_of(&frame.picture)?);
        }
        Ok(Self::new(info, FrameSource::Recorded(frames), rate, script.into()))
    }

    fn new(info: ClipInfo, frames: FrameSource, rate: Rate, script: VecDeque<ScriptStep>) -> Self {
        Self {
            info,
            frames,
            rate,
            script,
            busy: 0.0,
            failures: 0,
            now: 0.0,
            gap: 0.0,
            ticks: 0,
            current: None,
            picture: OwnedPicture::default(),
            lost: false,
            counts: LiveCounts::default(),
        }
    }

    /// Lets this many seconds pass before each [`Live::newest`], as if its reader were working. Without it every frame
    /// is taken and none is dropped.
    #[must_use]
    pub fn busy(mut self, seconds: Seconds) -> Self {
        self.busy = seconds;
        self
    }

    /// When the next frame is due, good or bad.
    fn due(&self) -> Seconds {
        self.rate.time_of(self.ticks) + self.gap
    }

    /// Subtracts one from the current count of frames; the act ends at 0.
    fn count_down(&mut self) {
        if let Some(ScriptStep::Frames(n) | ScriptStep::Short(n) | ScriptStep::Corrupt(n)) = self.script.front_mut() {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.script.pop_front();
            }
        }
    }

    /// Takes the next frame; returns false at the end.
    fn advance_frame(&mut self) -> bool {
        let due = self.due();
        match &mut self.frames {
            FrameSource::Drawn { width, height } => {
                let mut rgb = std::mem::take(&mut self.picture).into_bytes();
                rgb.resize(*width as usize * *height as usize * 3, 0);
                rgb.fill(self.ticks as u8);
                self.picture = OwnedPicture::rgb(*width, *height, rgb);
            }
            FrameSource::Recorded(frames) => match frames.pop_front() {
                Some(picture) => self.picture = picture,
                None => return false,
            },
        }
        self.current = Some((self.counts.captured, due));
        true
    }

    /// Counts a captured frame, good or bad.
    fn tick(&mut self) {
        self.now = self.now.max(self.due());
        self.ticks += 1;
        self.counts.captured += 1;
        if std::mem::take(&mut self.lost) {
            self.counts.reconnects += 1;
            self.failures = 0;
        }
        self.count_down();
    }

    fn lose(&mut self, reason: &str, seconds: Seconds) -> LiveUpdate<'_> {
        self.gap += seconds;
        self.lost = true;
        let wait = Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures += 1;
        LiveUpdate::Lost(Loss { reason: reason.into(), retry_in: wait.min(Duration::from_secs(15)) })
    }
}

/// The frame rate in the first line of a y4m file.
fn y4m_rate(path: &Path) -> Option<Rate> {
    let mut line = String::new();
    BufReader::new(std::fs::File::open(path).ok()?).read_line(&mut line).ok()?;
    let (num, den) = line.split_whitespace().find_map(|field| field.strip_prefix('F'))?.split_once(':')?;
    Some(Rate { num: num.parse().ok()?, den: den.parse().ok()? })
}

impl Live for FakeCamera {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn newest(&mut self, from: Seconds, wait: Duration) -> Result<LiveUpdate<'_>> {
        self.now += self.busy;
        let deadline = self.now + wait.as_secs_f64();
        let mut found = false;
        while let Some(&act) = self.script.front() {
            // Once a frame is found, only frames that are already due replace it; a loss is reported by the next call.
            let until = if found { self.now } else { deadline };
            match act {
                ScriptStep::Frames(0) | ScriptStep::Short(0) | ScriptStep::Corrupt(0) => self.count_down(),
                ScriptStep::Silent(seconds) if seconds < TIMEOUT_S => {
                    self.gap += seconds;
                    self.script.pop_front();
                }
                ScriptStep::Silent(_) if found || self.due() + TIMEOUT_S > until => break,
                ScriptStep::Silent(seconds) => {
                    self.script.pop_front();
                    self.now = self.now.max(self.due() + TIMEOUT_S);
                    self.counts.timeouts += 1;
                    return Ok(self.lose("no frame for 2 s", seconds));
                }
                ScriptStep::Unplugged(_) if found || self.due() > until => break,
                ScriptStep::Unplugged(seconds) => {
                    self.script.pop_front();
                    self.now = self.now.max(self.due());
                    return Ok(self.lose("it was unplugged", seconds));
                }
                _ if self.due() > until => break,
                ScriptStep::Short(_) => {
                    self.tick();
                    self.counts.short += 1;
                }
                ScriptStep::Corrupt(_) => {
                    self.tick();
                    self.counts.corrupt += 1;
                }
                ScriptStep::Frames(_) | ScriptStep::Rest => {
                    if !self.advance_frame() {
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
            Some((index, time)) if found => {
                Ok(LiveUpdate::Frame(Frame { index, time, picture: self.picture.as_picture() }))
            }
            _ if self.script.is_empty() => Ok(LiveUpdate::Ended),
            _ => {
                self.now = deadline;
                Ok(LiveUpdate::NoFrame)
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
    use bike_edge::picture::Pixels;

    const WAIT: Duration = Duration::from_secs(1);
    const RATE: Rate = Rate { num: 10, den: 1 };

    fn camera(script: &[ScriptStep]) -> FakeCamera {
        FakeCamera::drawn(4, 2, RATE, script.to_vec())
    }

    /// The updates of a camera as text, to its end.
    fn updates(camera: &mut FakeCamera) -> Vec<String> {
        let mut updates = Vec::new();
        loop {
            updates.push(match camera.newest(0.0, WAIT).expect("an update") {
                LiveUpdate::Frame(frame) => {
                    let Pixels::Rgb { data, .. } = frame.picture.pixels else { panic!("not RGB") };
                    format!("{}={} {:.1}", frame.index, data[0], frame.time)
                }
                LiveUpdate::NoFrame => "no frame".into(),
                LiveUpdate::Lost(loss) => format!("lost {:.1}", loss.retry_in.as_secs_f64()),
                LiveUpdate::Ended => return updates,
            });
        }
    }

    #[test]
    fn a_reader_in_time_receives_every_frame() {
        let mut camera = camera(&[ScriptStep::Frames(3)]);
        assert_eq!(updates(&mut camera), ["0=0 0.0", "1=1 0.1", "2=2 0.2"]);
        assert_eq!(camera.counts(), LiveCounts { captured: 3, ..LiveCounts::default() });
    }

    #[test]
    fn a_busy_reader_receives_the_newest_frame() {
        let mut camera = camera(&[ScriptStep::Frames(10)]).busy(0.35);
        assert_eq!(updates(&mut camera), ["3=3 0.3", "7=7 0.7", "9=9 0.9"]);
        assert_eq!(camera.counts(), LiveCounts { captured: 10, dropped: 7, ..LiveCounts::default() });
    }

    #[test]
    fn frames_before_the_requested_time_are_passed() {
        let mut camera = camera(&[ScriptStep::Frames(10)]);
        for from in [0.0, 0.3, 0.6, 0.9] {
            let LiveUpdate::Frame(frame) = camera.newest(from, WAIT).expect("an update") else { panic!("no frame") };
            assert_eq!(frame.time, from);
        }
        assert_eq!(camera.counts(), LiveCounts { captured: 10, passed: 6, ..LiveCounts::default() });
    }

    #[test]
    fn bad_frames_are_counted_and_skipped() {
        let mut camera =
            camera(&[ScriptStep::Frames(1), ScriptStep::Short(2), ScriptStep::Corrupt(1), ScriptStep::Frames(1)]);
        assert_eq!(updates(&mut camera), ["0=0 0.0", "4=4 0.4"]);
        assert_eq!(camera.counts(), LiveCounts { captured: 5, short: 2, corrupt: 1, ..LiveCounts::default() });
    }

    #[test]
    fn losses_are_reported_once_and_time_continues() {
        let script = [
            ScriptStep::Frames(1),
            ScriptStep::Silent(0.5),
            ScriptStep::Frames(1),
            ScriptStep::Unplugged(4.0),
            ScriptStep::Frames(1),
        ];
        let mut camera = camera(&[&script[..], &[ScriptStep::Silent(3.0), ScriptStep::Frames(1)]].concat());
        let updates: Vec<_> = updates(&mut camera).into_iter().filter(|update| update != "no frame").collect();
        assert_eq!(updates, ["0=0 0.0", "1=1 0.6", "lost 0.5", "2=2 4.7", "lost 0.5", "3=3 7.8"]);
        assert_eq!((camera.counts().timeouts, camera.counts().reconnects), (1, 2));
    }

    #[test]
    fn a_file_is_replayed_at_its_own_times() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut bytes = b"YUV4MPEG2 W4 H2 F30000:1001\n".to_vec();
        (0..5u8).for_each(|n| bytes.extend([&b"FRAME\n"[..], &[n; 12]].concat()));
        std::fs::write(file.path(), bytes).expect("written");
        let mut camera = FakeCamera::replay(file.path(), [ScriptStep::Rest]).expect("opens");
        for n in 0..5u64 {
            let LiveUpdate::Frame(frame) = camera.newest(0.0, WAIT).expect("an update") else { panic!("no frame {n}") };
            let Pixels::Yuv { planes, .. } = frame.picture.pixels else { panic!("not YUV") };
            assert_eq!((frame.index, frame.time, u64::from(planes[0][0])), (n, n as f64 * 1001.0 / 30000.0, n));
        }
        assert!(matches!(camera.newest(0.0, WAIT).expect("an update"), LiveUpdate::Ended));
    }
}
