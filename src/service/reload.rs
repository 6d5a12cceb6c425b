//! A changed configuration, taken whole or not at all.

use super::pace::Pace;
use super::watched::{Shared, Watched};
use super::work::Service;
use crate::config::service::{Credentials, ServiceConfig, read_config};
use crate::error::Result;
use crate::pipeline::Engine;
use crate::logging;

/// What a new configuration needs that the old one did not have, ready to be used.
struct Prepared {
    config: ServiceConfig,
    engine: Option<Engine>,
    shared: Shared,
    cameras: Vec<Watched>,
}

impl Service {
    /// Reads the configuration again. One that cannot be used is refused with a log line, and the old goes on. Cameras
    /// whose settings are the same are not disturbed.
    ///
    /// # Errors
    /// A reader of stdout that has gone.
    pub fn reload(&mut self) -> Result<()> {
        self.systemd.reloading();
        let result = match self.prepare() {
            Ok(prepared) => {
                self.reloads.0 += 1;
                self.take(prepared)
            }
            Err(e) => {
                self.reloads.1 += 1;
                log::error!("the configuration is refused and the old one goes on: {e}");
                Ok(())
            }
        };
        self.systemd.ready();
        result
    }

    /// All that can fail.
    fn prepare(&self) -> Result<Prepared> {
        let config = read_config(&self.path, &Credentials::of_service())?;
        let engine = if config.model == self.config.model { None } else { Some(Engine::load(&config.model)?) };
        let used = engine.as_ref().unwrap_or(&self.engine);
        let shared = Shared::new(&config, used)?;
        let cameras = config.cameras.iter().map(|camera| Watched::new(camera, &shared, used)).collect::<Result<_>>()?;
        Ok(Prepared { config, engine, shared, cameras })
    }

    fn take(&mut self, new: Prepared) -> Result<()> {
        let Prepared { config, engine, shared, cameras } = new;
        let same_model = engine.is_none() && shared.is_as(&self.shared);
        let mut old = std::mem::take(&mut self.cameras);
        let mut kept = 0;
        for camera in cameras {
            let goes_on = old.iter().position(|before| same_model && before.config == camera.config);
            self.cameras.push(match goes_on {
                Some(at) => {
                    kept += 1;
                    old.remove(at)
                }
                None => camera,
            });
        }
        // A device can be opened once only: the old let it go before the new open it, at their next turn.
        for mut camera in old {
            camera.close(&self.shared, &mut self.book)?;
        }
        self.book.reconfigure(&config);
        if config.governor != self.config.governor || config.thermal != self.config.thermal {
            self.pace = Pace::new(&config);
        }
        self.shared = shared;
        if let Some(engine) = engine {
            self.engine = engine;
        }
        logging::set_level(config.log.filter());
        self.config = config;
        let stride = self.stride();
        self.cameras.iter_mut().for_each(|camera| camera.set_stride(stride));
        log::info!("the configuration was read again; {kept} of {} cameras go on as they were", self.cameras.len());
        Ok(())
    }
}
