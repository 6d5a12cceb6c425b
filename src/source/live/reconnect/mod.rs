//! Reads a device in a separate thread and reopens it with back-off when it is lost.

mod slot;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::slot::{FrameSlot, SlotUpdate};
use super::raw_frame::{FrameDecoder, FrameLayout, RawFrame};
use super::{Live, LiveCounts, LiveUpdate, Loss};
use crate::picture::PictureTransformer;
use crate::source::transform::rotated_info;
use crate::source::wait::{CancelFlag, WAIT_SLICE};
use crate::source::{ClipInfo, Frame};
use crate::units::Seconds;
use crate::{Error, Result};

/// How long after it was asked to stop a source waits for its thread. A thread that is held up longer, as by a driver, ends on its own.
const STOP_TIME: Duration = Duration::from_secs(2);
/// A device that delivers frames for this long has recovered; a shorter time counts as another failure.
const RECOVERY_TIME: Duration = Duration::from_secs(10);
/// A loss for the same reason is logged again only after this time.
const LOG_INTERVAL: Duration = Duration::from_secs(600);
/// A driver's clock is ignored if it differs from the monotonic clock by more than this.
const MAX_CLOCK_DIFFERENCE_S: f64 = 5.0;

/// An open camera, pipe or URL, which delivers frames until it fails.
pub(super) trait Device {
    /// The device's properties.
    fn info(&self) -> ClipInfo;
    /// Waits about `wait` for the next frame and writes its bytes to `into`.
    fn next_frame(&mut self, wait: Duration, into: &mut Vec<u8>) -> Result<Capture, DeviceError>;
}

/// What a device delivered. Only cameras deliver anything other than frames.
#[cfg_attr(not(all(target_os = "linux", feature = "camera")), allow(dead_code))]
pub(super) enum Capture {
    Frame(FrameMeta),
    /// A frame that the driver marked as damaged.
    Corrupt,
    /// A frame that lacks bytes.
    Short,
    /// No frame within the wait.
    Nothing,
}

/// A captured frame, without its bytes.
pub(super) struct FrameMeta {
    pub(super) layout: FrameLayout,
    /// Capture time in seconds of the machine's monotonic clock, if the driver provides it.
    pub(super) clock_s: Option<f64>,
    /// Earlier frames that were captured and skipped in favour of this one.
    pub(super) skipped: u64,
    /// Earlier frames that the driver lost.
    pub(super) lost: u64,
}

/// Why a device delivers no frame.
#[derive(Debug)]
pub(super) enum DeviceError {
    /// It is lost and may come back.
    Lost(String),
    /// It has ended.
    Ended,
    /// Reopening it would not help.
    Fatal(Error),
}

/// Opens the device; called again after each loss.
pub(super) type OpenDevice = Box<dyn FnMut() -> Result<Box<dyn Device>, DeviceError> + Send>;

/// Wait times between attempts, which double after each failure.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// 0.5 s to 15 s: short enough that a camera is found soon after it is plugged in again.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(15))
    }
}

impl Backoff {
    fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, failures: 0 }
    }

    /// Returns the wait time after another failure.
    fn failed(&mut self) -> Duration {
        let wait = self.shortest.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Resets the wait time to the shortest.
    fn recovered(&mut self) {
        self.failures = 0;
    }
}

/// How a device is read and reopened.
#[derive(Clone, Debug)]
pub(super) struct ReconnectSpec {
    /// The device's name in messages, without credentials.
    pub(super) name: String,
    /// Time without a usable frame after which the device counts as lost.
    pub(super) timeout: Duration,
    /// Wait times between attempts.
    pub(super) backoff: Backoff,
    /// Ends reads of the device that wait, when the source is dropped.
    pub(super) cancel: CancelFlag,
    /// Whether to wait for a device that is not available at first.
    pub(super) wait_for_source: bool,
}

impl ReconnectSpec {
    /// Creates a spec with the default back-off that does not wait for a device.
    pub(super) fn new(name: String, timeout: Duration) -> Self {
        Self { name, timeout, backoff: Backoff::default(), cancel: CancelFlag::default(), wait_for_source: false }
    }
}

/// A live source that reopens its device after a loss.
pub(super) struct ReconnectingSource {
    spec: ReconnectSpec,
    slot: Arc<FrameSlot>,
    thread: Option<JoinHandle<()>>,
    info: ClipInfo,
    frame: Option<RawFrame>,
    decoder: FrameDecoder,
    transformer: PictureTransformer,
}

