//! A camera of the configuration: opened, followed, opened again when it fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::Book;
use super::retry::Retry;
use super::totals::Totals;
use crate::config::service::{CameraConfig, ServiceConfig};
use crate::error::{Error, Result};
use crate::events::{EventKind, EventSpec};
use crate::pipeline::{Camera, Engine, Flow, GateSpec, Sampler, Session, SessionSpec, Told};
use crate::recognition::Lexicon;
use crate::output::EventSource;
use crate::source::{Seconds, open_live};

/// So many sampled frames after an opening are a recovery.
const STEADY_STEPS: u64 = 10;

/// What all cameras have in common.
pub(super) struct Shared {
    /// Seconds between sampled frames at full rate.
    pub stride: Seconds,
    events: EventSpec,
    gate: GateSpec,
    categories: Arc<[String]>,
    lexicon: Option<Arc<Lexicon>>,
}

impl Shared {
    /// # Errors
    /// Categories or settings of events that do not fit the bundle.
    pub fn new(config: &ServiceConfig, engine: &Engine) -> Result<Self> {
        let categories = engine.categories()?;
        let stride = engine.stride(config.stride_s);
        let background = &engine.bundle.manifest.defaults.background;
        let known: Vec<String> = background.iter().filter(|name| categories.contains(name)).cloned().collect();
        // However far the governor stretches it, a stride is no gap.
        let longest = stride * if config.governor.enabled { config.governor.slowest } else { 1.0 };
        let events = config.events.resolve(&known, longest);
        let events = events.map_err(|e| Error::input(&config.file, format!("events: {e}")))?;
        let lexicon = engine.bundle.lexicon().cloned();
        Ok(Self { stride, events, gate: config.gate, categories: categories.into(), lexicon })
    }

    /// Whether what cameras were made for still holds.
    pub fn is_as(&self, other: &Self) -> bool {
        let own = |shared: &Self| (shared.stride, shared.events.clone(), shared.gate);
        own(self) == own(other) && self.categories == other.categories
    }

    fn phrases(&self) -> &[String] {
        self.lexicon.as_ref().map_or(&[], |lexicon| &lexicon.phrases)
    }
}

/// A camera and what became of it.
pub(super) struct Watched {
    /// As configured.
    pub config: CameraConfig,
    input: String,
    /// A session that has seen nothing, for the next opening.
    fresh: Option<Session>,
    live: Option<Camera>,
    retry: Retry,
    /// Since the start, but for what `live` counts itself.
    past: Totals,
    /// When a frame was last sampled.
    stepped: Option<Instant>,
}

impl Watched {
    /// A camera that is not open yet.
    ///
    /// # Errors
    /// Settings that do not fit the bundle.
    pub fn new(config: &CameraConfig, shared: &Shared, engine: &Engine) -> Result<Self> {
        let fresh = session(config, shared, engine)?;
        let input = config.address.to_string();
        let (config, retry, past) = (config.clone(), Retry::default(), Totals::default());
        Ok(Self { config, input, fresh: Some(fresh), live: None, retry, past, stepped: None })
    }

