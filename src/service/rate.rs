//! Measures heat and load for the governor.

use std::time::{Duration, Instant};

use bike_edge::health::{ChangeReason, Governor, GovernorSpec, Measurement, ThermalZones};
use bike_edge::units::Seconds;

/// Measures temperature and load, and asks the governor for the factor of the stride.
pub(super) struct RateControl {
    governor: Governor,
    /// Changes by governors with other settings.
    changes_before: u64,
    zones: ThermalZones,
    started: Instant,
    /// Steps and processing time at the last measurement.
    measured: (u64, Duration),
    /// The chip's temperature at the last measurement, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Processing time as a share of the available time, at the last measurement.
    pub load: f64,
    /// Why the stride is stretched.
    pub reason: Option<ChangeReason>,
}

impl RateControl {
    /// Starts at full rate.
    pub fn new(spec: &GovernorSpec) -> Self {
        Self {
            governor: Governor::new(spec.clone()),
            changes_before: 0,
            zones: ThermalZones::new(&spec.thermal),
            started: Instant::now(),
            measured: (0, Duration::ZERO),
            temperature_c: None,
            load: 0.0,
            reason: None,
        }
    }

    /// Starts at full rate with other settings. Counts continue.
    pub fn reconfigure(&mut self, spec: &GovernorSpec) {
        let (changes_before, measured) = (self.changes(), self.measured);
        *self = Self { changes_before, measured, ..Self::new(spec) };
    }

    /// The factor by which the stride is stretched.
    pub fn factor(&self) -> f64 {
        self.governor.factor()
    }

    /// How often the factor was changed.
    pub fn changes(&self) -> u64 {
        self.changes_before + self.governor.changes()
    }

    /// Measures when due. `steps` and `processing_time` are totals of all cameras since the start, `stride` is the
    /// current stride of each camera. Returns whether the factor has changed.
    pub fn measure(&mut self, steps: u64, processing_time: Duration, cameras: usize, stride: Seconds) -> bool {
        let at_s = self.started.elapsed().as_secs_f64();
        if !self.governor.is_due(at_s) {
            return false;
        }
        let (new, work) = (steps.saturating_sub(self.measured.0), processing_time.saturating_sub(self.measured.1));
        self.measured = (steps, processing_time);
        self.temperature_c = self.zones.hottest_c();
        self.load = if new == 0 { 0.0 } else { work.as_secs_f64() / new as f64 * cameras as f64 / stride };
        let measurement = Measurement { at_s, temperature_c: self.temperature_c, load: self.load };
        let Some(change) = self.governor.measure(measurement) else { return false };
        self.reason = Some(change.reason).filter(|_| change.factor > 1.0);
        let heat = self.temperature_c.map_or(String::new(), |c| format!(", {c:.0} °C"));
        let load = self.load * 100.0;
        log::info!("governor: stride x{} ({}; load {load:.0} %{heat})", change.factor, describe(change.reason));
        true
    }
}

/// Names a reason in log lines and the status.
pub(super) fn describe(reason: ChangeReason) -> &'static str {
    match reason {
        ChangeReason::Hot => "hot",
        ChangeReason::Overloaded => "overloaded",
        ChangeReason::Headroom => "recovered",
    }
}
