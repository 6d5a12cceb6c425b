//! Events written, and what is open remembered.

use std::io::Stdout;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use serde::Serialize;

use super::state::State;
use crate::config::service::{OutputConfig, ServiceConfig};
use crate::error::{Error, Result};
use crate::events::{Event, EventKind};
use crate::output::{EventFile, EventLine, EventSource, FileCounts, JsonLines};

/// Writes events.
pub(super) struct Book {
    output: Output,
    config: OutputConfig,
    state: State,
    counts: FileCounts,
}

enum Output {
    Stdout(JsonLines<Stdout>),
    File(EventFile),
}

impl Book {
    /// Opens output and state, and ends the events that an earlier run left open.
    ///
    /// # Errors
    /// A reader of stdout that has gone.
    pub fn open(config: &ServiceConfig) -> Result<Self> {
        let mut book = Self {
            output: Output::new(&config.output),
            config: config.output.clone(),
            state: State::open(place(config)),
            counts: FileCounts::default(),
        };
        let interrupted = book.state.interrupted();
        if !interrupted.is_empty() {
            log::warn!("{} events went on when the service last ended; they are ended now", interrupted.len());
        }
        for (id, line) in interrupted {
            book.output.write(&line)?;
            book.state.ended(&id);
        }
        Ok(book)
    }

    /// Takes a changed configuration.
    pub fn reconfigure(&mut self, config: &ServiceConfig) {
        if self.config != config.output {
            let FileCounts { written, lost } = self.counts();
            self.counts = FileCounts { written, lost };
            self.output = Output::new(&config.output);
            self.config = config.output.clone();
        }
        self.state.moved(place(config));
    }

    /// Writes what is to be told of events; `captured` is when the newest frame was.
    ///
    /// A beginning is remembered before it is written and an end after it, so that a kill in between may tell an end
    /// twice, and never leaves an event without one.
    ///
    /// # Errors
    /// A reader of stdout that has gone.
    pub fn tell(&mut self, events: &[Event], source: EventSource<'_>, captured: Instant) -> Result<()> {
        let captured = SystemTime::now().checked_sub(captured.elapsed());
        for event in events {
            let line = EventLine::new(event, source, captured);
            let id = &event.id.to_string();
            let kept = || serde_json::to_value(&line).map_err(|e| Error::Internal(format!("JSON: {e}")));
            match event.kind {
                EventKind::New => self.state.begun(id, kept()?),
                EventKind::Update => self.state.goes_on(id, kept()?),
                EventKind::End => {}
            }
            self.output.write(&line)?;
            if event.kind == EventKind::End {
                self.state.ended(id);
            }
        }
        Ok(())
    }

    /// What became of lines since the start.
    pub fn counts(&self) -> FileCounts {
        let FileCounts { written, lost } = self.output.counts();
        FileCounts { written: self.counts.written + written, lost: self.counts.lost + lost }
    }

    /// Events that have been told and go on.
    pub fn open_events(&self) -> usize {
        self.state.kept().open.len()
    }

    /// How often the service was started, and events ended, since the state began.
    pub fn lifetime(&self) -> (u64, u64) {
        (self.state.kept().starts, self.state.kept().ended)
    }
}

impl Output {
    fn new(config: &OutputConfig) -> Self {
        match config {
            OutputConfig::Stdout => Self::Stdout(JsonLines::new(std::io::stdout())),
            OutputConfig::File { path, max_bytes, files } => Self::File(EventFile::new(path, *max_bytes, *files)),
        }
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        match self {
            Self::Stdout(lines) => lines.write(line),
            Self::File(file) => {
                file.write(line);
                Ok(())
            }
        }
    }

    fn counts(&self) -> FileCounts {
        match self {
            Self::Stdout(lines) => FileCounts { written: lines.written(), lost: 0 },
            Self::File(file) => file.counts(),
        }
    }
}

/// Where the state is kept.
fn place(config: &ServiceConfig) -> Option<PathBuf> {
    let systemd = || {
        // Several folders may be named there, divided by colons.
        let folders = std::env::var_os("STATE_DIRECTORY")?;
        std::env::split_paths(&folders).next().map(|folder| folder.join("state.json"))
    };
    config.state.clone().or_else(systemd)
}
