//! Turns reports of events into lines, and passes them to the threads that write them and record which events are open.

use std::time::Duration;

use bike_edge::events::EventReport;
use bike_edge::output::{EventLine, EventSource};
use bike_edge::pipeline::Captured;
use bike_edge::{Error, Result};

use super::event_queue::Entry;
use super::event_writer::{EventWriter, WriterSpec, WriterStatus};
use crate::config::ServiceSettings;

/// How long the service waits at its end for lines that are not written yet.
const END_TIME: Duration = Duration::from_secs(8);

/// Writes events to every output, without waiting for any.
pub(super) struct EventLog {
    writer: EventWriter,
}

impl EventLog {
    /// Opens outputs and state, and ends the events that an earlier run left open.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn open(settings: &ServiceSettings) -> Result<Self> {
        Ok(Self { writer: EventWriter::start(writer_spec(settings))? })
    }

    /// Applies a changed configuration.
    pub fn reconfigure(&mut self, settings: &ServiceSettings) {
        self.writer.configure(writer_spec(settings));
    }

    /// Passes on a line for each event.
    ///
    /// # Errors
    /// An internal error.
    pub fn write(&mut self, events: &[EventReport], source: EventSource<'_>, captured: Captured) -> Result<()> {
        for event in events {
            let line = EventLine::new(event, source, captured.wall);
            let line = serde_json::to_string(&line).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
            self.writer.write(Entry { id: event.id.to_string(), kind: event.kind, line });
        }
        Ok(())
    }

    /// Checks that events can still be written.
    ///
    /// # Errors
    /// [`Error::Output`] if stdout was closed; an internal error if the writing thread has failed.
    pub fn check(&self) -> Result<()> {
        match self.writer.status() {
            status if status.stdout_closed => {
                Err(Error::Output("stdout was closed, and events can no longer be written to it".into()))
            }
            status if status.failed => Err(Error::Internal("the thread that writes events has failed".into())),
            _ => Ok(()),
        }
    }

    /// What was written so far.
    pub fn status(&self) -> WriterStatus {
        self.writer.status()
    }

    /// Waits for lines that are not written yet, for a limited time.
    pub fn end(&mut self) {
        self.writer.end(END_TIME);
    }
}

fn writer_spec(settings: &ServiceSettings) -> WriterSpec {
    // The variable may contain several folders, separated by colons.
    let systemd = || {
        let folders = std::env::var_os("STATE_DIRECTORY")?;
        std::env::split_paths(&folders).next().map(|folder| folder.join("state.json"))
    };
    WriterSpec { outputs: settings.outputs.clone(), state: settings.health.state.clone().or_else(systemd) }
}
