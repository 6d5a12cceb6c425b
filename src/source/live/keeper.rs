//! Keeps a device open: a thread that reads it, opens it again when it is lost, and counts what happens.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::latest::{Latest, News};
use super::shot::{Developer, Layout, Shot};
use super::{Live, LiveCounts, Loss, Moment};
use crate::source::view::Viewer;
use crate::source::{ClipInfo, Frame, Seconds};
use crate::{Error, Result};

/// How long a device is asked to wait at a time, so that a stop is soon heeded.
const SLICE: Duration = Duration::from_millis(200);
/// Frames for so long are a recovery; less is one more failure.
const STEADY: Duration = Duration::from_secs(10);
/// A loss for the same reason is logged again after so long.
const QUIET: Duration = Duration::from_secs(600);
/// A driver's clock further than this from ours is not believed.
const CLOCK_TRUST_S: f64 = 5.0;

/// What gives frames until it breaks.
pub(in crate::source) trait Device {
    /// What is known of it.
    fn info(&self) -> ClipInfo;
    /// Waits about `wait` for the next frame, and writes its bytes to `into`.
    fn next(&mut self, wait: Duration, into: &mut Vec<u8>) -> Result<Got, Fault>;
}

/// What came of a device.
pub(in crate::source) enum Got {
    Frame(Came),
    Corrupt,
    Short,
    Nothing,
}

/// A frame that came.
pub(in crate::source) struct Came {
    pub layout: Layout,
    /// When it was taken, in seconds of the machine's monotonic clock, where the driver says so.
    pub clock_s: Option<f64>,
    /// Frames before it that came and were passed over for it.
    pub passed: u64,
    /// Frames before it that the driver lost.
    pub lost: u64,
}

/// Why there is no frame.
#[derive(Debug)]
pub(in crate::source) enum Fault {
    /// It may come back.
    Lost(String),
    /// It came to its end.
    Ended,
    /// No trying again would help.
    Refused(Error),
}

/// Opens the device, again and again.
pub(in crate::source) type Open = Box<dyn FnMut() -> Result<Box<dyn Device>, Fault> + Send>;

/// How a device is kept.
#[derive(Clone, Debug)]
pub(in crate::source) struct Keeping {
    /// Its name in messages, without secrets.
    pub name: String,
    /// Without a frame for so long it counts as lost.
    pub silence: Duration,
    /// Waits between tries.
    pub backoff: Backoff,
    /// Whether dropping it waits for its thread, so that the device is free afterwards.
    pub joined: bool,
    /// Whether it is waited for where it is not there at first.
    pub awaited: bool,
}

impl Default for Keeping {
    fn default() -> Self {
        let silence = Duration::from_secs(5);
        Self { name: String::new(), silence, backoff: Backoff::default(), joined: true, awaited: false }
    }
}

/// A device that is kept open.
pub(in crate::source) struct Kept {
    keeping: Keeping,
    latest: Arc<Latest>,
    thread: Option<JoinHandle<()>>,
    info: ClipInfo,
    shot: Option<Shot>,
    developer: Developer,
    viewer: Viewer,
}

impl Kept {
    /// Starts the thread, and waits until the device is open; not for one that is awaited, as that may take for ever.
    ///
    /// # Errors
    /// A device that cannot be opened, unless it is awaited.
    pub fn start(keeping: Keeping, open: Open, viewer: Viewer) -> Result<Self> {
        let latest = Arc::<Latest>::default();
        let keeper = Keeper { latest: latest.clone(), keeping: keeping.clone(), first: None, last: 0.0, logged: None };
        let thread = thread::Builder::new()
            .name("live".into())
            .spawn(move || keeper.run(open))
            .map_err(|e| Error::input(&keeping.name, format!("a thread to read it cannot be started: {e}")))?;
        let info = ClipInfo { format: String::new(), width: 0, height: 0, fps: None, duration_s: None };
        let mut kept =
            Self { keeping, latest, thread: Some(thread), info, shot: None, developer: Developer::default(), viewer };
        if kept.keeping.awaited {
            return Ok(kept);
        }
        match kept.latest.wait_open() {
            Some(info) => kept.info = kept.viewer.info(info),
            None => match kept.latest.take(0.0, Duration::ZERO, &mut kept.info) {
                News::Failed(e) => return Err(e),
                _ => return Err(Error::input(&kept.keeping.name, "ended before its first frame")),
            },
        }
        Ok(kept)
    }
}

impl Live for Kept {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn newest(&mut self, from: Seconds, wait: Duration) -> Result<Moment<'_>> {
        let until = Instant::now() + wait;
        if let Some(seen) = self.shot.take() {
            self.latest.give_back(seen.data);
        }
        loop {
            let mut info = ClipInfo { format: String::new(), ..self.info.clone() };
            let news = self.latest.take(from, until.saturating_duration_since(Instant::now()), &mut info);
            if !info.format.is_empty() {
                self.info = self.viewer.info(info);
            }
            let shot = match news {
                News::Shot(shot) => shot,
                News::Nothing => return Ok(Moment::Waiting),
                News::Lost(loss) => return Ok(Moment::Lost(loss)),
                News::Ended => return Ok(Moment::Ended),
                News::Failed(e) => return Err(e),
            };
            match self.developer.develop(&shot) {
                Ok(()) => {
                    let shot = self.shot.insert(shot);
                    let picture = self.viewer.look(self.developer.picture(shot))?;
                    // Addresses tell their size with their first frame.
                    if self.info.width == 0 {
                        (self.info.width, self.info.height) = picture.display_size();
                    }
                    return Ok(Moment::Frame(Frame { index: shot.index, time: shot.time, picture }));
                }
                Err(problem) => {
                    log::debug!("{}: frame {} was passed over: {problem}", self.keeping.name, shot.index);
                    self.latest.count(|counts| counts.corrupt += 1);
                    self.latest.give_back(shot.data);
                }
            }
        }
    }

    fn counts(&self) -> LiveCounts {
        self.latest.counts()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.latest.stop();
        if let Some(thread) = self.thread.take().filter(|_| self.keeping.joined) {
            // It ends within a slice; if it panicked there is no more to be done about it here.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Keeper {
    latest: Arc<Latest>,
    keeping: Keeping,
    /// The clock at the first frame.
    first: Option<f64>,
    /// Stream time of the newest frame.
    last: f64,
    /// The last loss that was logged.
    logged: Option<(String, Instant)>,
}

/// Tells the taker where the thread ends without a word.
struct LastWord(Arc<Latest>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.end(Err(Error::Internal("the thread that reads a live source ended".into())));
    }
}

