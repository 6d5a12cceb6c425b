//! A camera of the configuration. A worker opens it, polls it, and opens it again after a failure. It runs
//! on the main thread; the source has a thread of its own that reads.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bike_edge::Result;
use bike_edge::events::{EventKind, EventReport};
use bike_edge::output::EventSource;
use bike_edge::pipeline::{
    Engine, GateCounts, Progress, Session, SessionSpec, Step, StreamRunner, StreamSource, Update,
};
use bike_edge::source::{LiveCounts, open_live};
use bike_edge::units::Seconds;

use super::event_log::EventLog;
use crate::config::{CameraSettings, ServiceSettings, advise};

/// Number of sampled frames after which a reopened camera is considered recovered.
const RECOVERED_STEPS: u64 = 10;

/// The first wait before a failed camera is opened again.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait before a failed camera is opened again.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The settings that the streams of all cameras share.
#[derive(PartialEq)]
pub(super) struct StreamSettings {
    /// Seconds between sampled frames at full rate.
    pub stride: Seconds,
    spec: SharedSpec,
    categories: Arc<[String]>,
    phrases: Arc<[String]>,
}

/// The parts of a session's spec that all cameras share.
#[derive(Clone, PartialEq)]
struct SharedSpec {
    events: bike_edge::events::EventSpec,
    gate: bike_edge::pipeline::GateSpec,
    max_stretch: f64,
}

impl StreamSettings {
    /// Takes the shared settings from a configuration and the loaded model. Logs what does not fit together.
    pub fn new(settings: &ServiceSettings, engine: &Engine) -> Self {
        let mut events = settings.events.clone();
        advise(&settings.layers, &mut events, engine).iter().for_each(|advice| log::warn!("{advice}"));
        let spec = SharedSpec { events, gate: settings.gate, max_stretch: settings.max_stretch() };
        Self {
            stride: engine.model.stride_s,
            spec,
            categories: engine.categories().into(),
            phrases: engine.phrases().into(),
        }
    }

    fn session(&self, settings: &CameraSettings, engine: &Engine) -> Result<Session> {
        let SharedSpec { events, gate, max_stretch } = self.spec.clone();
        Session::new(
            engine,
            &SessionSpec {
                // Stream time starts at 0 each time a camera is opened, so the ids of events need a part that is unique
                // per opening.
                camera: format!("{}@{}", settings.name, unique_open_id()),
                region: settings.region,
                events,
                gate,
                follow: settings.follow,
                max_stretch,
                ..SessionSpec::default()
            },
        )
    }
}

/// A camera and its counts.
pub(super) struct CameraWorker {
    /// As configured.
    pub settings: CameraSettings,
    input: String,
    /// A session that was created but not used yet, for the next opening.
    unused_session: Option<Session>,
    runner: Option<StreamRunner<'static>>,
    retry: Retry,
    /// Counts since the start of the service. Each step, event and loss is added when it happens; [`Self::totals`]
    /// adds the counts of the gate and of the source of `runner`.
    counted: Totals,
    /// When a frame was last sampled.
    last_step: Option<Instant>,
}

impl CameraWorker {
    /// Creates the worker of a camera that is not open yet.
    ///
    /// # Errors
    /// Settings that do not fit the bundle, at their line.
    pub fn new(
        all: &ServiceSettings,
        settings: &CameraSettings,
        streams: &StreamSettings,
        engine: &Engine,
    ) -> Result<Self> {
        let unused_session = streams.session(settings, engine).map_err(|e| all.layers.locate(e))?;
        let (input, retry, counted) = (settings.address.to_string(), Retry::default(), Totals::default());
        let settings = settings.clone();
        Ok(Self {
            settings,
            input,
            unused_session: Some(unused_session),
            runner: None,
            retry,
            counted,
            last_step: None,
        })
    }

