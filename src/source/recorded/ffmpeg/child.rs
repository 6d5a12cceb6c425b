//! Runs `ffmpeg` as a child process, which is killed on drop.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::showinfo::{FrameInfo, LogLine, LogParser};
use crate::source::timeline::Timeline;
use crate::source::wait::{WaitEnd, WaitLimit};
use crate::{Error, Result};

/// Maximum length in bytes of a line on standard error; the rest of the line is skipped.
const MAX_LINE: u64 = 4096;
/// Time between two checks whether the process has ended.
const END_POLL: Duration = Duration::from_millis(5);

/// A running `ffmpeg`.
pub(super) struct Process {
    child: KillOnDrop,
    pub(super) frames: FrameInfos,
    stdout: Option<ChildStdout>,
    log: Arc<Mutex<LogParser>>,
    limit: WaitLimit,
}

/// Prepares a child so that it ends with us, and what it starts with it: see [`KillOnDrop`].
pub(super) fn end_with_us(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    kill_with_parent(command);
}

/// Makes the kernel kill the child when the thread that starts it (and reads its output) ends. A process that is killed
/// drops nothing, and without this `ffmpeg` would keep waiting for a silent URL.
#[cfg(target_os = "linux")]
fn kill_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: only one system call is made between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // If this is not permitted, the child ends by its own timeout.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn kill_with_parent(_: &mut Command) {}

impl Process {
    /// Starts `command`, whose outputs are both pipes; `feed` is copied to its standard input. `log` parses its standard
    /// error.
    pub(super) fn start(
        mut command: Command,
        input: &str,
        feed: Option<(Vec<u8>, Box<dyn Read + Send>)>,
        limit: &WaitLimit,
        log: LogParser,
    ) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| Error::input(input, format!("ffmpeg could not be started: {e}"));
        end_with_us(&mut command);
        let mut child = KillOnDrop::new(command.spawn().map_err(|e| failed(&e))?);
        let (stdin, stdout, stderr) = (child.child.stdin.take(), child.child.stdout.take(), child.child.stderr.take());
        let stderr = stderr.ok_or_else(|| failed(&"it has no standard error"))?;
        let (sender, receiver) = channel();
        let (activity, log) = (Arc::<AtomicU64>::default(), Arc::new(Mutex::new(log)));
        {
            let (activity, log) = (activity.clone(), log.clone());
            thread::Builder::new()
                .name("ffmpeg-log".into())
                .spawn(move || read_log(stderr, &sender, &activity, &log))
                .map_err(|e| failed(&e))?;
        }
        if let (Some((head, mut from)), Some(mut to)) = (feed, stdin) {
            thread::Builder::new()
                .name("ffmpeg-feed".into())
                // An ffmpeg that needs no more data closes the pipe, which is not an error.
                .spawn(move || to.write_all(&head).and_then(|()| io::copy(&mut from, &mut to)).ok())
                .map_err(|e| failed(&e))?;
        }
        let frames = FrameInfos { input: input.into(), receiver, peeked: None, limit: limit.clone(), activity };
        Ok(Self { child, frames, stdout, log, limit: limit.clone() })
    }

    /// Takes standard output; may be called once.
    pub(super) fn output(&mut self) -> Result<TimedOutput> {
        let stdout = self.stdout.take().ok_or_else(|| Error::Internal("ffmpeg's output was taken twice".into()))?;
        Ok(TimedOutput { stdout, activity: self.frames.activity.clone(), limit: self.limit.clone() })
    }

    /// Waits until the process has ended; to be called after the last frame. One that does not end in time is killed.
    pub(super) fn wait(&mut self) -> Result<Outcome> {
        drop(self.stdout.take());
        let (limit, child) = (self.limit.clone(), &mut self.child.child);
        let ended = limit.wait(
            || 0,
            |wait| match child.try_wait() {
                Ok(None) => {
                    thread::sleep(wait.min(END_POLL));
                    Ok(None)
                }
                other => other,
            },
        );
        match ended.map_err(|e| Error::Internal(format!("waiting for ffmpeg: {e}")))? {
            WaitEnd::Ready(status) => {
                self.child.ended = true;
                Ok(self.outcome(status.success()))
            }
            WaitEnd::TimedOut | WaitEnd::Cancelled => Ok(self.outcome(false)),
        }
    }

    /// The outcome so far, while the process is still running.
    pub(super) fn outcome_so_far(&self) -> Outcome {
        self.outcome(true)
    }

    fn outcome(&self, ok: bool) -> Outcome {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        Outcome { ok, reasons: log.first_errors.join(", "), errors: log.errors, timeline: log.timeline_warning() }
    }

    /// A timeline for the timestamps of the frames so far, before its first frame.
    pub(super) fn new_timeline(&self) -> Timeline {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).new_timeline()
    }
}

/// How a run of `ffmpeg` ended.
pub(super) struct Outcome {
    ok: bool,
    /// The first errors; empty if there is none.
    reasons: String,
    errors: u64,
    /// What was corrected in the timestamps.
    pub(super) timeline: Option<String>,
}

