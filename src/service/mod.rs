//! The service: reports the events of many cameras, for weeks (docs/service.md).
//!
//! [`run`] is the order in which it starts. [`work`] is the loop: [`camera_worker`] polls a camera, [`event_log`] writes
//! its events and records which are open, [`rate`] adapts the sampling rate, [`metrics`] and [`systemd`] report the state,
//! and [`reload`] applies a changed configuration.

mod camera_worker;
mod event_log;
mod metrics;
mod rate;
mod reload;
mod state;
mod systemd;
mod work;

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
use rate::RateControl;
use systemd::Systemd;
use work::{Schedule, Service, TurnOutcome};

/// Creates everything that a configuration describes, except open cameras and files. Returns the engine.
///
/// # Errors
/// What would prevent the service from starting.
pub fn dry_run(settings: &ServiceSettings) -> Result<Engine> {
    let (engine, streams) = load(settings)?;
    settings.cameras.iter().try_for_each(|camera| CameraWorker::new(settings, camera, &streams, &engine).map(drop))?;
    Ok(engine)
}

/// Runs the service until a signal stops it.
///
/// # Errors
/// What prevents it from starting: a configuration or bundle that cannot be used. Later only internal errors, or a closed
/// stdout.
pub fn run(path: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    let settings = read_service_settings(path, &Credentials::of_service())?;
    logging::set_level(settings.log.filter());
    let signals = ServiceSignals::register()?;
    let systemd = Systemd::from_environment();
    let (engine, streams) = load(&settings)?;
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
        rate,
        reloads: work::ReloadCounts::default(),
        last_frame: started,
        schedule: Schedule::new(started),
    };
    service.report_ready();
    loop {
        match signals.take() {
            Some(Request::Stop) => return service.stop(),
            Some(Request::Reload) => service.reload()?,
            None => {}
        }
        if service.turn()? == TurnOutcome::Silent {
            return service.give_up();
        }
    }
}

/// Loads the model, and checks what its cameras have in common.
fn load(settings: &ServiceSettings) -> Result<(Engine, StreamSettings)> {
    let engine = Engine::load(&settings.model).map_err(|e| settings.layers.locate(e.within("model")))?;
    let streams = StreamSettings::new(settings, &engine)?;
    Ok((engine, streams))
}
