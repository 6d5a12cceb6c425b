//! Writes events to the outputs and records which are open, so that a restart can end them.

use std::path::PathBuf;

use bike_edge::events::{EventKind, EventReport};
use bike_edge::output::{Destination, EventLine, EventSource, LineCounts, OutputSpec};
use bike_edge::pipeline::Captured;
use bike_edge::{Error, Result};
use serde::Serialize;

use super::state::State;
use crate::config::ServiceSettings;

/// Writes events to every output.
pub(super) struct EventLog {
    outputs: Vec<Destination>,
    specs: Vec<OutputSpec>,
    state: State,
    /// Line counts of outputs that a reload has replaced.
    closed_counts: LineCounts,
}

impl EventLog {
    /// Opens outputs and state, and ends the events that an earlier run left open.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn open(settings: &ServiceSettings) -> Result<Self> {
        let mut event_log = Self {
            outputs: settings.outputs.iter().map(Destination::open).collect(),
            specs: settings.outputs.clone(),
            state: State::open(state_path(settings)),
            closed_counts: LineCounts::default(),
        };
        let interrupted = event_log.state.interrupted();
        if !interrupted.is_empty() {
            log::warn!("{} events were open when the service last stopped; ending them now", interrupted.len());
        }
        for (id, line) in interrupted {
            event_log.write_line(&line)?;
            event_log.state.ended(&id);
        }
        Ok(event_log)
    }

    /// Applies a changed configuration.
    pub fn reconfigure(&mut self, settings: &ServiceSettings) {
        if self.specs != settings.outputs {
            self.closed_counts = self.counts();
            self.outputs = settings.outputs.iter().map(Destination::open).collect();
            self.specs = settings.outputs.clone();
        }
        self.state.move_to(state_path(settings));
    }

    /// Writes a line for each event.
    ///
    /// A start is recorded before it is written and an end after it, so that a process that is killed in between may
    /// write an end twice, but every event has one.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn write(&mut self, events: &[EventReport], source: EventSource<'_>, captured: Captured) -> Result<()> {
        for event in events {
            let line = EventLine::new(event, source, captured.wall);
            let id = &event.id.to_string();
            let value = || serde_json::to_value(&line).map_err(|e| Error::Internal(format!("JSON: {e}")));
            match event.kind {
                EventKind::New => self.state.started(id, value()?),
                EventKind::Update => self.state.updated(id, value()?),
                EventKind::End => {}
            }
            self.write_line(&line)?;
            if event.kind == EventKind::End {
                self.state.ended(id);
            }
        }
        Ok(())
    }

    /// Lines written and lost since the start, over all outputs.
    pub fn counts(&self) -> LineCounts {
        self.outputs.iter().map(Destination::counts).fold(self.closed_counts, |sum, one| LineCounts {
            written: sum.written + one.written,
            lost: sum.lost + one.lost,
        })
    }

    /// Number of open events that have been reported.
    pub fn open_events(&self) -> usize {
        self.state.record().open.len()
    }

    /// How often the service was started, and how many events ended, since the state was created.
    pub fn lifetime(&self) -> (u64, u64) {
        (self.state.record().starts, self.state.record().ended)
    }

    fn write_line(&mut self, line: &impl Serialize) -> Result<()> {
        self.outputs.iter_mut().try_for_each(|output| output.write(line))
    }
}

/// Returns the path of the state file: the configured one, else state.json in the state folder of systemd.
fn state_path(settings: &ServiceSettings) -> Option<PathBuf> {
    let systemd = || {
        // The variable may contain several folders, separated by colons.
        let folders = std::env::var_os("STATE_DIRECTORY")?;
        std::env::split_paths(&folders).next().map(|folder| folder.join("state.json"))
    };
    settings.health.state.clone().or_else(systemd)
}
