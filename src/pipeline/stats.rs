//! What a session costs: latency, encoding, CPU, what was skipped and dropped.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::engine::Engine;
use super::gate::GateCounts;
use super::session::{Session, Step};
use crate::health::{peak_rss_bytes, process_cpu};
use crate::source::LiveCounts;

/// The newest so many figures count for medians.
const KEPT: usize = 1024;

/// Figures as they come. Of fixed size.
pub struct Stats {
    began: Instant,
    cpu_began: Option<Duration>,
    model_cpu_began: Duration,
    latency: Newest,
    encode: Newest,
    gate: Newest,
    recognise: Newest,
    events: u64,
}

/// Figures since the beginning; a line of `watch --stats`.
#[derive(Clone, Debug, Serialize)]
pub struct StatsReport {
    /// Seconds since the beginning.
    pub seconds: f64,
    /// Frames sampled.
    pub steps: u64,
    /// What the gate said of them.
    pub gate: GateCounts,
    /// Frames of a live source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<LiveCounts>,
    /// Event lines told.
    pub events: u64,
    /// From a frame's capture until what it says is told, of the newest 1024 steps.
    pub latency_ms: Spread,
    /// Cutting and encoding a frame, where that was not skipped.
    pub encode_ms: Spread,
    /// Looking for changes.
    pub gate_ms: Spread,
    /// Window, scores, events.
    pub recognise_ms: Spread,
    /// Share of one core that all threads took; null where the system does not say.
    pub cpu: Option<f64>,
    /// Share of one core in everything but cutting and encoding. Threads that help encoding count here.
    pub cpu_beside_model: Option<f64>,
    /// Most memory held at once, MB.
    pub rss_mb: Option<f64>,
}

/// Median, 95th percentile and most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half are not above.
    pub median: f64,
    /// 95 of 100 are not above.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Stats {
    /// Begins to count.
    pub fn new(engine: &Engine) -> Self {
        let newest = || Newest { figures: Vec::with_capacity(KEPT), next: 0 };
        Self {
            began: Instant::now(),
            cpu_began: process_cpu(),
            model_cpu_began: engine.spent.cpu,
            latency: newest(),
            encode: newest(),
            gate: newest(),
            recognise: newest(),
            events: 0,
        }
    }

    /// Counts a step that has been told, whose frame was captured then.
    pub fn step(&mut self, step: &Step<'_>, captured: Instant) {
        self.latency.push(captured.elapsed());
        self.gate.push(step.took.gate);
        self.recognise.push(step.took.recognise);
        if step.verdict == super::Verdict::Encode {
            self.encode.push(step.took.encode);
        }
        self.events += step.events.len() as u64;
    }

    /// Counts events that were told without a step.
    pub fn ended(&mut self, events: usize) {
        self.events += events as u64;
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The figures so far.
    pub fn report(&self, engine: &Engine, session: &Session, frames: Option<LiveCounts>) -> StatsReport {
        let seconds = self.seconds();
        let used = process_cpu().zip(self.cpu_began).map(|(now, began)| now.saturating_sub(began));
        let model = engine.spent.cpu.saturating_sub(self.model_cpu_began);
        let share = |time: Duration| (time.as_secs_f64() / seconds.max(1e-9) * 1e4).round() / 1e4;
        StatsReport {
            seconds: (seconds * 1e3).round() / 1e3,
            steps: session.steps(),
            gate: session.gate_counts(),
            frames,
            events: self.events,
            latency_ms: self.latency.spread(),
            encode_ms: self.encode.spread(),
            gate_ms: self.gate.spread(),
            recognise_ms: self.recognise.spread(),
            cpu: used.map(share),
            cpu_beside_model: used.map(|used| share(used.saturating_sub(model))),
            rss_mb: peak_rss_bytes().map(|bytes| (bytes as f64 / 1e5).round() / 10.0),
        }
    }
}

/// The newest figures, in a ring.
struct Newest {
    figures: Vec<Duration>,
    next: usize,
}

impl Newest {
    fn push(&mut self, figure: Duration) {
        match self.figures.get_mut(self.next) {
            Some(oldest) => *oldest = figure,
            None => self.figures.push(figure),
        }
        self.next = (self.next + 1) % KEPT;
    }

    fn spread(&self) -> Spread {
        let mut sorted = self.figures.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let place = (sorted.len().max(1) - 1) as f64 * share;
            sorted.get(place.round() as usize).map_or(0.0, |time| (time.as_secs_f64() * 1e6).round() / 1e3)
        };
        Spread { median: at(0.5), p95: at(0.95), max: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_figures_make_the_spread() {
        let mut newest = Newest { figures: Vec::with_capacity(KEPT), next: 0 };
        assert_eq!(newest.spread(), Spread::default());
        (0..500).for_each(|_| newest.push(Duration::from_secs(9)));
        (1..=KEPT as u64).for_each(|i| newest.push(Duration::from_millis(i)));
        assert_eq!(newest.spread(), Spread { median: 513.0, p95: 973.0, max: 1024.0 });
        assert_eq!(newest.figures.capacity(), KEPT);
    }
}
