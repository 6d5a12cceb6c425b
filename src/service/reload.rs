//! Applies a changed configuration, completely or not at all, while the service runs.
//!
//! A thread reads the configuration and loads a changed model ([`super::loading`]). The loop then swaps it in.

use bike_edge::pipeline::Engine;
use bike_edge::{Error, Result};

use super::camera_worker::{CameraWorker, StreamSettings};
use super::loading::{Loaded, PendingReload};
use super::turn::Service;
use crate::config::ServiceSettings;
use crate::logging;

/// A reload that is not ready after this many seconds is abandoned when another one is requested.
const MAX_RELOAD_S: u64 = 600;

impl Service {
    /// Starts reading the configuration again. [`Service::finish_reload`] applies it.
    pub fn start_reload(&mut self) {
        if let Some(pending) = &mut self.pending_reload {
            let seconds = pending.started.elapsed().as_secs();
            if seconds < MAX_RELOAD_S {
                log::info!("a reload is being prepared since {seconds} s; another one follows it");
                pending.again = true;
                return;
            }
            log::error!("a reload is being prepared since {seconds} s; it is abandoned for a new one");
            self.reloads.refused += 1;
        }
        self.systemd.reloading();
        match PendingReload::start(self.path.clone(), self.settings.model.clone()) {
            Ok(pending) => self.pending_reload = Some(pending),
            Err(e) => self.refuse(&e),
        }
    }

    /// Applies the new configuration if it is ready. An invalid one is refused with an error in the log, and the current
    /// one stays active. Sources whose own settings are unchanged stay open.
    ///
    /// # Errors
    /// An internal error.
    pub fn finish_reload(&mut self) -> Result<()> {
        let Some(pending) = &self.pending_reload else { return Ok(()) };
        let Some(loaded) = pending.take() else { return Ok(()) };
        let again = self.pending_reload.take().is_some_and(|pending| pending.again);
        match loaded.and_then(|loaded| self.prepare(loaded)) {
            Ok(prepared) => {
                self.reloads.applied += 1;
                self.apply(prepared)?;
                self.systemd.ready();
            }
            Err(e) => self.refuse(&e),
        }
        if again {
            self.start_reload();
        }
        Ok(())
    }

    fn refuse(&mut self, e: &Error) {
        self.reloads.refused += 1;
        log::error!("the new configuration is refused and the current one stays active: {e}");
        self.systemd.ready();
    }

    /// Creates the workers, which can fail because of the configuration, before anything that runs is changed.
    fn prepare(&self, Loaded { settings, engine }: Loaded) -> Result<Prepared> {
        let used = engine.as_ref().unwrap_or(&self.engine);
        let streams = StreamSettings::new(&settings, used);
        let cameras = settings.cameras.iter().map(|camera| CameraWorker::new(&settings, camera, &streams, used));
        let cameras = cameras.collect::<Result<_>>()?;
        Ok(Prepared { settings, engine, streams, cameras })
    }

    fn apply(&mut self, new: Prepared) -> Result<()> {
        let Prepared { settings, engine, streams, cameras } = new;
        let same_streams = engine.is_none() && streams == self.streams;
        let mut old = std::mem::take(&mut self.cameras);
        // All sources that will be closed are asked first, so that their ends do not add up.
        for camera in &mut old {
            let name = &camera.settings.name;
            let new = cameras.iter().find(|new| new.settings.name == *name);
            if new.is_none_or(|new| !new.settings.has_same_source(&camera.settings)) {
                camera.start_closing(&self.streams, &mut self.event_log)?;
            }
        }
        let mut unchanged = 0;
        let mut workers = Vec::with_capacity(cameras.len());
        for camera in cameras {
            let same = old.iter().position(|before| before.settings.name == camera.settings.name);
            workers.push(match same {
                Some(at) => {
                    let mut worker = old.remove(at);
                    let same = worker.reconfigure(camera, same_streams, &self.streams, &mut self.event_log)?;
                    unchanged += usize::from(same);
                    worker
                }
                None => camera,
            });
        }
        // A device can be opened only once: the old workers close it before the new ones open it at their next turn.
        for mut camera in old {
            camera.close(&self.streams, &mut self.event_log)?;
        }
        self.cameras = workers;
        self.event_log.reconfigure(&settings);
        if settings.governor != self.settings.governor {
            self.rate.reconfigure(&settings.governor);
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

/// Everything that a new configuration needs.
struct Prepared {
    settings: ServiceSettings,
    /// `None` if the model is the same.
    engine: Option<Engine>,
    streams: StreamSettings,
    cameras: Vec<CameraWorker>,
}
