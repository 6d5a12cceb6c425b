//! Performance statistics of a session: latency, encoding, CPU, skipped and dropped frames.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::engine::Engine;
use super::gate::GateCounts;
use super::session::{Session, Step};
use crate::health::{peak_rss_bytes, process_cpu};
use crate::source::LiveCounts;

/// Number of newest samples for percentiles.
const CAPACITY: usize = 1024;

/// Collects the statistics of a session, in fixed memory.
pub struct Stats {
    started: Instant,
    cpu_started: Option<Duration>,
    model_cpu_started: Duration,
    latency: SampleRing,
    encode: SampleRing,
    gate: SampleRing,
    recognise: SampleRing,
    events: u64,
}

/// Statistics since the start: one line of `watch --stats`.
#[derive(Clone, Debug, Serialize)]
pub struct StatsReport {
    /// Seconds since the start.
    pub seconds: f64,
    /// Frames sampled.
    pub steps: u64,
    /// How many of them were encoded and how many were skipped.
    pub gate: GateCounts,
    /// Frames of a live source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<LiveCounts>,
    /// Event reports, also if only steps are printed.
    pub events: u64,
    /// Time from the capture of a frame until its result is written, over the newest 1024 steps.
    pub latency_ms: Percentiles,
    /// Preprocessing and encoding a frame, if the gate did not skip that.
    pub encode_ms: Percentiles,
    /// Comparing the picture with the last encoded one.
    pub gate_ms: Percentiles,
    /// Window, scores, events.
    pub recognise_ms: Percentiles,
    /// Load of all threads as a share of one core; null if the system does not report it.
    pub cpu: Option<f64>,
    /// The same without the time in which the main thread preprocesses and encodes. The encoder's other threads are
    /// included.
    pub cpu_beside_model: Option<f64>,
    /// Peak memory, MB.
    pub rss_mb: Option<f64>,
}

/// Median, 95th percentile and maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The 50th percentile.
    pub median: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The maximum.
    pub max: f64,
}

impl Stats {
    /// Starts counting.
    pub fn new(engine: &Engine) -> Self {
        let ring = || SampleRing { samples: Vec::with_capacity(CAPACITY), next: 0 };
        Self {
            started: Instant::now(),
            cpu_started: process_cpu(),
            model_cpu_started: engine.timings.cpu,
            latency: ring(),
            encode: ring(),
            gate: ring(),
            recognise: ring(),
            events: 0,
        }
    }

    /// Counts a step whose result was written, and whose frame was captured at `captured`.
    pub fn step(&mut self, step: &Step<'_>, captured: Instant) {
        self.latency.push(captured.elapsed());
        self.gate.push(step.timings.gate);
        self.recognise.push(step.timings.recognise);
        if step.views().any(|view| view.decision == super::GateDecision::Encode) {
            self.encode.push(step.timings.encode);
        }
        self.events += step.events.len() as u64;
    }

    /// Counts events that ended without a step.
    pub fn ended(&mut self, events: usize) {
        self.events += events as u64;
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Returns the statistics so far.
    pub fn report(&self, engine: &Engine, session: &Session, frames: Option<LiveCounts>) -> StatsReport {
        let seconds = self.seconds();
        let used = process_cpu().zip(self.cpu_started).map(|(now, started)| now.saturating_sub(started));
        let model = engine.timings.cpu.saturating_sub(self.model_cpu_started);
        let share = |time: Duration| (time.as_secs_f64() / seconds.max(1e-9) * 1e4).round() / 1e4;
        StatsReport {
            seconds: (seconds * 1e3).round() / 1e3,
            steps: session.steps(),
            gate: session.gate_counts(),
            frames,
            events: self.events,
            latency_ms: self.latency.percentiles(),
            encode_ms: self.encode.percentiles(),
            gate_ms: self.gate.percentiles(),
            recognise_ms: self.recognise.percentiles(),
            cpu: used.map(share),
            cpu_beside_model: used.map(|used| share(used.saturating_sub(model))),
            rss_mb: peak_rss_bytes().map(|bytes| (bytes as f64 / 1e5).round() / 10.0),
        }
    }
}

/// The newest samples, in a ring.
struct SampleRing {
    samples: Vec<Duration>,
    next: usize,
}

impl SampleRing {
    fn push(&mut self, sample: Duration) {
        match self.samples.get_mut(self.next) {
            Some(oldest) => *oldest = sample,
            None => self.samples.push(sample),
        }
        self.next = (self.next + 1) % CAPACITY;
    }

    fn percentiles(&self) -> Percentiles {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let place = (sorted.len().max(1) - 1) as f64 * share;
            sorted.get(place.round() as usize).map_or(0.0, |time| (time.as_secs_f64() * 1e6).round() / 1e3)
        };
        Percentiles { median: at(0.5), p95: at(0.95), max: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_over_the_newest_samples() {
        let mut ring = SampleRing { samples: Vec::with_capacity(CAPACITY), next: 0 };
        assert_eq!(ring.percentiles(), Percentiles::default());
        (0..500).for_each(|_| ring.push(Duration::from_secs(9)));
        (1..=CAPACITY as u64).for_each(|i| ring.push(Duration::from_millis(i)));
        assert_eq!(ring.percentiles(), Percentiles { median: 513.0, p95: 973.0, max: 1024.0 });
        assert_eq!(ring.samples.capacity(), CAPACITY);
    }
}