impl Keeper {
    fn run(mut self, mut open: Open) {
        let last_word = LastWord(self.latest.clone());
        let mut backoff = self.keeping.backoff.clone();
        let mut lost: Option<Instant> = None;
        let mut opened = false;
        while !self.latest.stopped() {
            let fault = match open() {
                Ok(mut device) => {
                    opened = true;
                    self.latest.opened(device.info());
                    self.read(&mut *device, &mut lost, &mut backoff)
                }
                Err(fault) => fault,
            };
            match fault {
                Fault::Ended => return self.latest.end(Ok(())),
                Fault::Refused(e) => return self.latest.end(Err(e)),
                Fault::Lost(reason) if !opened && !self.keeping.awaited => {
                    return self.latest.end(Err(Error::input(&self.keeping.name, reason)));
                }
                Fault::Lost(reason) => {
                    let retry_in = backoff.failed();
                    if lost.is_none() {
                        lost = Some(Instant::now());
                        self.log(&reason);
                        // What was never there is not lost.
                        if opened {
                            self.latest.lose(Loss { reason, retry_in });
                        }
                    } else {
                        log::debug!("{}: still lost: {reason}; next try in {retry_in:?}", self.keeping.name);
                    }
                    if !self.latest.rest(retry_in) {
                        break;
                    }
                }
            }
        }
        self.latest.end(Ok(()));
        drop(last_word);
    }

    /// Reads until the device breaks.
    fn read(&mut self, device: &mut dyn Device, lost: &mut Option<Instant>, backoff: &mut Backoff) -> Fault {
        let (mut since, opened) = (Instant::now(), Instant::now());
        let mut buffer = self.latest.buffer();
        while !self.latest.stopped() {
            match device.next(SLICE.min(self.keeping.silence), &mut buffer) {
                Ok(Got::Frame(came)) => {
                    since = Instant::now();
                    if let Some(when) = lost.take() {
                        self.latest.count(|counts| counts.reconnects += 1);
                        log::info!("{}: frames again after {:.1} s", self.keeping.name, when.elapsed().as_secs_f64());
                    }
                    if opened.elapsed() > STEADY {
                        backoff.recovered();
                    }
                    buffer = self.hand_over(&came, buffer);
                }
                Ok(Got::Corrupt) => self.latest.count(|counts| {
                    counts.captured += 1;
                    counts.corrupt += 1;
                }),
                Ok(Got::Short) => self.latest.count(|counts| {
                    counts.captured += 1;
                    counts.short += 1;
                }),
                Ok(Got::Nothing) => {}
                Err(fault) => {
                    // Sources with a patience of their own say so themselves.
                    let silent = matches!(fault, Fault::Lost(_)) && since.elapsed() >= self.keeping.silence;
                    self.latest.count(|counts| counts.timeouts += u64::from(silent));
                    return fault;
                }
            }
            if since.elapsed() >= self.keeping.silence {
                self.latest.count(|counts| counts.timeouts += 1);
                return Fault::Lost(format!("no usable frame came for {:.0} s", since.elapsed().as_secs_f64()));
            }
        }
        Fault::Ended
    }

    /// Leaves a frame for the taker; returns a buffer for the next.
    fn hand_over(&mut self, came: &Came, data: Vec<u8>) -> Vec<u8> {
        let now = monotonic_s();
        let clock = came.clock_s.filter(|clock| (now - clock).abs() < CLOCK_TRUST_S).unwrap_or(now);
        let first = *self.first.get_or_insert(clock);
        self.last = self.last.max(clock - first);
        let mut index = 0;
        self.latest.count(|counts| {
            counts.captured += 1 + came.passed;
            counts.dropped += came.passed + came.lost;
            index = counts.captured - 1;
        });
        let time = self.last;
        self.latest.put(Shot { index, time, layout: came.layout, data });
        self.latest.buffer()
    }

    /// Logs a loss, the same one not again for a while.
    fn log(&mut self, reason: &str) {
        let again = self.logged.as_ref().is_some_and(|(last, when)| last == reason && when.elapsed() < QUIET);
        if again {
            log::debug!("{}: lost again: {reason}", self.keeping.name);
        } else {
            log::warn!("{}: lost: {reason}; it is tried again until it is back", self.keeping.name);
            self.logged = Some((reason.to_owned(), Instant::now()));
        }
    }
}

/// The clock that V4L2 drivers stamp frames with.
#[cfg(unix)]
fn monotonic_s() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid and exclusively borrowed; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A clock that nobody sets.
#[cfg(not(unix))]
fn monotonic_s() -> f64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests;
