//! The long-running service: reports the events of many cameras (docs/service.md).
//!
//! [`run`] starts the service and contains its loop. [`turn`] is one turn of the loop: [`camera_worker`] polls a
//! camera, [`event_log`] passes its events to [`event_writer`], which writes them and records which are open, [`rate`] measures heat and load for the
//! governor, and [`metrics`] and [`systemd`] report the state. [`reload`] applies a changed configuration.

mod camera_worker;
mod event_log;
mod event_queue;
mod event_writer;
mod loading;
mod metrics;
mod metrics_writer;
mod rate;
mod reload;
mod state;
mod systemd;
mod turn;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use bike_edge::Result;
use bike_edge::pipeline::Engine;

use crate::config::{Credentials, ServiceSettings, read_service_settings};
use crate::logging;
use crate::signals::{Request, ServiceSignals};
use camera_worker::{CameraWorker, StreamSettings};
use event_log::EventLog;
use loading::load_engine;
use metrics_writer::MetricsWriter;
use rate::RateControl;
use systemd::Systemd;
use turn::{Schedule, Service, TurnOutcome};

/// Creates everything that a configuration describes, except open cameras and files. Returns the engine.
///
/// # Errors
/// The error with which the service would fail to start.
pub fn dry_run(settings: &ServiceSettings) -> Result<Engine> {
    let (engine, streams) = load(settings, &mut |_, _| {})?;
    settings.cameras.iter().try_for_each(|camera| CameraWorker::new(settings, camera, &streams, &engine).map(drop))?;
    Ok(engine)
}

/// Runs the service until a signal stops it.
///
/// # Errors
/// If it cannot start because of an invalid configuration or bundle. Later only for internal errors or if stdout is
/// closed.
pub fn run(path: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    logging::print_on_thread();
    let settings = read_service_settings(path, &Credentials::of_service())?;
    logging::set_level(settings.log.filter());
    let signals = ServiceSignals::register()?;
    let systemd = Systemd::from_environment();
    // Encoding many category texts may take longer than systemd waits for a start.
    let (engine, streams) = load(&settings, &mut |_, _| systemd.extend_start())?;
    let cameras = settings.cameras.iter().map(|camera| CameraWorker::new(&settings, camera, &streams, &engine));
    let cameras = cameras.collect::<Result<_>>()?;
    let event_log = EventLog::open(&settings)?;
    let rate = RateControl::new(&settings.governor);
    let mut service = Service {
        path: path.to_owned(),
        started,
        settings,
        systemd,
        engine,
        streams,
        cameras,
        event_log,
        metrics_writer: MetricsWriter::start()?,
        rate,
        reloads: turn::ReloadCounts::default(),
        pending_reload: None,
        last_frame: started,
        schedule: Schedule::new(started),
    };
    service.report_ready();
    loop {
        match signals.take() {
            Some(Request::Stop) => return service.stop(),
            Some(Request::Reload) => service.start_reload(),
            None => {}
        }
        match service.turn(&|| signals.stop_is_requested()) {
            Ok(TurnOutcome::Running) => {}
            Ok(TurnOutcome::Silent) => return service.stop_without_frames(),
            // Whatever happened, the open events end.
            Err(e) => {
                // The first error is the reason.
                let _ = service.stop();
                return Err(e);
            }
        }
    }
}

/// Loads the model and derives the settings that all cameras share.
fn load(settings: &ServiceSettings, progress: &mut dyn FnMut(usize, usize)) -> Result<(Engine, StreamSettings)> {
    let engine = load_engine(settings, progress)?;
    let streams = StreamSettings::new(settings, &engine);
    Ok((engine, streams))
}
