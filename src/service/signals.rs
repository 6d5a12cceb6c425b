//! What the system asks of the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, Result};

/// Exit code where a second signal ends what the first one asked to.
const IMPATIENT: i32 = 130;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// SIGTERM or SIGINT: end what goes on, and stop.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// Signals that have come.
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// Catches them from now on. A second signal to stop ends the process at once.
    pub fn catch() -> Result<Self> {
        let signals = Self { stop: Arc::default(), reload: Arc::default() };
        let caught = [SIGTERM, SIGINT].into_iter().try_for_each(|signal| {
            // In this order: the first one finds the flag down, and raises it.
            flag::register_conditional_shutdown(signal, IMPATIENT, signals.stop.clone())?;
            flag::register(signal, signals.stop.clone()).map(drop)
        });
        caught
            .and_then(|()| flag::register(SIGHUP, signals.reload.clone()).map(drop))
            .map_err(|e| Error::Internal(format!("signals cannot be caught: {e}")))?;
        Ok(signals)
    }

    /// What was asked since the last time.
    pub fn heard(&self) -> Option<Word> {
        if self.stop.load(Ordering::Relaxed) {
            return Some(Word::Stop);
        }
        self.reload.swap(false, Ordering::Relaxed).then_some(Word::Reload)
    }
}
