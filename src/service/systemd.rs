//! What systemd is told: ready, reloading, stopping, how things stand, and that the work goes on.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Speaks to systemd where it listens ($NOTIFY_SOCKET), and to no one else.
pub(super) struct Systemd {
    /// It wants to hear from us within this time.
    watchdog: Option<Duration>,
    pinged: Option<Instant>,
}

impl Systemd {
    /// As systemd set it up.
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled(), pinged: None }
    }

    /// All is set up.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The configuration is read again; [`Systemd::ready`] follows.
    pub fn reloading(&self) {
        // The time is what Type=notify-reload wants to know it by.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// It is about to end.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// How things stand, a line of `systemctl status`.
    pub fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// The loop has come round once more. Called after each turn and nowhere else, so that a loop that hangs is noticed.
    pub fn alive(&mut self) {
        let Some(patience) = self.watchdog else { return };
        if self.pinged.is_none_or(|when| when.elapsed() >= patience / 4) {
            self.pinged = Some(Instant::now());
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(words) {
        log::debug!("systemd was not told: {e}");
    }
}