    /// Waits at most `wait` for a frame, processes it and writes its events. A camera that fails is opened again later.
    ///
    /// # Errors
    /// An internal error.
    pub fn poll(
        &mut self,
        engine: &mut Engine,
        streams: &StreamSettings,
        event_log: &mut EventLog,
        stride: Seconds,
        wait: Duration,
    ) -> Result<()> {
        if self.runner.is_none() && !self.open(engine, streams, stride)? {
            std::thread::sleep(wait);
            return Ok(());
        }
        let Some(runner) = &mut self.runner else { return Ok(()) };
        let (counted, last_step) = (&mut self.counted, &mut self.last_step);
        let source = event_source(&self.settings, &self.input, streams);
        // An error of the output ends the service; an error of the camera does not.
        let mut written = Ok(());
        let polled = runner.poll(engine, wait, &mut |update| {
            let (events, captured) = match update {
                Update::Step { step, captured } => {
                    counted.count_step(&step);
                    *last_step = Some(Instant::now());
                    (step.events, captured)
                }
                Update::EventsEnded { events, captured } => (events, captured),
                // The source has logged the reason.
                Update::ConnectionLost(_) => {
                    counted.losses += 1;
                    return Ok(());
                }
            };
            counted.count_events(events);
            if written.is_ok() {
                written = event_log.write(events, source, captured);
            }
            Ok(())
        });
        written?;
        match polled {
            Ok(Progress::Continue) => {
                // A camera may deliver a few frames and fail again.
                if runner.session().steps() == RECOVERED_STEPS {
                    self.retry.succeeded(&self.settings.name);
                }
                Ok(())
            }
            Ok(Progress::Ended) => self.fail(streams, event_log, "its stream ended".into()),
            Err(e) => self.fail(streams, event_log, e.to_string()),
        }
    }

    /// Changes the seconds between sampled frames.
    pub fn set_stride(&mut self, stride: Seconds) {
        if let Some(runner) = &mut self.runner
            && let Err(e) = runner.set_stride(stride)
        {
            log::error!("camera {}: {e}", self.settings.name);
        }
    }

    /// Ends the open events and asks the source to stop, without waiting for it. [`Self::close`] follows, after this was
    /// called for every camera that is to be closed.
    ///
    /// # Errors
    /// An internal error.
    pub fn start_closing(&mut self, streams: &StreamSettings, event_log: &mut EventLog) -> Result<()> {
        self.end_events(streams, event_log)?;
        if let Some(runner) = &self.runner {
            runner.cancel();
        }
        Ok(())
    }

    /// Ends the open events and closes the camera.
    ///
    /// # Errors
    /// An internal error.
    pub fn close(&mut self, streams: &StreamSettings, event_log: &mut EventLog) -> Result<()> {
        self.end_events(streams, event_log)?;
        if let Some(runner) = self.runner.take() {
            self.counted.add(&runner);
        }
        Ok(())
    }

    fn end_events(&mut self, streams: &StreamSettings, event_log: &mut EventLog) -> Result<()> {
        let Some(runner) = &mut self.runner else { return Ok(()) };
        let source = event_source(&self.settings, &self.input, streams);
        runner.finish(&mut |update| match update {
            Update::EventsEnded { events, captured } => event_log.write(events, source, captured),
            Update::Step { .. } | Update::ConnectionLost(_) => Ok(()),
        })
    }

    /// Applies the settings of `new`, a worker of a camera of the same name that was not opened. The source stays open
    /// unless its own settings differ; counts continue. `same_streams`: what all cameras share has not changed. Returns
    /// whether nothing has changed.
    ///
    /// # Errors
    /// An internal error.
    pub fn reconfigure(
        &mut self,
        new: Self,
        same_streams: bool,
        old_streams: &StreamSettings,
        event_log: &mut EventLog,
    ) -> Result<bool> {
        if same_streams && self.settings == new.settings {
            return Ok(true);
        }
        if self.settings.has_same_source(&new.settings) {
            self.end_events(old_streams, event_log)?;
            match (&mut self.runner, new.unused_session) {
                (Some(runner), Some(session)) => self.counted.add_session(&runner.replace_session(session)),
                (_, session) => self.unused_session = session,
            }
        } else {
            self.close(old_streams, event_log)?;
            self.unused_session = new.unused_session;
        }
        // What failed before may work with the new settings.
        self.retry = new.retry;
        (self.settings, self.input) = (new.settings, new.input);
        Ok(false)
    }

