//! What the system asks of the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use crate::error::{Error, Result};
use crate::stop::Stop;

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
    stop: Stop,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// Catches them from now on. A second signal to stop ends the process at once.
    pub fn catch() -> Result<Self> {
        let signals = Self { stop: Stop::catch()?, reload: Arc::default() };
        flag::register(SIGHUP, signals.reload.clone())
            .map_err(|e| Error::Internal(format!("signals cannot be caught: {e}")))?;
        Ok(signals)
    }

    /// What was asked since the last time.
    pub fn heard(&self) -> Option<Word> {
        if self.stop.asked() {
            return Some(Word::Stop);
        }
        self.reload.swap(false, Ordering::Relaxed).then_some(Word::Reload)
    }
}
