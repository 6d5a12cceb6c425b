//! Loads models, and reads a changed configuration on a thread of its own, because both may take minutes.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Instant;

use bike_edge::pipeline::{Engine, ModelSpec, Workload};
use bike_edge::{Error, Result};

use crate::config::{Credentials, ServiceSettings, read_service_settings};

/// What the thread has read.
pub(super) struct Loaded {
    pub settings: ServiceSettings,
    /// `None` if the model is the same.
    pub engine: Option<Engine>,
}

/// A reload that is being prepared.
pub(super) struct PendingReload {
    loaded: Receiver<Result<Loaded>>,
    /// When it was requested.
    pub started: Instant,
    /// Whether another reload was requested meanwhile.
    pub again: bool,
}

impl PendingReload {
    /// Starts the thread. `model`: the settings of the model that runs.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(path: PathBuf, model: ModelSpec) -> Result<Self> {
        let (sender, loaded) = channel();
        let failed = |e| Error::Internal(format!("the thread that reads the configuration cannot be started: {e}"));
        let work = move || {
            // Nobody listens once the service stops.
            let _ = sender.send(load(&path, &model));
        };
        thread::Builder::new().name("reload".into()).spawn(work).map_err(failed)?;
        Ok(Self { loaded, started: Instant::now(), again: false })
    }

    /// Returns what was read, once it is complete.
    pub fn take(&self) -> Option<Result<Loaded>> {
        match self.loaded.try_recv() {
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(Error::Internal("reading the configuration failed".into()))),
            Ok(loaded) => Some(loaded),
        }
    }
}

fn load(path: &Path, model: &ModelSpec) -> Result<Loaded> {
    let settings = read_service_settings(path, &Credentials::of_service())?;
    let engine = match settings.model == *model {
        true => None,
        false => Some(load_engine(&settings, &mut |_, _| {})?),
    };
    Ok(Loaded { settings, engine })
}

/// Loads the model, with all networks that its cameras will share. `progress` is called after each category text that the
/// text tower encodes. An error names the line of the setting that caused it.
pub(super) fn load_engine(settings: &ServiceSettings, progress: &mut dyn FnMut(usize, usize)) -> Result<Engine> {
    let loaded = Engine::load_with_progress(&settings.model, Workload::Streams, progress);
    loaded.and_then(|engine| engine.recognizer().map(|_| engine)).map_err(|error| match error {
        Error::Bundle { bundle, problem } => match settings.layers.origin("model.bundle") {
            Some(place) => Error::Bundle { bundle, problem: format!("{problem} ({place}: model.bundle)") },
            None => Error::Bundle { bundle, problem },
        },
        other => settings.layers.locate(other.within("model")),
    })
}
