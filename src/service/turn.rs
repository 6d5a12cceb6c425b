//! One turn of the service's loop: frames, governor, metrics, status.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bike_edge::pipeline::Engine;
use bike_edge::units::Seconds;
use bike_edge::{Error, Result};

use super::camera_worker::{CameraWorker, StreamSettings, Totals};
use super::event_log::EventLog;
use super::loading::PendingReload;
use super::metrics_writer::MetricsWriter;
use super::rate::{RateControl, describe};
use super::systemd::Systemd;
use crate::config::ServiceSettings;

/// Longest wait for a frame per turn with one camera, so that signals and the watchdog are handled in time.
const POLL_BUDGET_SINGLE: Duration = Duration::from_millis(200);

/// Time shared by all cameras per turn, so that no camera waits long for another.
const POLL_BUDGET_SHARED: Duration = Duration::from_millis(40);

/// A camera without a frame for this many strides counts as down.
const DOWN_STRIDES: f64 = 4.0;

/// The state of the service.
pub(super) struct Service {
    pub path: PathBuf,
    pub started: Instant,
    pub settings: ServiceSettings,
    pub systemd: Systemd,
    pub engine: Engine,
    pub streams: StreamSettings,
    pub cameras: Vec<CameraWorker>,
    pub event_log: EventLog,
    pub metrics_writer: MetricsWriter,
    pub rate: RateControl,
    pub reloads: ReloadCounts,
    pub pending_reload: Option<PendingReload>,
    /// When a frame of any camera was last sampled.
    pub last_frame: Instant,
    pub schedule: Schedule,
}

/// How many reloads were applied and refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReloadCounts {
    pub applied: u64,
    pub refused: u64,
}

/// When periodic work is due.
pub(super) struct Schedule {
    status: Instant,
    metrics: Instant,
}

impl Schedule {
    pub fn new(now: Instant) -> Self {
        Self { status: now, metrics: now }
    }
}

/// The result of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnOutcome {
    /// Continue with the next turn.
    Running,
    /// No frame was sampled for longer than the configuration allows.
    Silent,
}

impl Service {
    /// Reports that the service has started.
    pub fn report_ready(&self) {
        let cameras: Vec<_> = self.settings.cameras.iter().map(|camera| camera.name.as_str()).collect();
        let bundle = &self.engine.bundle.manifest;
        let stride = self.streams.stride;
        let elapsed = self.started.elapsed().as_secs_f64();
        log::info!(
            "ready after {elapsed:.1} s: bundle {} {}, a frame every {stride} s, cameras {}",
            bundle.name,
            bundle.version,
            cameras.join(", ")
        );
        self.systemd.ready();
    }

    /// Polls every camera once, and does the periodic work that is due.
    ///
    /// # Errors
    /// If stdout is closed, or an internal error.
    pub fn turn(&mut self, stop_is_requested: &dyn Fn() -> bool) -> Result<TurnOutcome> {
        let wait = match self.cameras.len() {
            0 | 1 => POLL_BUDGET_SINGLE,
            several => POLL_BUDGET_SHARED / several as u32,
        };
        self.finish_reload()?;
        let stride = self.stride();
        for camera in &mut self.cameras {
            camera.poll(&mut self.engine, &self.streams, &mut self.event_log, stride, wait)?;
            // A step of a large model on a slow board takes seconds, and there may be many cameras.
            self.systemd.ping();
            if stop_is_requested() {
                return Ok(TurnOutcome::Running);
            }
        }
        self.event_log.check()?;
        self.adapt_rate(stride);
        self.report();
        self.systemd.ping();
        let newest = self.cameras.iter().filter_map(CameraWorker::last_step).max();
        self.last_frame = newest.map_or(self.last_frame, |when| when.max(self.last_frame));
        let limit = self.settings.health.exit_without_frames_s;
        let silent = limit > 0.0 && self.last_frame.elapsed().as_secs_f64() > limit;
        Ok(if silent { TurnOutcome::Silent } else { TurnOutcome::Running })
    }

    /// Ends the open events and stops.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn stop(mut self) -> Result<ExitCode> {
        let started = Instant::now();
        self.systemd.stopping();
        // An error of one camera must not keep the others from being closed.
        let mut outcome = Ok(());
        for camera in &mut self.cameras {
            outcome = outcome.and(camera.start_closing(&self.streams, &mut self.event_log));
        }
        for camera in &mut self.cameras {
            outcome = outcome.and(camera.close(&self.streams, &mut self.event_log));
        }
        self.event_log.end();
        self.write_metrics();
        self.metrics_writer.end();
        log::info!("stopped within {:.1} s", started.elapsed().as_secs_f64());
        outcome.map(|()| ExitCode::SUCCESS)
    }

    /// Stops with an error because no camera delivers frames, so that systemd restarts the service.
    ///
    /// # Errors
    /// Always returns an error.
    pub fn stop_without_frames(self) -> Result<ExitCode> {
        let limit = self.settings.health.exit_without_frames_s;
        self.stop()?;
        Err(Error::input("all cameras", format!("no frame for {limit} s (health.exit_without_frames_s)")))
    }

    /// Returns the current seconds between sampled frames, including the governor's factor.
    pub fn stride(&self) -> Seconds {
        self.streams.stride * self.rate.factor()
    }

    /// Returns whether a camera delivers frames.
    pub fn is_up(&self, camera: &CameraWorker) -> bool {
        let limit = (self.stride() * DOWN_STRIDES).max(camera.settings.read.timeout_s);
        camera.last_step().is_some_and(|when| when.elapsed().as_secs_f64() < limit)
    }

    fn adapt_rate(&mut self, stride: Seconds) {
        let totals: Vec<Totals> = self.cameras.iter().map(CameraWorker::totals).collect();
        let (steps, processing_time) =
            (totals.iter().map(|t| t.steps).sum(), totals.iter().map(|t| t.processing_time).sum());
        if self.rate.measure(steps, processing_time, self.cameras.len(), stride) {
            let stride = self.stride();
            self.cameras.iter_mut().for_each(|camera| camera.set_stride(stride));
        }
    }

    /// Reports status and metrics if they are due.
    fn report(&mut self) {
        let now = Instant::now();
        if now >= self.schedule.status {
            self.schedule.status = now + Duration::from_secs_f64(self.settings.health.status_s);
            self.systemd.status(&self.status());
        }
        if now >= self.schedule.metrics {
            self.write_metrics();
        }
    }

    fn status(&self) -> String {
        let up = self.cameras.iter().filter(|camera| self.is_up(camera)).count();
        let slowed = self.rate.reason.map_or(String::new(), |reason| format!(" (slowed: {})", describe(reason)));
        format!(
            "{up} of {} cameras, a frame every {:.2} s{slowed}, {} open events",
            self.cameras.len(),
            self.stride(),
            self.event_log.status().open_events
        )
    }

    fn write_metrics(&mut self) {
        let Some(path) = self.settings.metrics.path.clone() else { return };
        self.schedule.metrics = Instant::now() + Duration::from_secs_f64(self.settings.metrics.interval_s);
        self.metrics_writer.write(path, self.metrics().into_text());
    }
}