impl ReconnectingSource {
    /// Starts the reader thread and waits until the device is open, unless `wait_for_source` is set, in which case it
    /// returns at once.
    ///
    /// # Errors
    /// A device that cannot be opened, unless `wait_for_source` is set.
    pub(super) fn start(spec: ReconnectSpec, open: OpenDevice, transformer: PictureTransformer) -> Result<Self> {
        let slot = Arc::<FrameSlot>::default();
        let reader = ReaderThread { slot: slot.clone(), spec: spec.clone(), first: None, last: 0.0, logged: None };
        let thread = thread::Builder::new()
            .name("live".into())
            .spawn(move || reader.run(open))
            .map_err(|e| Error::input(&spec.name, format!("its reader thread cannot be started: {e}")))?;
        let (thread, info, decoder) = (Some(thread), ClipInfo::default(), FrameDecoder::default());
        let mut source = Self { spec, slot, thread, info, frame: None, decoder, transformer };
        if source.spec.wait_for_source {
            return Ok(source);
        }
        match source.slot.wait_open() {
            Some(info) => source.info = rotated_info(source.transformer.spec(), info),
            None => match source.slot.take(0.0, Duration::ZERO, &mut source.info) {
                SlotUpdate::Failed(e) => return Err(e),
                _ => return Err(Error::input(&source.spec.name, "ended before its first frame")),
            },
        }
        Ok(source)
    }
}

impl Live for ReconnectingSource {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn newest(&mut self, from: Seconds, wait: Duration) -> Result<LiveUpdate<'_>> {
        let until = Instant::now() + wait;
        if let Some(previous) = self.frame.take() {
            self.slot.give_back(previous.data);
        }
        loop {
            // `take` replaces `info` if the device was opened again; the empty format shows whether it did.
            let mut info = ClipInfo { format: String::new(), ..self.info.clone() };
            let update = self.slot.take(from, until.saturating_duration_since(Instant::now()), &mut info);
            if !info.format.is_empty() {
                self.info = rotated_info(self.transformer.spec(), info);
            }
            let frame = match update {
                SlotUpdate::Frame(frame) => frame,
                SlotUpdate::Nothing => return Ok(LiveUpdate::NoFrame),
                SlotUpdate::Lost(loss) => return Ok(LiveUpdate::Lost(loss)),
                SlotUpdate::Ended => return Ok(LiveUpdate::Ended),
                SlotUpdate::Failed(e) => return Err(e),
            };
            match self.decoder.decode(&frame) {
                Ok(()) => {
                    let frame = self.frame.insert(frame);
                    let picture = self.transformer.apply(self.decoder.picture(frame))?;
                    // The size of a URL's pictures is unknown before the first frame.
                    if self.info.width == 0 {
                        (self.info.width, self.info.height) = picture.display_size();
                    }
                    return Ok(LiveUpdate::Frame(Frame { index: frame.index, time: frame.time, picture }));
                }
                Err(problem) => {
                    log::debug!("{}: frame {} skipped: {problem}", self.spec.name, frame.index);
                    self.slot.count(|counts| counts.corrupt += 1);
                    self.slot.give_back(frame.data);
                    // Damaged frames may come as fast as they are skipped.
                    if Instant::now() >= until {
                        return Ok(LiveUpdate::NoFrame);
                    }
                }
            }
        }
    }

    fn cancel(&self) {
        self.slot.stop();
        self.spec.cancel.cancel();
    }

    fn counts(&self) -> LiveCounts {
        self.slot.counts()
    }
}

impl Drop for ReconnectingSource {
    fn drop(&mut self) {
        self.cancel();
        // The device is free once the thread has ended.
        if let Some(thread) = self.thread.take() {
            if self.slot.wait_closed(STOP_TIME) {
                // A panic in it is ignored.
                let _ = thread.join();
            } else {
                log::debug!("{}: its reader is held up; it will end on its own", self.spec.name);
            }
        }
    }
}

/// The thread that reads the device.
struct ReaderThread {
    slot: Arc<FrameSlot>,
    spec: ReconnectSpec,
    /// The clock of the frames at the first one, from which stream time is counted.
    first: Option<f64>,
    /// Stream time of the newest frame.
    last: f64,
    /// The last loss that was logged, and when.
    logged: Option<(String, Instant)>,
}

/// Reports an error if the thread ends without reporting an end, which happens in a panic.
struct EndGuard(Arc<FrameSlot>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end(Err(Error::Internal("the thread that reads a live source ended".into())));
        self.0.close();
    }
}

