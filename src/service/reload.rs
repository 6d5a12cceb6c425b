//! Applies a changed configuration, completely or not at all.

use bike_edge::Result;
use bike_edge::pipeline::Engine;

use super::camera_worker::{CameraWorker, StreamSettings};
use super::load_engine;
use super::rate::RateControl;
use super::turn::Service;
use crate::config::{Credentials, ServiceSettings, read_service_settings};
use crate::logging;

/// Everything that a new configuration needs.
struct Prepared {
    settings: ServiceSettings,
    /// `None` if the model is the same.
    engine: Option<Engine>,
    streams: StreamSettings,
    cameras: Vec<CameraWorker>,
}

impl Service {
    /// Reads the configuration again. An invalid configuration is refused with an error in the log, and the current one
    /// stays active. Cameras whose settings are unchanged are not interrupted.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn reload(&mut self) -> Result<()> {
        self.systemd.reloading();
        let result = match self.prepare() {
            Ok(prepared) => {
                self.reloads.applied += 1;
                self.apply(prepared)
            }
            Err(e) => {
                self.reloads.refused += 1;
                log::error!("the new configuration is refused and the current one stays active: {e}");
                Ok(())
            }
        };
        self.systemd.ready();
        result
    }

    /// Prepares everything that can fail because of the configuration, before anything that runs is changed.
    fn prepare(&self) -> Result<Prepared> {
        let settings = read_service_settings(&self.path, &Credentials::of_service())?;
        let engine = if settings.model == self.settings.model { None } else { Some(load_engine(&settings)?) };
        let used = engine.as_ref().unwrap_or(&self.engine);
        let streams = StreamSettings::new(&settings, used);
        let cameras = settings.cameras.iter().map(|camera| CameraWorker::new(&settings, camera, &streams, used));
        let cameras = cameras.collect::<Result<_>>()?;
        Ok(Prepared { settings, engine, streams, cameras })
    }

    fn apply(&mut self, new: Prepared) -> Result<()> {
        let Prepared { settings, engine, streams, cameras } = new;
        let same_model = engine.is_none() && streams == self.streams;
        let mut old = std::mem::take(&mut self.cameras);
        let mut unchanged = 0;
        for camera in cameras {
            let same = old.iter().position(|before| same_model && before.settings == camera.settings);
            self.cameras.push(match same {
                Some(at) => {
                    unchanged += 1;
                    old.remove(at)
                }
                None => camera,
            });
        }
        // A device can be opened only once: the old workers close it before the new ones open it at their next turn.
        for mut camera in old {
            camera.close(&self.streams, &mut self.event_log)?;
        }
        self.event_log.reconfigure(&settings);
        if settings.governor != self.settings.governor {
            self.rate = RateControl::new(&settings.governor);
        }
        self.streams = streams;
        if let Some(engine) = engine {
            self.engine = engine;
        }
        logging::set_level(settings.log.filter());
        self.settings = settings;
        let stride = self.stride();
        self.cameras.iter_mut().for_each(|camera| camera.set_stride(stride));
        log::info!("configuration reloaded; {unchanged} of {} cameras are unchanged", self.cameras.len());
        Ok(())
    }
}
