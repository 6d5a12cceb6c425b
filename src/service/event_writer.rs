//! The threads that write event lines: one for files and the state, which wait for the disk, and one for stdout, whose
//! reader may stall.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bike_edge::events::EventKind;
use bike_edge::output::{Destination, LineCounts, OutputSpec};
use bike_edge::{Error, Result};

use super::event_queue::{Entry, EventQueue, Job, Pushed};
use super::state::State;

/// Where lines are written and what is recorded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WriterSpec {
    pub outputs: Vec<OutputSpec>,
    /// The state file.
    pub state: Option<PathBuf>,
}

/// What the threads have done so far.
#[derive(Clone, Debug, Default)]
pub(super) struct WriterStatus {
    pub counts: LineCounts,
    /// Number of open events that were recorded.
    pub open_events: usize,
    /// How often the service was started, since the state was created.
    pub starts: u64,
    /// Events that ended, since the state was created.
    pub ended: u64,
    /// Nobody reads stdout any more.
    pub stdout_closed: bool,
}

/// The writing threads, seen from the loop.
pub(super) struct EventWriter {
    queue: Arc<EventQueue<WriterSpec>>,
    status: Arc<Mutex<WriterStatus>>,
    thread: Option<JoinHandle<()>>,
}

impl EventWriter {
    /// Starts writing. Events that an earlier run left open are ended first.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(spec: WriterSpec) -> Result<Self> {
        let (queue, status) = (Arc::<EventQueue<_>>::default(), Arc::<Mutex<WriterStatus>>::default());
        let mut writer = WriterThread::new(spec, status.clone())?;
        let thread = {
            let queue = queue.clone();
            spawn("event-writer", move || {
                writer.end_interrupted();
                writer.run(&queue);
                queue.ended();
            })?
        };
        Ok(Self { queue, status, thread: Some(thread) })
    }

    /// Passes a line on.
    pub fn write(&self, entry: Entry) {
        if self.queue.push(entry) == Pushed::FirstLost {
            log::error!("the disk does not keep up with the events; event lines are lost until it does");
        }
    }

    /// Changes outputs and state file, after the lines so far.
    pub fn configure(&self, spec: WriterSpec) {
        self.queue.configure(spec);
    }

    /// What was done so far.
    pub fn status(&self) -> WriterStatus {
        let mut status = lock(&self.status).clone();
        status.counts.lost += self.queue.lost();
        status
    }

    /// Waits at most `time` until all lines are written.
    pub fn end(&mut self, time: Duration) {
        let left = self.queue.end(time);
        if left > 0 {
            log::error!("{left} event lines were not written within {} s; they are lost", time.as_secs());
        } else if let Some(thread) = self.thread.take() {
            // A panic in it was printed.
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let failed = |e| Error::Internal(format!("thread {name} cannot be started: {e}"));
    thread::Builder::new().name(name.into()).spawn(work).map_err(failed)
}

fn lock(status: &Mutex<WriterStatus>) -> MutexGuard<'_, WriterStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long lines for stdout are waited for at the end.
const STDOUT_TIME: Duration = Duration::from_secs(2);

/// An output.
enum Output {
    File(Destination),
    Stdout(StdoutThread),
}

impl Output {
    fn open(spec: &OutputSpec, status: &Arc<Mutex<WriterStatus>>) -> Result<Self> {
        Ok(match spec {
            OutputSpec::Stdout => Self::Stdout(StdoutThread::start(status)?),
            OutputSpec::File(_) => Self::File(Destination::open(spec)),
        })
    }

    fn counts(&self) -> LineCounts {
        match self {
            Self::File(destination) => destination.counts(),
            Self::Stdout(thread) => thread.counts(),
        }
    }
}

/// Writes lines to stdout.
struct StdoutThread {
    queue: Arc<EventQueue<()>>,
    counts: Arc<Mutex<LineCounts>>,
}

impl StdoutThread {
    fn start(status: &Arc<Mutex<WriterStatus>>) -> Result<Self> {
        let this = Self { queue: Arc::default(), counts: Arc::default() };
        let (queue, counts, status) = (this.queue.clone(), this.counts.clone(), status.clone());
        spawn("stdout-writer", move || {
            let mut stdout = Destination::open(&OutputSpec::Stdout);
            while let Job::Write(entry) = queue.next() {
                if let Err(e) = stdout.write(&entry.line) {
                    log::error!("stdout: {e}; the service ends");
                    lock(&status).stdout_closed = true;
                    break;
                }
                *counts.lock().unwrap_or_else(PoisonError::into_inner) = stdout.counts();
            }
            queue.ended();
        })?;
        Ok(this)
    }

    fn write(&self, entry: &Entry) {
        if self.queue.push(entry.clone()) == Pushed::FirstLost {
            log::error!("stdout is not read; event lines for it are lost until it is");
        }
    }

    fn counts(&self) -> LineCounts {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        LineCounts { lost: counts.lost + self.queue.lost(), ..counts }
    }
}

/// The thread that writes files and the state.
struct WriterThread {
    spec: WriterSpec,
    outputs: Vec<Output>,
    state: State,
    /// Line counts of outputs that were replaced.
    closed_counts: LineCounts,
    status: Arc<Mutex<WriterStatus>>,
}

impl WriterThread {
    fn new(spec: WriterSpec, status: Arc<Mutex<WriterStatus>>) -> Result<Self> {
        let outputs = spec.outputs.iter().map(|output| Output::open(output, &status)).collect::<Result<_>>()?;
        let state = State::open(spec.state.clone());
        let writer = Self { spec, outputs, state, closed_counts: LineCounts::default(), status };
        writer.report();
        Ok(writer)
    }

    fn run(&mut self, queue: &EventQueue<WriterSpec>) {
        loop {
            match queue.next() {
                Job::Write(entry) => self.record_and_write(&entry),
                Job::Configure(spec) => self.configure(spec),
                Job::End => break,
            }
            self.report();
        }
        for output in &self.outputs {
            if let Output::Stdout(thread) = output {
                thread.queue.end(STDOUT_TIME);
            }
        }
        self.report();
    }

    /// Ends the events that an earlier run left open.
    fn end_interrupted(&mut self) {
        let interrupted = self.state.interrupted();
        if !interrupted.is_empty() {
            log::warn!("{} events were open when the service last stopped; ending them now", interrupted.len());
        }
        for (id, line) in interrupted {
            self.record_and_write(&Entry { id, kind: EventKind::End, line: line.to_string() });
            self.report();
        }
    }

    /// A start is recorded before it is written and an end after it, so that a process that is killed in between may
    /// write an end twice, but every event has one.
    fn record_and_write(&mut self, entry: &Entry) {
        let value = || serde_json::from_str(&entry.line).unwrap_or_default();
        match entry.kind {
            EventKind::New => self.state.started(&entry.id, value()),
            EventKind::Update => self.state.updated(&entry.id, value()),
            EventKind::End => {}
        }
        for output in &mut self.outputs {
            match output {
                // Files count lost lines and do not fail.
                Output::File(file) => drop(file.write(&entry.line)),
                Output::Stdout(thread) => thread.write(entry),
            }
        }
        if entry.kind == EventKind::End {
            self.state.ended(&entry.id);
        }
    }

    fn configure(&mut self, spec: WriterSpec) {
        if self.spec.outputs != spec.outputs {
            match spec.outputs.iter().map(|output| Output::open(output, &self.status)).collect::<Result<Vec<_>>>() {
                Ok(outputs) => {
                    self.closed_counts = self.counts();
                    for old in std::mem::replace(&mut self.outputs, outputs) {
                        if let Output::Stdout(thread) = old {
                            thread.queue.end(Duration::ZERO);
                        }
                    }
                }
                Err(e) => log::error!("the outputs are not changed: {e}"),
            }
        }
        self.state.move_to(spec.state.clone());
        self.spec = spec;
    }

    fn counts(&self) -> LineCounts {
        self.outputs.iter().map(Output::counts).fold(self.closed_counts, |sum, one| LineCounts {
            written: sum.written + one.written,
            lost: sum.lost + one.lost,
        })
    }

    fn report(&self) {
        let record = self.state.record();
        let mut status = lock(&self.status);
        status.counts = self.counts();
        status.open_events = record.open.len();
        (status.starts, status.ended) = (record.starts, record.ended);
    }
}