impl ReaderThread {
    fn run(mut self, mut open: OpenDevice) {
        let end_guard = EndGuard(self.slot.clone());
        let mut backoff = self.spec.backoff.clone();
        let mut lost: Option<Instant> = None;
        let mut opened = false;
        while !self.slot.stopped() {
            let error = match open() {
                Ok(mut device) => {
                    opened = true;
                    self.slot.opened(device.info());
                    self.read(&mut *device, &mut lost, &mut backoff)
                }
                Err(error) => error,
            };
            if self.slot.stopped() {
                break;
            }
            match error {
                DeviceError::Ended => return self.slot.end(Ok(())),
                DeviceError::Fatal(e) => return self.slot.end(Err(e)),
                DeviceError::Lost(reason) if !opened && !self.spec.wait_for_source => {
                    return self.slot.end(Err(Error::input(&self.spec.name, reason)));
                }
                DeviceError::Lost(reason) => {
                    let retry_in = backoff.failed();
                    if lost.is_none() {
                        lost = Some(Instant::now());
                        self.log_loss(&reason);
                        // A device that was never available is not reported as lost.
                        if opened {
                            self.slot.lose(Loss { reason, retry_in });
                        }
                    } else {
                        log::debug!("{}: still lost: {reason}; retry in {retry_in:?}", self.spec.name);
                    }
                    if !self.slot.sleep(retry_in) {
                        break;
                    }
                }
            }
        }
        self.slot.end(Ok(()));
        drop(end_guard);
    }

    /// Reads until the device fails.
    fn read(&mut self, device: &mut dyn Device, lost: &mut Option<Instant>, backoff: &mut Backoff) -> DeviceError {
        let (mut since, opened) = (Instant::now(), Instant::now());
        let mut buffer = self.slot.buffer();
        while !self.slot.stopped() {
            match device.next_frame(WAIT_SLICE.min(self.spec.timeout), &mut buffer) {
                Ok(Capture::Frame(meta)) => {
                    since = Instant::now();
                    if let Some(when) = lost.take() {
                        self.slot.count(|counts| counts.reconnects += 1);
                        log::info!("{}: reconnected after {:.1} s", self.spec.name, when.elapsed().as_secs_f64());
                    }
                    if opened.elapsed() > RECOVERY_TIME {
                        backoff.recovered();
                    }
                    buffer = self.put(&meta, buffer);
                }
                Ok(Capture::Corrupt) => self.slot.count(|counts| {
                    counts.captured += 1;
                    counts.corrupt += 1;
                }),
                Ok(Capture::Short) => self.slot.count(|counts| {
                    counts.captured += 1;
                    counts.short += 1;
                }),
                Ok(Capture::Nothing) => {}
                Err(error) => {
                    // Devices with their own timeout report it as an error.
                    let timed_out = matches!(error, DeviceError::Lost(_)) && since.elapsed() >= self.spec.timeout;
                    self.slot.count(|counts| counts.timeouts += u64::from(timed_out));
                    return error;
                }
            }
            if since.elapsed() >= self.spec.timeout {
                self.slot.count(|counts| counts.timeouts += 1);
                return DeviceError::Lost(format!("no usable frame for {:.0} s", since.elapsed().as_secs_f64()));
            }
        }
        DeviceError::Ended
    }

    /// Puts a frame into the slot; returns a buffer for the next one.
    fn put(&mut self, meta: &FrameMeta, data: Vec<u8>) -> Vec<u8> {
        let now = monotonic_s();
        let clock = meta.clock_s.filter(|clock| (now - clock).abs() < MAX_CLOCK_DIFFERENCE_S).unwrap_or(now);
        let first = *self.first.get_or_insert(clock);
        self.last = self.last.max(clock - first);
        let mut index = 0;
        self.slot.count(|counts| {
            counts.captured += 1 + meta.skipped;
            counts.dropped += meta.skipped + meta.lost;
            index = counts.captured - 1;
        });
        let time = self.last;
        self.slot.put(RawFrame { index, time, layout: meta.layout, data });
        self.slot.buffer()
    }

    /// Logs a loss, but a repeated one only at intervals.
    fn log_loss(&mut self, reason: &str) {
        let repeated = self.logged.as_ref().is_some_and(|(last, when)| last == reason && when.elapsed() < LOG_INTERVAL);
        if repeated {
            log::debug!("{}: lost again: {reason}", self.spec.name);
        } else {
            log::warn!("{}: lost: {reason}; reconnecting with back-off", self.spec.name);
            self.logged = Some((reason.to_owned(), Instant::now()));
        }
    }
}

/// The clock of V4L2 drivers' timestamps.
#[cfg(unix)]
fn monotonic_s() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid and exclusively borrowed; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A monotonic clock.
#[cfg(not(unix))]
fn monotonic_s() -> f64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests;
