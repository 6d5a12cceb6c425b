//! Handles signals: SIGINT, SIGTERM and SIGHUP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bike_edge::{Error, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code if a second signal ends the program before it has stopped.
const SECOND_SIGNAL: i32 = 130;

/// Exit codes of programs ended by a signal are this plus the number of the signal.
const SIGNAL_BASE: usize = 128;

/// Receives SIGINT (Ctrl-C) and SIGTERM, which then do not end the program at once.
#[derive(Clone, Debug)]
pub struct StopSignal {
    requested: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl StopSignal {
    /// Registers the handlers. A second signal ends the process at once.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system does not allow it.
    pub fn register() -> Result<Self> {
        let stop = Self { requested: Arc::default(), signal: Arc::default() };
        let registered = [SIGTERM, SIGINT].into_iter().try_for_each(|signal| {
            // This order matters: at the first signal the flag is not set yet, and it is set last.
            flag::register_conditional_shutdown(signal, SECOND_SIGNAL, stop.requested.clone())?;
            flag::register_usize(signal, stop.signal.clone(), signal as usize)?;
            flag::register(signal, stop.requested.clone()).map(drop)
        });
        registered.map_err(no_handler)?;
        Ok(stop)
    }

    /// Returns whether a signal has asked the program to stop.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// The exit code of a command that a signal stopped: 130 for SIGINT, 143 for SIGTERM. `None` if no signal has come.
    pub fn exit_code(&self) -> Option<u8> {
        // Signal numbers are below 128.
        self.is_requested().then(|| (SIGNAL_BASE + self.signal.load(Ordering::Relaxed)) as u8)
    }
}

/// The request of a signal to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: end the open events and stop.
    Stop,
    /// SIGHUP: reload the configuration.
    Reload,
}

/// Receives the signals of the service.
pub struct ServiceSignals {
    stop: StopSignal,
    reload: Arc<AtomicBool>,
}

impl ServiceSignals {
    /// Registers the handlers. A second signal to stop ends the process at once.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system does not allow it.
    pub fn register() -> Result<Self> {
        let signals = Self { stop: StopSignal::register()?, reload: Arc::default() };
        flag::register(SIGHUP, signals.reload.clone()).map_err(no_handler)?;
        Ok(signals)
    }

    /// Returns whether a signal has asked the service to stop.
    pub fn stop_is_requested(&self) -> bool {
        self.stop.is_requested()
    }

    /// Returns the request since the last call, if there is one.
    pub fn take(&self) -> Option<Request> {
        if self.stop.is_requested() {
            return Some(Request::Stop);
        }
        self.reload.swap(false, Ordering::Relaxed).then_some(Request::Reload)
    }
}

fn no_handler(error: std::io::Error) -> Error {
    Error::Internal(format!("signals cannot be handled: {error}"))
}
