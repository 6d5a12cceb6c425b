//! The wish to stop, as signals say it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, Result};

/// Exit code where a second signal ends what the first one asked to.
const IMPATIENT: i32 = 130;

/// What shells add to a signal's number for the exit code of a program that it ended.
const BY_SIGNAL: usize = 128;

/// Hears of SIGINT (Ctrl-C) and SIGTERM instead of being ended by them.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Catches them from now on. A second one ends the process at once.
    ///
    /// # Errors
    /// [`Error::Internal`] where the system does not allow it.
    pub fn catch() -> Result<Self> {
        let stop = Self { asked: Arc::default(), signal: Arc::default() };
        let caught = [SIGTERM, SIGINT].into_iter().try_for_each(|signal| {
            // In this order: the first one finds the flag down, and raises it last of all.
            flag::register_conditional_shutdown(signal, IMPATIENT, stop.asked.clone())?;
            flag::register_usize(signal, stop.signal.clone(), signal as usize)?;
            flag::register(signal, stop.asked.clone()).map(drop)
        });
        caught.map_err(|e| Error::Internal(format!("signals cannot be caught: {e}")))?;
        Ok(stop)
    }

    /// Whether one has come.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The exit code of a command that was stopped before its end: 130 by SIGINT, 143 by SIGTERM. `None` where it was
    /// not.
    pub fn exit_code(&self) -> Option<u8> {
        // Below 128, as all signals are.
        self.asked().then(|| (BY_SIGNAL + self.signal.load(Ordering::Relaxed)) as u8)
    }
}
