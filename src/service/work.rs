//! One turn after the other: frames, governor, figures, a word to systemd.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::book::Book;
use super::metrics::{Kind, Metrics};
use super::pace::{Pace, reason};
use super::systemd::Systemd;
use super::totals::Totals;
use super::watched::{Shared, Watched};
use crate::config::service::ServiceConfig;
use crate::error::{Error, Result};
use crate::health::current_rss_bytes;
use crate::pipeline::Engine;
use crate::source::{Seconds, redact};

/// A turn lasts about this long at most, so that signals and watchdog are heeded.
const TURN: Duration = Duration::from_millis(200);

/// With several cameras one after the other is looked at; none waits long for another.
const TURN_OF_SEVERAL: Duration = Duration::from_millis(40);

/// A camera without a frame for so many strides is said to be lost.
const LOST_STRIDES: f64 = 4.0;

/// All that the service is.
pub(super) struct Service {
    pub path: PathBuf,
    pub began: Instant,
    pub config: ServiceConfig,
    pub systemd: Systemd,
    pub engine: Engine,
    pub shared: Shared,
    pub cameras: Vec<Watched>,
    pub book: Book,
    pub pace: Pace,
    /// Configurations taken and refused.
    pub reloads: (u64, u64),
    /// When any camera last gave a frame.
    pub last_frame: Instant,
    pub due: Due,
}

/// When things that are done now and then are done next.
pub(super) struct Due {
    status: Instant,
    metrics: Instant,
    metrics_failing: bool,
}

impl Due {
    pub fn new(now: Instant) -> Self {
        Self { status: now, metrics: now, metrics_failing: false }
    }
}

/// How a turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Go on.
    Done,
    /// No camera has given a frame for longer than the configuration allows.
    Silent,
}

impl Service {
    /// Says that all is set up.
    pub fn announce(&self) {
        let cameras: Vec<_> = self.config.cameras.iter().map(|camera| camera.name.as_str()).collect();
        let bundle = &self.engine.bundle.manifest;
        let stride = self.shared.stride;
        let took = self.began.elapsed().as_secs_f64();
        log::info!(
            "ready after {took:.1} s: bundle {} {}, a frame every {stride} s, cameras {}",
            bundle.name,
            bundle.version,
            cameras.join(", ")
        );
        self.systemd.ready();
    }

    /// Looks at every camera once, and does what is due.
    ///
    /// # Errors
    /// A reader of stdout that has gone, or a fault of ours.
    pub fn turn(&mut self) -> Result<Turn> {
        let wait = match self.cameras.len() {
            0 | 1 => TURN,
            several => TURN_OF_SEVERAL / several as u32,
        };
        let stride = self.stride();
        for camera in &mut self.cameras {
            camera.turn(&mut self.engine, &self.shared, &mut self.book, stride, wait)?;
        }
        self.govern(stride);
        self.tell_figures();
        self.systemd.alive();
        let newest = self.cameras.iter().filter_map(Watched::stepped).max();
        self.last_frame = newest.map_or(self.last_frame, |when| when.max(self.last_frame));
        let patience = self.config.exit_without_frames_s;
        let silent = patience > 0.0 && self.last_frame.elapsed().as_secs_f64() > patience;
        Ok(if silent { Turn::Silent } else { Turn::Done })
    }

    /// Ends what goes on.
    ///
    /// # Errors
    /// A reader of stdout that has gone.
    pub fn stop(mut self) -> Result<ExitCode> {
        let began = Instant::now();
        self.systemd.stopping();
        for camera in &mut self.cameras {
            camera.close(&self.shared, &mut self.book)?;
        }
        self.write_metrics();
        log::info!("stopped within {:.1} s", began.elapsed().as_secs_f64());
        Ok(ExitCode::SUCCESS)
    }

    /// Ends as nothing is seen any more, so that whoever watches over the service starts it anew.
    ///
    /// # Errors
    /// Always.
    pub fn give_up(self) -> Result<ExitCode> {
        let patience = self.config.exit_without_frames_s;
        self.stop()?;
        Err(Error::input("all cameras", format!("no frame for {patience} s (health.exit_without_frames_s)")))
    }

    /// Seconds between sampled frames, as the governor has it.
    pub fn stride(&self) -> Seconds {
        self.shared.stride * self.pace.factor()
    }

    fn govern(&mut self, stride: Seconds) {
        let totals = self.totals();
        if self.pace.look(totals.steps, totals.worked, self.cameras.len(), stride) {
            let stride = self.stride();
            self.cameras.iter_mut().for_each(|camera| camera.set_stride(stride));
        }
    }

    fn tell_figures(&mut self) {
        let now = Instant::now();
        if now >= self.due.status {
            self.due.status = now + Duration::from_secs_f64(self.config.status_s);
            self.systemd.status(&self.status());
        }
        if now >= self.due.metrics {
            self.write_metrics();
        }
    }

    /// All cameras together.
    fn totals(&self) -> Totals {
        self.cameras.iter().map(Watched::totals).fold(Totals::default(), |mut sum, one| {
            sum.steps += one.steps;
            sum.worked += one.worked;
            sum
        })
    }

    fn is_up(&self, camera: &Watched) -> bool {
        let patience = (self.stride() * LOST_STRIDES).max(camera.config.timeout_s);
        camera.stepped().is_some_and(|when| when.elapsed().as_secs_f64() < patience)
    }

