//! The service: cameras to events, for weeks (docs/service.md).
//!
//! [`run`] is the order in which it starts. [`work`] is what it does then: [`watched`] cameras tell events, [`book`]
//! writes them and remembers what is open, [`metrics`] and [`systemd`] say how things stand, [`reload`] takes a changed
//! configuration.

mod book;
mod metrics;
mod pace;
mod reload;
mod retry;
mod signals;
mod state;
mod systemd;
mod totals;
mod watched;
mod work;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::config::service::{Credentials, ServiceConfig, read_config};
use crate::error::Result;
use crate::pipeline::Engine;
use crate::logging;
use book::Book;
use pace::Pace;
use signals::Signals;
use systemd::Systemd;
use watched::{Shared, Watched};
use work::{Service, Turn};

/// Makes all that a configuration asks for but opening cameras and files.
///
/// # Errors
/// What would make it impossible to start.
pub fn rehearse(config: &ServiceConfig) -> Result<()> {
    let engine = Engine::load(&config.model)?;
    let shared = Shared::new(config, &engine)?;
    config.cameras.iter().try_for_each(|camera| Watched::new(camera, &shared, &engine).map(drop))
}

/// Starts, works until it is told to stop, and stops.
///
/// # Errors
/// What makes it impossible to start: a configuration or bundle that cannot be used. Afterwards only a fault of ours, or
/// a reader of stdout that has gone.
pub fn run(path: &Path) -> Result<ExitCode> {
    let began = Instant::now();
    let config = read_config(path, &Credentials::of_service())?;
    logging::set_level(config.log.filter());
    let signals = Signals::catch()?;
    let systemd = Systemd::from_environment();
    let engine = Engine::load(&config.model)?;
    let shared = Shared::new(&config, &engine)?;
    let cameras = config.cameras.iter().map(|camera| Watched::new(camera, &shared, &engine)).collect::<Result<_>>()?;
    let book = Book::open(&config)?;
    let pace = Pace::new(&config);
    let mut service = Service {
        path: path.to_owned(),
        began,
        config,
        systemd,
        engine,
        shared,
        cameras,
        book,
        pace,
        reloads: (0, 0),
        last_frame: began,
        due: work::Due::new(began),
    };
    service.announce();
    loop {
        match signals.heard() {
            Some(signals::Word::Stop) => return service.stop(),
            Some(signals::Word::Reload) => service.reload()?,
            None => {}
        }
        if service.turn()? == Turn::Silent {
            return service.give_up();
        }
    }
}
