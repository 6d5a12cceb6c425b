//! The threads that write event lines: one for files and the state, which wait for the disk, and one for stdout, whose
//! reader may stall.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bike_edge::events::EventKind;
use bike_edge::output::{EventFile, JsonLines, LineCounts, OutputSpec};
use bike_edge::{Error, Result};

use super::event_queue::{Entry, EventQueue, Job, Pushed};
use super::state::State;

/// Where lines are written and what is recorded.
#[derive(Clone, Debug)]
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
    /// Stdout is an output, and nobody reads it any more.
    pub stdout_closed: bool,
    /// The writing thread has ended although it should not.
    pub failed: bool,
}

/// What the threads share with the loop.
#[derive(Default)]
struct Shared {
    status: Mutex<WriterStatus>,
    /// Set if stdout is closed; `None` if it is no output.
    stdout: Mutex<Option<Arc<AtomicBool>>>,
}

/// The writing threads, seen from the loop.
pub(super) struct EventWriter {
    queue: Arc<EventQueue<WriterSpec>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl EventWriter {
    /// Starts writing. Events that an earlier run left open are ended first.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(spec: WriterSpec) -> Result<Self> {
        let (queue, shared) = (Arc::<EventQueue<_>>::default(), Arc::<Shared>::default());
        let mut writer = WriterThread::new(spec, shared.clone())?;
        let thread = {
            let queue = queue.clone();
            spawn("event-writer", move || {
                let _end_guard = EndGuard(&queue);
                writer.end_interrupted();
                writer.run(&queue);
            })?
        };
        Ok(Self { queue, shared, thread: Some(thread) })
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
        let mut status = lock(&self.shared.status).clone();
        status.counts.lost += self.queue.lost();
        status.failed = self.queue.has_ended();
        status.stdout_closed = lock(&self.shared.stdout).as_ref().is_some_and(|closed| closed.load(Ordering::Relaxed));
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

/// Reports the end of a writer, also if it panics.
struct EndGuard<'a, C>(&'a EventQueue<C>);

impl<C> Drop for EndGuard<'_, C> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let failed = |e| Error::Internal(format!("thread {name} cannot be started: {e}"));
    thread::Builder::new().name(name.into()).spawn(work).map_err(failed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long lines for stdout are waited for at the end.
const STDOUT_TIME: Duration = Duration::from_secs(2);

/// An output.
enum Output {
    File(FileOutput),
    Stdout(StdoutThread),
}

/// A file, and the ends that it has lost. They are written before the next line, so that every event ends.
struct FileOutput {
    file: EventFile,
    lost_ends: VecDeque<Entry>,
}

impl FileOutput {
    /// Writes a line; returns whether it is in the file.
    fn write(&mut self, entry: &Entry) -> bool {
        let written = self.file.write_line(&entry.line);
        if !written && entry.kind == EventKind::End {
            if self.lost_ends.len() == MAX_LOST_ENDS {
                self.lost_ends.pop_front();
            }
            self.lost_ends.push_back(entry.clone());
        }
        written
    }

    /// Writes the ends that were lost, up to the first failure; returns their ids.
    fn retry(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(end) = self.lost_ends.front()
            && self.file.try_line(&end.line)
        {
            ids.extend(self.lost_ends.pop_front().map(|end| end.id));
        }
        ids
    }
}

impl Output {
    fn open(spec: &OutputSpec) -> Result<Self> {
        Ok(match spec {
            OutputSpec::Stdout => Self::Stdout(StdoutThread::start()?),
            OutputSpec::File(file) => Self::File(FileOutput { file: EventFile::new(file), lost_ends: VecDeque::new() }),
        })
    }

    fn counts(&self) -> LineCounts {
        match self {
            Self::File(output) => output.file.counts(),
            Self::Stdout(thread) => thread.counts(),
        }
    }
}

/// Writes lines to stdout.
struct StdoutThread {
    queue: Arc<EventQueue<()>>,
    written: Arc<AtomicU64>,
    /// Lines that were not written at the end.
    left: u64,
    /// Set if nobody reads stdout any more.
    closed: Arc<AtomicBool>,
}

impl StdoutThread {
    fn start() -> Result<Self> {
        let this = Self { queue: Arc::default(), written: Arc::default(), left: 0, closed: Arc::default() };
        let (queue, written, closed) = (this.queue.clone(), this.written.clone(), this.closed.clone());
        spawn("stdout-writer", move || {
            let _end_guard = EndGuard(&queue);
            let mut stdout = JsonLines::new(std::io::stdout());
            while let Job::Write(entry) = queue.next() {
                if let Err(e) = stdout.write_line(&entry.line) {
                    log::debug!("stdout: {e}");
                    closed.store(true, Ordering::Relaxed);
                    break;
                }
                written.store(stdout.written(), Ordering::Relaxed);
            }
        })?;
        Ok(this)
    }

    fn write(&self, entry: &Entry) {
        if self.queue.push(entry.clone()) == Pushed::FirstLost {
            log::error!("stdout is not read; event lines for it are lost until it is");
        }
    }

    fn counts(&self) -> LineCounts {
        LineCounts { written: self.written.load(Ordering::Relaxed), lost: self.queue.lost() + self.left }
    }

    /// Waits at most `time` for the lines that are not written yet.
    fn end(&mut self, time: Duration) {
        self.left = self.queue.end(time) as u64;
        if self.left > 0 {
            log::error!("stdout is not read; {} event lines for it are lost", self.left);
        }
    }
}

fn sum(a: LineCounts, b: LineCounts) -> LineCounts {
    LineCounts { written: a.written + b.written, lost: a.lost + b.lost }
}

/// Lost ends of a file that are kept, at most: far more than open events.
const MAX_LOST_ENDS: usize = 1024;

/// The thread that writes files and the state.
struct WriterThread {
    outputs: Vec<(OutputSpec, Output)>,
    state: State,
    /// Line counts of outputs that were replaced.
    closed_counts: LineCounts,
    shared: Arc<Shared>,
}

impl WriterThread {
    fn new(spec: WriterSpec, shared: Arc<Shared>) -> Result<Self> {
        let open = |spec: OutputSpec| Output::open(&spec).map(|output| (spec, output));
        let outputs = spec.outputs.into_iter().map(open).collect::<Result<_>>()?;
        let (state, closed_counts) = (State::open(spec.state), LineCounts::default());
        let writer = Self { outputs, state, closed_counts, shared };
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
        for (_, output) in &mut self.outputs {
            if let Output::Stdout(thread) = output {
                thread.end(STDOUT_TIME);
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
        let mut written = false;
        for (_, output) in &mut self.outputs {
            match output {
                Output::File(file) => {
                    file.retry().iter().for_each(|id| self.state.ended(id));
                    written |= file.write(entry);
                }
                Output::Stdout(thread) => {
                    thread.write(entry);
                    written = true;
                }
            }
        }
        // An end that no output has stays open in the state: if the service stops before it is written, the next start
        // ends it.
        if entry.kind == EventKind::End && written {
            self.state.ended(&entry.id);
        }
    }

    fn configure(&mut self, spec: WriterSpec) {
        let mut old = std::mem::take(&mut self.outputs);
        for wanted in spec.outputs {
            // Outputs that stay are not opened again: above all there is one stdout.
            let output = match old.iter().position(|(spec, _)| *spec == wanted) {
                Some(at) => Ok(old.remove(at).1),
                None => Output::open(&wanted),
            };
            match output {
                Ok(output) => self.outputs.push((wanted, output)),
                Err(e) => log::error!("an output is left out: {e}"),
            }
        }
        for (_, mut output) in old {
            if let Output::Stdout(thread) = &mut output {
                thread.end(STDOUT_TIME);
            }
            self.closed_counts = sum(self.closed_counts, output.counts());
        }
        self.state.move_to(spec.state);
    }

    fn counts(&self) -> LineCounts {
        self.outputs.iter().map(|(_, output)| output.counts()).fold(self.closed_counts, sum)
    }

    fn report(&self) {
        let record = self.state.record();
        let mut status = lock(&self.shared.status);
        status.counts = self.counts();
        status.open_events = record.open.len();
        (status.starts, status.ended) = (record.starts, record.ended);
        *lock(&self.shared.stdout) = self.outputs.iter().find_map(|(_, output)| match output {
            Output::Stdout(thread) => Some(thread.closed.clone()),
            Output::File(_) => None,
        });
    }
}
