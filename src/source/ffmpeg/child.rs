//! A running `ffmpeg`, killed when dropped.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::notes::{Note, Notebook};
use crate::{Error, Result};

/// Most bytes of a line on standard error; the rest of it is passed over.
const MAX_LINE: u64 = 4096;

/// One run of `ffmpeg`.
pub(super) struct Run {
    child: Guard,
    pub(super) notes: Notes,
    stdout: Option<ChildStdout>,
    troubles: Arc<Mutex<Troubles>>,
    timeout: Duration,
}

#[derive(Clone, Debug, Default)]
struct Troubles {
    last: Option<String>,
    count: u64,
}

/// Has the child killed when the thread that starts it ends, which is the one that reads it: a process that ends while
/// it waits drops nothing, and `ffmpeg` would wait on for an address that says nothing.
#[cfg(target_os = "linux")]
fn end_with_us(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec nothing is called but one system call.
    unsafe {
        command.pre_exec(|| {
            // Where that is not allowed, it ends by its own time-out.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command) {}

impl Run {
    /// Starts `command`, with both its outputs piped; `feed` is copied to its standard input.
    pub(super) fn start(
        mut command: Command,
        input: &str,
        feed: Option<(Vec<u8>, Box<dyn Read + Send>)>,
        timeout_s: f64,
    ) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| Error::input(input, format!("ffmpeg could not be started: {e}"));
        end_with_us(&mut command);
        let mut child = Guard(command.spawn().map_err(|e| failed(&e))?);
        let (stdin, stdout, stderr) = (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
        let stderr = stderr.ok_or_else(|| failed(&"it has no standard error"))?;
        let (sender, receiver) = channel();
        let (signs, troubles) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Troubles>>::default());
        {
            let (signs, troubles) = (signs.clone(), troubles.clone());
            thread::Builder::new()
                .name("ffmpeg-notes".into())
                .spawn(move || read_notes(stderr, &sender, &signs, &troubles))
                .map_err(|e| failed(&e))?;
        }
        if let (Some((head, mut from)), Some(mut to)) = (feed, stdin) {
            thread::Builder::new()
                .name("ffmpeg-feed".into())
                // An ffmpeg that has seen enough closes its end, which is no fault.
                .spawn(move || to.write_all(&head).and_then(|()| io::copy(&mut from, &mut to)).ok())
                .map_err(|e| failed(&e))?;
        }
        let timeout = Duration::try_from_secs_f64(timeout_s).unwrap_or(Duration::from_secs(3600));
        let notes = Notes { input: input.into(), receiver, timeout, signs };
        Ok(Self { child, notes, stdout, troubles, timeout })
    }

    /// Standard output, to be taken once.
    pub(super) fn output(&mut self) -> Result<PatientOutput> {
        let stdout = self.stdout.take().ok_or_else(|| Error::Internal("ffmpeg's output was taken twice".into()))?;
        Ok(PatientOutput { stdout, signs: self.notes.signs.clone(), timeout: self.timeout })
    }

    /// Waits for the end, after the last note.
    pub(super) fn end(&mut self) -> Result<Ended> {
        drop(self.stdout.take());
        let status = self.child.0.wait().map_err(|e| Error::Internal(format!("waiting for ffmpeg: {e}")))?;
        Ok(Ended { ok: status.success(), troubles: self.troubles() })
    }

    /// How things stand while it still runs.
    pub(super) fn so_far(&self) -> Ended {
        Ended { ok: true, troubles: self.troubles() }
    }

    fn troubles(&self) -> Troubles {
        self.troubles.lock().map(|troubles| troubles.clone()).unwrap_or_default()
    }
}

/// How a run ended.
pub(super) struct Ended {
    ok: bool,
    troubles: Troubles,
}

impl Ended {
    /// The error where not one frame came.
    pub(super) fn nothing(&self, input: &str) -> Error {
        match &self.troubles.last {
            Some(said) => Error::input(input, format!("ffmpeg cannot read it: {said}")),
            None => Error::input(input, "ffmpeg finds no video in it"),
        }
    }

    /// The warning where frames came, but not without trouble.
    pub(super) fn warning(&self) -> Option<String> {
        match (&self.troubles.last, self.ok) {
            (Some(said), _) => Some(format!("ffmpeg met {} problems, the last: {said}", self.troubles.count)),
            (None, false) => Some("ffmpeg ended with an error it did not explain".into()),
            (None, true) => None,
        }
    }
}

/// Notes on frames, in order.
pub(super) struct Notes {
    input: String,
    receiver: Receiver<Note>,
    timeout: Duration,
    signs: Arc<AtomicU64>,
}

/// How long an ending program may take to close its outputs one after the other.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Notes {
    /// Whether there are no more. A program that has just ended is given a moment to say so.
    pub(super) fn are_over(&mut self) -> bool {
        matches!(self.receiver.recv_timeout(LAST_WORDS.min(self.timeout)), Err(RecvTimeoutError::Disconnected))
    }

    /// The next note; `None` after the last. An error where nothing comes for too long.
    pub(super) fn next(&mut self) -> Result<Option<Note>> {
        loop {
            let before = self.signs.load(Ordering::Relaxed);
            match self.receiver.recv_timeout(self.timeout) {
                Ok(note) => return Ok(Some(note)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if self.signs.load(Ordering::Relaxed) != before => {}
                Err(RecvTimeoutError::Timeout) => return Err(Error::input(&self.input, silent(self.timeout))),
            }
        }
    }
}

fn silent(timeout: Duration) -> String {
    format!("ffmpeg handed over nothing for {:.0} s; check that the other end is sending", timeout.as_secs_f64())
}

/// Standard output, read with patience that ends.
pub(super) struct PatientOutput {
    stdout: ChildStdout,
    signs: Arc<AtomicU64>,
    timeout: Duration,
}

impl PatientOutput {
    /// Waits until something can be read, as long as there are signs of life.
    #[cfg(unix)]
    fn wait(&self) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let mut poll = libc::pollfd { fd: self.stdout.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let patience = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX);
        loop {
            let before = self.signs.load(Ordering::Relaxed);
            // SAFETY: `poll` is one valid, exclusively borrowed entry, and its descriptor is open as long as `self`.
            match unsafe { libc::poll(&raw mut poll, 1, patience) } {
                0 if self.signs.load(Ordering::Relaxed) == before => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, silent(self.timeout)));
                }
                0 => {}
                1.. => return Ok(()),
                _ => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e => return Err(e),
                },
            }
        }
    }

    #[cfg(not(unix))]
    fn wait(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PatientOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.stdout.read(buffer)
    }
}

/// A child that does not outlive us.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only where the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_notes(stderr: ChildStderr, sender: &Sender<Note>, signs: &AtomicU64, troubles: &Mutex<Troubles>) {
    let mut from = BufReader::new(stderr);
    let mut book = Notebook::default();
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
        signs.fetch_add(1, Ordering::Relaxed);
        let note = book.line(String::from_utf8_lossy(&line).trim_end());
        if let (Some(_), Ok(mut troubles)) = (&book.complaint, troubles.lock()) {
            *troubles = Troubles { last: book.complaint.clone(), count: book.complaints };
        }
        // Nobody listening any more is the end of the run; the pipe is emptied on so that ffmpeg can end too.
        if let Some(note) = note {
            let _ = sender.send(note);
        }
    }
    if let Some(note) = book.end() {
        let _ = sender.send(note);
    }
}