    fn status(&self) -> String {
        let up = self.cameras.iter().filter(|camera| self.is_up(camera)).count();
        let pace = self.pace.why.map_or(String::new(), |why| format!(" (slowed: {})", reason(why)));
        format!(
            "{up} of {} cameras, a frame every {:.2} s{pace}, {} events go on",
            self.cameras.len(),
            self.stride(),
            self.book.open_events()
        )
    }

    fn write_metrics(&mut self) {
        let Some(config) = self.config.metrics.clone() else { return };
        self.due.metrics = Instant::now() + Duration::from_secs_f64(config.every_s);
        match self.metrics().write(&config.path) {
            Ok(()) => self.due.metrics_failing = false,
            Err(e) if !std::mem::replace(&mut self.due.metrics_failing, true) => {
                log::error!("{}: cannot be written ({e})", config.path.display());
            }
            Err(_) => {}
        }
    }

    fn metrics(&self) -> Metrics {
        use Kind::{Counter, Gauge};
        let mut m = Metrics::default();
        let bundle = &self.engine.bundle.manifest;
        let versions =
            [("version", env!("CARGO_PKG_VERSION")), ("bundle", &bundle.name), ("bundle_version", &bundle.version)];
        m.add(Gauge, "info", "What runs.", &versions, 1);
        m.add(Gauge, "up_seconds", "Time since the start.", &[], self.began.elapsed().as_secs());
        let (starts, ended) = self.book.lifetime();
        m.add(Counter, "starts_total", "Starts since the state began.", &[], starts);
        m.add(Counter, "lifetime_events_total", "Events ended since the state began.", &[], ended);
        m.add(Gauge, "resident_bytes", "Memory held.", &[], current_rss_bytes().unwrap_or(0));
        m.add(Gauge, "stride_seconds", "Time between sampled frames.", &[], self.stride());
        m.add(Gauge, "stride_factor", "By how much the governor stretches it.", &[], self.pace.factor());
        m.add(Counter, "governor_changes_total", "Times that it was changed.", &[], self.pace.changes());
        m.add(Gauge, "load", "Work of a step over the time there is for it.", &[], self.pace.load);
        if let Some(celsius) = self.pace.temperature_c {
            m.add(Gauge, "temperature_celsius", "The hottest thermal zone.", &[], celsius);
        }
        let lines = self.book.counts();
        m.add(Counter, "lines_total", "Event lines.", &[("result", "written")], lines.written);
        m.add(Counter, "lines_total", "Event lines.", &[("result", "lost")], lines.lost);
        m.add(Counter, "reloads_total", "Configurations read again.", &[("result", "taken")], self.reloads.0);
        m.add(Counter, "reloads_total", "Configurations read again.", &[("result", "refused")], self.reloads.1);
        m.add(Gauge, "open_events", "Events that go on.", &[], self.book.open_events());
        self.camera_metrics(&mut m);
        m
    }

    fn camera_metrics(&self, m: &mut Metrics) {
        use Kind::{Counter, Gauge};
        let all: Vec<(&Watched, Totals)> = self.cameras.iter().map(|camera| (camera, camera.totals())).collect();
        // No secret is in a name, but whoever writes it there should not find it here.
        let names: Vec<String> = all.iter().map(|(camera, _)| redact(&camera.config.name)).collect();
        let mut each = |kind, name, help, label: Option<(&str, &str)>, value: &dyn Fn(&Watched, &Totals) -> f64| {
            for ((camera, totals), shown) in all.iter().zip(&names) {
                let labels = [("camera", shown.as_str()), label.unwrap_or_default()];
                let labels = if label.is_some() { &labels[..] } else { &labels[..1] };
                m.add(kind, name, help, labels, value(camera, totals));
            }
        };
        each(Gauge, "camera_up", "Whether frames come.", None, &|camera, _| f64::from(u8::from(self.is_up(camera))));
        let frames = "Frames of the source, by what became of them.";
        each(Counter, "frames_total", frames, Some(("what", "captured")), &|_, t| t.source.captured as f64);
        each(Counter, "frames_total", frames, Some(("what", "passed")), &|_, t| t.source.passed as f64);
        each(Counter, "frames_total", frames, Some(("what", "dropped")), &|_, t| t.source.dropped as f64);
        each(Counter, "frames_total", frames, Some(("what", "corrupt")), &|_, t| t.source.corrupt as f64);
        each(Counter, "frames_total", frames, Some(("what", "short")), &|_, t| t.source.short as f64);
        each(Counter, "timeouts_total", "Times that no frame came.", None, &|_, t| t.source.timeouts as f64);
        each(Counter, "losses_total", "Times that the camera was lost.", None, &|_, t| t.losses as f64);
        each(Counter, "reconnects_total", "Times that it came back.", None, &|_, t| t.source.reconnects as f64);
        each(Counter, "steps_total", "Frames sampled.", None, &|_, t| t.steps as f64);
        let gate = "What the gate said of sampled frames.";
        each(Counter, "gate_total", gate, Some(("verdict", "encode")), &|_, t| t.gate.encoded as f64);
        each(Counter, "gate_total", gate, Some(("verdict", "still")), &|_, t| t.gate.still as f64);
        each(Counter, "gate_total", gate, Some(("verdict", "dark")), &|_, t| t.gate.dark as f64);
        each(Counter, "gate_total", gate, Some(("verdict", "flat")), &|_, t| t.gate.flat as f64);
        each(Counter, "encode_seconds_total", "Time in cutting and encoding.", None, &|_, t| t.encoding.as_secs_f64());
        each(Counter, "work_seconds_total", "Time in all of a step.", None, &|_, t| t.worked.as_secs_f64());
        each(Counter, "events_total", "Events begun.", None, &|_, t| t.events as f64);
    }
}