impl Outcome {
    /// The error if there was no frame.
    pub(super) fn no_frames(&self, input: &str) -> Error {
        match self.reasons.as_str() {
            "" => Error::input(input, "ffmpeg finds no video in it"),
            error => Error::input(input, format!("ffmpeg cannot read it: {error}")),
        }
    }

    /// The warning if there were frames, and errors as well.
    pub(super) fn warning(&self) -> Option<String> {
        match (self.reasons.as_str(), self.ok) {
            ("", false) => Some("ffmpeg failed without an error message".into()),
            ("", true) => None,
            (error, _) if self.errors == 1 => Some(format!("ffmpeg reported an error: {error}")),
            (error, _) => Some(format!("ffmpeg reported {} errors, the first: {error}", self.errors)),
        }
    }
}

/// Receives information on each frame, in order.
pub(super) struct FrameInfos {
    input: String,
    receiver: Receiver<FrameInfo>,
    /// Received but not returned yet.
    peeked: Option<FrameInfo>,
    limit: WaitLimit,
    /// Counts decoded frames: as long as it grows, the process is alive.
    activity: Arc<AtomicU64>,
}

impl FrameInfos {
    /// Waits for the next one without taking it; `None` after the last.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) fn peek(&mut self) -> Result<Option<FrameInfo>> {
        if self.peeked.is_none() {
            self.peeked = self.next()?;
        }
        Ok(self.peeked)
    }

    /// Returns the next one; `None` after the last.
    ///
    /// # Errors
    /// If nothing arrives within the timeout, or if the wait is cancelled.
    pub(super) fn next(&mut self) -> Result<Option<FrameInfo>> {
        if let Some(frame) = self.peeked.take() {
            return Ok(Some(frame));
        }
        let received = self.limit.wait(
            || self.activity.load(Ordering::Relaxed),
            |wait| match self.receiver.recv_timeout(wait) {
                Ok(frame) => Ok(Some(Some(frame))),
                Err(RecvTimeoutError::Disconnected) => Ok(Some(None)),
                Err(RecvTimeoutError::Timeout) => Ok::<_, Error>(None),
            },
        );
        ready(received?, &self.limit).map_err(|problem| Error::input(&self.input, problem))
    }
}

/// The result of a wait, or why it failed.
fn ready<T>(end: WaitEnd<T>, limit: &WaitLimit) -> Result<T, String> {
    match end {
        WaitEnd::Ready(ready) => Ok(ready),
        WaitEnd::Cancelled => Err("reading was stopped".into()),
        WaitEnd::TimedOut => {
            let seconds = limit.timeout.as_secs_f64();
            Err(format!("ffmpeg delivered nothing for {seconds:.0} s; check that the other end is sending"))
        }
    }
}

/// Standard output, read with a timeout.
pub(super) struct TimedOutput {
    stdout: ChildStdout,
    /// Counts decoded frames: as long as it grows, the process is alive.
    activity: Arc<AtomicU64>,
    limit: WaitLimit,
}

impl TimedOutput {
    /// Waits until data can be read; fails after the timeout without any activity, or if the wait is cancelled.
    #[cfg(unix)]
    fn wait(&self) -> io::Result<()> {
        use crate::source::wait::wait_readable;
        let activity = || self.activity.load(Ordering::Relaxed);
        let end = self.limit.wait(activity, |wait| wait_readable(&self.stdout, wait))?;
        ready(end, &self.limit).map_err(|problem| io::Error::new(io::ErrorKind::TimedOut, problem))
    }

    #[cfg(not(unix))]
    fn wait(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TimedOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.stdout.read(buffer)
    }
}

/// A child process that was prepared by [`end_with_us`]. It is killed on drop, with the processes that it has started,
/// which a script in the place of `ffmpeg` may have.
pub(super) struct KillOnDrop {
    pub(super) child: Child,
    /// It was waited for, so that its number may belong to another process.
    ended: bool,
}

impl KillOnDrop {
    pub(super) fn new(child: Child) -> Self {
        Self { child, ended: false }
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        #[cfg(unix)]
        if let Ok(group) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: a negative number names the group, which the child leads. It was not waited for.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        // Both fail only if the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads standard error to its end.
fn read_log(stderr: ChildStderr, sender: &Sender<FrameInfo>, activity: &AtomicU64, log: &Mutex<LogParser>) {
    let mut from = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') && from.skip_until(b'\n').is_err() {
            break;
        }
        let parsed = log.lock().unwrap_or_else(PoisonError::into_inner).line(String::from_utf8_lossy(&line).trim_end());
        if parsed != LogLine::Other {
            activity.fetch_add(1, Ordering::Relaxed);
        }
        // Sending fails once the reader is gone. The pipe is still read, so that ffmpeg can end.
        if let LogLine::Frame(frame) = parsed {
            let _ = sender.send(frame);
        }
    }
    if let Some(frame) = log.lock().unwrap_or_else(PoisonError::into_inner).finish() {
        let _ = sender.send(frame);
    }
}
