//! How often frames are looked at, as heat and work allow.

use std::time::{Duration, Instant};

use crate::config::service::ServiceConfig;
use crate::health::{Governor, Measured, ThermalZones, Why};
use crate::source::Seconds;

/// Measures, asks the governor, remembers what it said.
pub(super) struct Pace {
    governor: Governor,
    zones: ThermalZones,
    began: Instant,
    /// Steps and work at the last look.
    seen: (u64, Duration),
    /// The chip's temperature at the last look, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Work over time at the last look.
    pub load: f64,
    /// Why the stride is stretched.
    pub why: Option<Why>,
}

impl Pace {
    /// At full rate.
    pub fn new(config: &ServiceConfig) -> Self {
        Self {
            governor: Governor::new(config.governor),
            zones: ThermalZones::new(&config.thermal),
            began: Instant::now(),
            seen: (0, Duration::ZERO),
            temperature_c: None,
            load: 0.0,
            why: None,
        }
    }

    /// By how much the stride is stretched.
    pub fn factor(&self) -> f64 {
        self.governor.factor()
    }

    /// How often that was changed.
    pub fn changes(&self) -> u64 {
        self.governor.changes()
    }

    /// Looks where it is time: `steps` and `worked` are of all cameras since the start, `stride` is the present one of
    /// each of `cameras`. True where the factor has changed.
    pub fn look(&mut self, steps: u64, worked: Duration, cameras: usize, stride: Seconds) -> bool {
        let at_s = self.began.elapsed().as_secs_f64();
        if !self.governor.is_due(at_s) {
            return false;
        }
        let (new, work) = (steps.saturating_sub(self.seen.0), worked.saturating_sub(self.seen.1));
        self.seen = (steps, worked);
        self.temperature_c = self.zones.hottest_c();
        self.load = if new == 0 { 0.0 } else { work.as_secs_f64() / new as f64 * cameras as f64 / stride };
        let measured = Measured { at_s, temperature_c: self.temperature_c, load: self.load };
        let Some(change) = self.governor.measure(measured) else { return false };
        self.why = Some(change.why).filter(|_| change.factor > 1.0);
        let heat = self.temperature_c.map_or(String::new(), |c| format!(", {c:.0} °C"));
        let load = self.load * 100.0;
        log::info!("governor: stride x{} ({}; load {load:.0} %{heat})", change.factor, reason(change.why));
        true
    }
}

/// A reason in a word.
pub(super) fn reason(why: Why) -> &'static str {
    match why {
        Why::Hot => "hot",
        Why::Behind => "behind",
        Why::Room => "room again",
    }
}
