//! Notifies systemd: ready, reloading, stopping, status, watchdog.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// How much longer a start may take after each sign of progress, in microseconds.
const START_STEP_USEC: u32 = 60_000_000;

/// Sends notifications if systemd has set `$NOTIFY_SOCKET`.
pub(super) struct Systemd {
    /// The watchdog's timeout.
    watchdog: Option<Duration>,
    last_ping: Option<Instant>,
}

impl Systemd {
    /// Reads what systemd has set in the environment.
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled(), last_ping: None }
    }

    /// The service has started, or has finished reloading.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// The start makes progress, and may take another minute.
    pub fn extend_start(&self) {
        notify(&[NotifyState::ExtendTimeoutUsec(START_STEP_USEC)]);
    }

    /// The configuration is being read again; [`Systemd::ready`] follows.
    pub fn reloading(&self) {
        // Type=notify-reload requires the time.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
    }

    /// The service is about to exit.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Sets a line of `systemctl status`.
    pub fn status(&self, status: &str) {
        notify(&[NotifyState::Status(status)]);
    }

    /// Pings the watchdog. Called only by the loop, after each camera, so that a loop that hangs is detected.
    pub fn ping(&mut self) {
        let Some(timeout) = self.watchdog else { return };
        if self.last_ping.is_none_or(|when| when.elapsed() >= timeout / 4) {
            self.last_ping = Some(Instant::now());
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        log::debug!("systemd was not notified: {e}");
    }
}
