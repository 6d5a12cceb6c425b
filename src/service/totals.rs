//! Figures of a camera since the service started, over all its sessions.

use std::time::Duration;

use crate::pipeline::{GateCounts, Step};
use crate::source::LiveCounts;

/// What happened to a camera's frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// At its source.
    pub source: LiveCounts,
    /// At its gate.
    pub gate: GateCounts,
    /// Frames sampled.
    pub steps: u64,
    /// Time taken by them.
    pub worked: Duration,
    /// Time taken by cutting and encoding.
    pub encoding: Duration,
    /// Times that it was lost.
    pub losses: u64,
    /// Events begun.
    pub events: u64,
}

impl Totals {
    /// Counts a step.
    pub fn step(&mut self, step: &Step<'_>) {
        self.steps += 1;
        self.worked += step.took.gate + step.took.encode + step.took.recognise;
        self.encoding += step.took.encode;
    }

    /// Adds what a source and a gate counted that are given up now.
    pub fn add(&mut self, source: LiveCounts, gate: GateCounts) {
        self.source = sum(self.source, source);
        self.gate = GateCounts {
            encoded: self.gate.encoded + gate.encoded,
            still: self.gate.still + gate.still,
            dark: self.gate.dark + gate.dark,
            flat: self.gate.flat + gate.flat,
        };
    }
}

fn sum(a: LiveCounts, b: LiveCounts) -> LiveCounts {
    LiveCounts {
        captured: a.captured + b.captured,
        passed: a.passed + b.passed,
        dropped: a.dropped + b.dropped,
        corrupt: a.corrupt + b.corrupt,
        short: a.short + b.short,
        timeouts: a.timeouts + b.timeouts,
        reconnects: a.reconnects + b.reconnects,
    }
}
