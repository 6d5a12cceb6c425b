//! Writes the output of `watch`: events or steps to stdout, statistics to stderr, the trace to a file.

use std::io::StdoutLock;
use std::path::Path;

use bike_edge::events::EventReport;
use bike_edge::output::{EventLine, EventSource, JsonLines};
use bike_edge::pipeline::{Captured, Engine, Observer, Stats, Step, StreamRunner, TracePoint, TraceWriter, Update};
use bike_edge::{Error, Result};

use super::step_line::StepLine;
use crate::cli::WatchArgs;
use crate::signals::StopSignal;

/// Reports events, steps and statistics.
pub(super) struct EventReporter<'a> {
    args: &'a WatchArgs,
    input: &'a str,
    stop: &'a StopSignal,
    categories: Vec<String>,
    phrases: Vec<String>,
    lines: JsonLines<StdoutLock<'static>>,
    trace: Option<TraceWriter>,
    stats: Stats,
    /// Seconds since the start at which statistics were last printed.
    stats_printed: f64,
}

impl<'a> EventReporter<'a> {
    /// # Errors
    /// A trace file that cannot be created.
    pub fn new(args: &'a WatchArgs, input: &'a str, engine: &Engine, stop: &'a StopSignal) -> Result<Self> {
        Ok(Self {
            args,
            input,
            stop,
            categories: engine.categories().to_vec(),
            phrases: engine.phrases().to_vec(),
            lines: JsonLines::new(std::io::stdout().lock()),
            trace: args.record_trace.as_deref().map(create_trace).transpose()?,
            stats: Stats::new(engine),
            stats_printed: 0.0,
        })
    }

    /// Prints the last statistics and closes the trace.
    ///
    /// # Errors
    /// Output that cannot be written.
    pub fn finish(self, engine: &Engine, runner: &StreamRunner<'_>) -> Result<()> {
        if self.args.stats.is_some() {
            self.print_stats(engine, runner)?;
        }
        self.trace.map_or(Ok(()), TraceWriter::finish)
    }

    fn step(&mut self, step: &Step<'_>, captured: Captured) -> Result<()> {
        if let Some(trace) = &mut self.trace {
            trace.write(TracePoint { t: step.stamp.time, frame: Some(step.stamp.index) })?;
        }
        if self.args.steps {
            for view in step.views() {
                let (categories, phrases) = (&self.categories, &self.phrases);
                let line = StepLine::new(step.stamp, &view, categories, phrases, self.input, self.args.top);
                self.lines.write(&line)?;
            }
        } else {
            self.events(step.events, captured)?;
        }
        self.stats.step(step, captured.at);
        Ok(())
    }

    fn events(&mut self, events: &[EventReport], captured: Captured) -> Result<()> {
        let source = EventSource {
            camera: &self.args.camera,
            input: self.input,
            categories: &self.categories,
            phrases: &self.phrases,
        };
        events.iter().try_for_each(|event| self.lines.write(&EventLine::new(event, source, captured.wall)))
    }

    fn print_stats(&self, engine: &Engine, runner: &StreamRunner<'_>) -> Result<()> {
        let report = self.stats.report(engine, runner.session(), runner.counts());
        JsonLines::new(std::io::stderr().lock()).write(&report)
    }
}

fn create_trace(path: &Path) -> Result<TraceWriter> {
    TraceWriter::create(path).map_err(|error| match error {
        Error::Output(problem) => Error::Output(format!("--record-trace {problem}")),
        other => other,
    })
}

impl Observer for EventReporter<'_> {
    fn update(&mut self, update: Update<'_>) -> Result<()> {
        match update {
            Update::Step { step, captured } => self.step(&step, captured),
            Update::EventsEnded { events, captured } => {
                self.stats.ended(events.len());
                if self.args.steps { Ok(()) } else { self.events(events, captured) }
            }
            // The source has logged the reason.
            Update::ConnectionLost(_) => Ok(()),
        }
    }

    fn keep_running(&mut self, runner: &StreamRunner<'_>, engine: &Engine) -> Result<bool> {
        if let Some(interval) = self.args.stats.filter(|interval| *interval > 0.0) {
            let now = self.stats.seconds();
            if now - self.stats_printed >= interval {
                self.stats_printed = now;
                self.print_stats(engine, runner)?;
            }
        }
        Ok(!self.stop.is_requested())
    }
}
