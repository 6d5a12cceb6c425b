//! What `watch` writes: events or steps to stdout, figures to stderr, a trace to its file.

use std::io::StdoutLock;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::step_line::StepLine;
use crate::cli::args::WatchArgs;
use crate::error::Result;
use crate::events::Event;
use crate::pipeline::{Engine, Session, Stats, Step, TracePoint, TraceWriter};
use crate::recognition::Lexicon;
use crate::output::{EventLine, EventSource, JsonLines};
use crate::source::LiveCounts;

/// What the numbers in scores and events stand for.
pub(super) struct Names {
    /// Of the categories.
    pub categories: Vec<String>,
    lexicon: Option<Arc<Lexicon>>,
}

impl Names {
    /// Of the lexicon's phrases; empty where there is none.
    pub fn phrases(&self) -> &[String] {
        self.lexicon.as_ref().map_or(&[], |lexicon| &lexicon.phrases)
    }
}

/// Tells what comes of frames.
pub(super) struct Teller<'a> {
    args: &'a WatchArgs,
    input: &'a str,
    names: Names,
    lines: JsonLines<StdoutLock<'static>>,
    trace: Option<TraceWriter>,
    stats: Stats,
    /// Seconds since the beginning at which figures were last told.
    stats_told: f64,
}

impl<'a> Teller<'a> {
    pub fn new(args: &'a WatchArgs, input: &'a str, engine: &Engine, session: &Session) -> Result<Self> {
        Ok(Self {
            args,
            input,
            names: Names { categories: session.names().to_vec(), lexicon: engine.bundle.lexicon().cloned() },
            lines: JsonLines::new(std::io::stdout().lock()),
            trace: args.record_trace.as_deref().map(TraceWriter::create).transpose()?,
            stats: Stats::new(engine),
            stats_told: 0.0,
        })
    }

    /// The input's name, without credentials.
    pub fn input(&self) -> &'a str {
        self.input
    }

    /// Tells a step whose frame was at hand at `captured`; `wall` is that moment's time of day, for live sources.
    pub fn step(&mut self, step: &Step<'_>, captured: Instant, wall: Option<SystemTime>) -> Result<()> {
        if let Some(trace) = &mut self.trace {
            trace.write(TracePoint { t: step.stamp.time, frame: Some(step.stamp.index) })?;
        }
        if self.args.steps {
            self.lines.write(&StepLine::new(step, &self.names, self.input, self.args.top))?;
        } else {
            self.events(step.events, wall)?;
        }
        self.stats.step(step, captured);
        Ok(())
    }

    /// Tells events that ended without a step.
    pub fn ended(&mut self, events: &[Event], wall: Option<SystemTime>) -> Result<()> {
        self.stats.ended(events.len());
        if self.args.steps { Ok(()) } else { self.events(events, wall) }
    }

    /// Tells the figures where they were asked for and it is time.
    pub fn stats_if_due(&mut self, engine: &Engine, session: &Session, frames: Option<LiveCounts>) -> Result<()> {
        let Some(every) = self.args.stats.filter(|every| *every > 0.0) else { return Ok(()) };
        let now = self.stats.seconds();
        if now - self.stats_told >= every {
            self.stats_told = now;
            self.tell_stats(engine, session, frames)?;
        }
        Ok(())
    }

    /// Tells the last figures, and closes the trace.
    pub fn finish(self, engine: &Engine, session: &Session, frames: Option<LiveCounts>) -> Result<()> {
        if self.args.stats.is_some() {
            self.tell_stats(engine, session, frames)?;
        }
        self.trace.map_or(Ok(()), TraceWriter::finish)
    }

    fn tell_stats(&self, engine: &Engine, session: &Session, frames: Option<LiveCounts>) -> Result<()> {
        JsonLines::new(std::io::stderr().lock()).write(&self.stats.report(engine, session, frames))
    }

    fn events(&mut self, events: &[Event], wall: Option<SystemTime>) -> Result<()> {
        let source = EventSource {
            camera: &self.args.camera,
            input: self.input,
            categories: &self.names.categories,
            phrases: self.names.phrases(),
        };
        events.iter().try_for_each(|event| self.lines.write(&EventLine::new(event, source, wall)))
    }
}
