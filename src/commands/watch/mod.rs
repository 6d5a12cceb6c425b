//! `watch`: reports events in a clip, a stream or a camera.

mod reporter;
mod step_line;

use std::path::Path;
use std::process::ExitCode;

use bike_edge::events::MAX_OPEN;
use bike_edge::io::shown_input;
use bike_edge::pipeline::{
    FrameSelection, Observer, Session, SessionSpec, StreamRunner, StreamSource, Workload, drive,
};
use bike_edge::source::{is_camera, open_live, open_stream};
use bike_edge::units::check_range;
use bike_edge::{Error, Result};

use super::support::load_engine;
use crate::cli::{Verbosity, WatchArgs};
use crate::config::{CommandSettings, advise};
use crate::signals::StopSignal;
use reporter::EventReporter;

/// Processes the input and reports its events.
pub fn run(args: &WatchArgs, verbosity: Verbosity) -> Result<ExitCode> {
    if args.top == 0 {
        return Err(Error::Usage("--top 0: give the number of categories per line, 1 or more".into()));
    }
    check_range("--stats", args.stats.unwrap_or(0.0), 0.0..=86_400.0, "seconds")?;
    let mut settings = CommandSettings::resolve(args.settings.table()?, args.thresholds.as_deref())?;
    let mut engine = load_engine(&settings.model, Workload::Streams, verbosity)?;
    let advice = advise(&settings.layers, &mut settings.events, &engine);
    advice.iter().for_each(|advice| log::warn!("{advice}"));
    let selection = args.replay_trace.clone().map_or(FrameSelection::Stride, FrameSelection::Trace);
    let spec = SessionSpec { selection, ..settings.session_spec(&args.camera) };
    let session = Session::new(&engine, &spec).map_err(|e| settings.layers.locate(e))?;
    let input = shown_input(&args.input);
    if args.live && Path::new(&args.input).is_file() {
        let problem = "is a file, which cannot be read live; remove --live, or give a camera, a pipe or a URL";
        return Err(Error::input(input, problem));
    }
    let source = if args.live || is_camera(&args.input) {
        StreamSource::Live(open_live(&args.input, &settings.live_options())?)
    } else {
        StreamSource::Recorded(open_stream(&args.input, &settings.source)?)
    };
    // From here on events can be open, which must be ended after a signal. Before, a signal ends the program as usual.
    let stop = StopSignal::register()?;
    let mut runner = StreamRunner::new(session, source);
    let mut reporter = EventReporter::new(args, &input, &engine, &stop)?;
    let outcome = match drive(&mut runner, &mut engine, &mut reporter) {
        Err(error @ (Error::PipeClosed | Error::Output(_))) => return Err(error),
        outcome => outcome,
    };
    // Every reported event gets its end line, even after an input error.
    runner.finish(&mut |update| reporter.update(update))?;
    for warning in runner.warnings() {
        log::warn!("{input}: {warning}");
    }
    let not_opened = runner.session().not_opened();
    if not_opened > 0 {
        log::warn!("{input}: {not_opened} times an event was not opened, because {MAX_OPEN} were open; raise `on`");
    }
    if !stop.is_requested() {
        outcome?;
        if runner.session().steps() == 0 {
            let live = runner.counts().is_some();
            let problem = if live { "it ended before its first frame" } else { "no frame can be decoded" };
            return Err(Error::input(input, problem));
        }
    }
    reporter.finish(&engine, &runner)?;
    Ok(stop.exit_code().map_or(ExitCode::SUCCESS, ExitCode::from))
}