    /// Waits at most `wait` for a frame and tells what comes of it. What fails is tried again later.
    ///
    /// # Errors
    /// A reader of stdout that has gone.
    pub fn turn(
        &mut self,
        engine: &mut Engine,
        shared: &Shared,
        book: &mut Book,
        stride: Seconds,
        wait: Duration,
    ) -> Result<()> {
        if self.live.is_none() && !self.open(engine, shared, stride)? {
            std::thread::sleep(wait);
            return Ok(());
        }
        let Some(live) = &mut self.live else { return Ok(()) };
        let (past, stepped, input, camera) =
            (&mut self.past, &mut self.stepped, self.input.as_str(), self.config.name.as_str());
        let source = EventSource { camera, input, categories: &shared.categories, phrases: shared.phrases() };
        // Whether an error is the output's, which ends the service, or the camera's, which does not.
        let mut output = Ok(());
        let polled = live.poll(engine, wait, &mut |told| {
            let (events, captured) = match told {
                Told::Step { step, captured } => {
                    past.step(&step);
                    *stepped = Some(Instant::now());
                    (step.events, captured)
                }
                Told::Ended { events, captured } => (events, captured),
                // Its source has logged why.
                Told::Lost(_) => {
                    past.losses += 1;
                    return Ok(());
                }
            };
            past.events += events.iter().filter(|event| event.kind == EventKind::New).count() as u64;
            if output.is_ok() {
                output = book.tell(events, source, captured);
            }
            Ok(())
        });
        output?;
        match polled {
            Ok(Flow::GoesOn) => {
                // A few frames may come of what soon fails again.
                if live.session().steps() == STEADY_STEPS {
                    self.retry.worked(&self.config.name);
                }
                Ok(())
            }
            Ok(Flow::Over) => self.fail(shared, book, "its stream ended".into()),
            Err(e) => self.fail(shared, book, e.to_string()),
        }
    }

    /// Changes the seconds between sampled frames.
    pub fn set_stride(&mut self, stride: Seconds) {
        if let Some(live) = &mut self.live
            && let Err(e) = live.session_mut().set_stride(stride)
        {
            log::error!("camera {}: {e}", self.config.name);
        }
    }

    /// Ends what goes on and lets the camera go.
    ///
    /// # Errors
    /// A reader of stdout that has gone.
    pub fn close(&mut self, shared: &Shared, book: &mut Book) -> Result<()> {
        let Some(mut live) = self.live.take() else { return Ok(()) };
        self.past.add(live.counts(), live.session().gate_counts());
        let (input, camera) = (self.input.as_str(), self.config.name.as_str());
        let source = EventSource { camera, input, categories: &shared.categories, phrases: shared.phrases() };
        live.finish(&mut |told| match told {
            Told::Ended { events, captured } => book.tell(events, source, captured),
            Told::Step { .. } | Told::Lost(_) => Ok(()),
        })
    }

    /// What happened since the start.
    pub fn totals(&self) -> Totals {
        let mut totals = self.past;
        if let Some(live) = &self.live {
            totals.add(live.counts(), live.session().gate_counts());
        }
        totals
    }

    /// When a frame was last sampled.
    pub fn stepped(&self) -> Option<Instant> {
        self.stepped
    }

    /// False where it is not open; a source that is lost and opens itself again counts as open.
    fn open(&mut self, engine: &Engine, shared: &Shared, stride: Seconds) -> Result<bool> {
        if !self.retry.is_due() {
            return Ok(false);
        }
        let mut session = match self.fresh.take() {
            Some(session) => session,
            None => session(&self.config, shared, engine)?,
        };
        session.set_stride(stride)?;
        match open_live(self.config.address.reveal(), &self.config.options()) {
            Ok(source) => {
                self.live = Some(Camera::new(session, source));
                Ok(true)
            }
            Err(e) => {
                self.fresh = Some(session);
                self.retry.failed(&self.config.name, e.to_string());
                Ok(false)
            }
        }
    }

    fn fail(&mut self, shared: &Shared, book: &mut Book, problem: String) -> Result<()> {
        self.close(shared, book)?;
        self.retry.failed(&self.config.name, problem);
        Ok(())
    }
}

fn session(config: &CameraConfig, shared: &Shared, engine: &Engine) -> Result<Session> {
    let spec = SessionSpec {
        // Stream time begins at 0 with every opening, so each opening's events need ids of their own.
        camera: format!("{}@{}", config.name, opening()),
        fit: config.fit,
        roi: config.roi,
        events: shared.events.clone(),
        gate: shared.gate,
    };
    Session::new(engine, &spec, Sampler::every(shared.stride)?)
}

/// Text that no other opening has, before and after restarts, whatever the clock says.
fn opening() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static OPENINGS: AtomicU64 = AtomicU64::new(0);
    let number = OPENINGS.fetch_add(1, Ordering::Relaxed);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}-{number}", boot.trim(), std::process::id(), now.as_nanos())
}