    /// Counts since the start of the service.
    pub fn totals(&self) -> Totals {
        let mut totals = self.counted;
        if let Some(runner) = &self.runner {
            totals.add(runner);
        }
        totals
    }

    /// When a frame was last sampled.
    pub fn last_step(&self) -> Option<Instant> {
        self.last_step
    }

    /// Opens the camera if a retry is due. Returns whether it is open. An open source reopens a lost camera itself and
    /// still counts as open; this retry is for a source that could not be started or has failed for good.
    fn open(&mut self, engine: &Engine, streams: &StreamSettings, stride: Seconds) -> Result<bool> {
        if !self.retry.is_due() {
            return Ok(false);
        }
        let mut session = match self.unused_session.take() {
            Some(session) => session,
            None => streams.session(&self.settings, engine)?,
        };
        session.set_stride(stride)?;
        match open_live(self.settings.address.reveal(), &self.settings.live_options()) {
            Ok(source) => {
                self.runner = Some(StreamRunner::new(session, StreamSource::Live(source)));
                Ok(true)
            }
            Err(e) => {
                self.unused_session = Some(session);
                self.retry.failed(&self.settings.name, e.to_string());
                Ok(false)
            }
        }
    }

    fn fail(&mut self, streams: &StreamSettings, event_log: &mut EventLog, problem: String) -> Result<()> {
        self.close(streams, event_log)?;
        self.retry.failed(&self.settings.name, problem);
        Ok(())
    }
}

fn event_source<'a>(settings: &'a CameraSettings, input: &'a str, streams: &'a StreamSettings) -> EventSource<'a> {
    EventSource { camera: &settings.name, input, categories: &streams.categories, phrases: &streams.phrases }
}

/// Returns an id that is unique to each opening of a camera, also after restarts and clock changes.
fn unique_open_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static OPENINGS: AtomicU64 = AtomicU64::new(0);
    let number = OPENINGS.fetch_add(1, Ordering::Relaxed);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}-{number}", boot.trim(), std::process::id(), now.as_nanos())
}

/// Retries with a wait that doubles each time, up to a minute. Logs the same problem only once.
#[derive(Default)]
struct Retry {
    due: Option<Instant>,
    wait: Option<Duration>,
    logged: Option<String>,
}

impl Retry {
    fn is_due(&self) -> bool {
        self.due.is_none_or(|due| Instant::now() >= due)
    }

    fn failed(&mut self, name: &str, problem: String) {
        let wait = self.wait.map_or(FIRST_RETRY, |wait| (2 * wait).min(LONGEST_RETRY));
        self.wait = Some(wait);
        self.due = Some(Instant::now() + wait);
        if self.logged.as_ref() != Some(&problem) {
            log::error!("camera {name}: {problem}; retrying until it works");
            self.logged = Some(problem);
        }
    }

    fn succeeded(&mut self, name: &str) {
        if self.logged.take().is_some() {
            log::info!("camera {name}: works again");
        }
        (self.due, self.wait) = (None, None);
    }
}

/// Counts of a camera since the start of the service, over all its sessions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Frames at the source.
    pub source: LiveCounts,
    /// Frames at the gate.
    pub gate: GateCounts,
    /// Frames sampled.
    pub steps: u64,
    /// Time spent processing them.
    pub processing_time: Duration,
    /// Time spent preprocessing and encoding.
    pub encoding: Duration,
    /// How often the connection was lost.
    pub losses: u64,
    /// Events started.
    pub events: u64,
    /// Events that were not opened because too many were open.
    pub not_opened: u64,
}

impl Totals {
    fn count_step(&mut self, step: &Step<'_>) {
        self.steps += 1;
        self.processing_time += step.timings.total();
        self.encoding += step.timings.encode;
    }

    fn count_events(&mut self, events: &[EventReport]) {
        self.events += events.iter().filter(|event| event.kind == EventKind::New).count() as u64;
    }

    fn add(&mut self, runner: &StreamRunner<'_>) {
        self.source += runner.counts().unwrap_or_default();
        self.add_session(runner.session());
    }

    fn add_session(&mut self, session: &Session) {
        self.gate += session.gate_counts();
        self.not_opened += session.not_opened();
    }
}
