//! `watch`: what goes on in a clip or stream, as it goes.

mod live;
mod step_line;
mod teller;

use std::process::ExitCode;
use std::time::Instant;

use crate::cli::args::WatchArgs;
use crate::config::{PictureSettings, event_spec, live_options};
use crate::error::{Error, Result};
use crate::pipeline::{Camera, Engine, GateSpec, Sampler, Session, SessionSpec, TraceReader};
use crate::source::{Stream, is_camera, open_live, open_stream};
use crate::stop::Stop;
use teller::{Names, Teller};

/// Samples the stream, takes each frame through a session, tells what comes of it.
pub fn run(args: &WatchArgs) -> Result<ExitCode> {
    if args.top == 0 {
        return Err(Error::Usage("--top 0: give the number of answers in a line, 1 or more".into()));
    }
    if args.stats.is_some_and(|every| !(0.0..=86_400.0).contains(&every)) {
        return Err(Error::Usage("--stats: give seconds from 0 (at the end alone) to 86400".into()));
    }
    let picture = PictureSettings::new(&args.picture)?;
    let mut engine = Engine::load(&args.model)?;
    let mut session = session(args, &engine, &picture)?;
    let input = super::shown(&args.input);
    // Caught from when something can be open to be ended; until then a signal ends the program as usual.
    if args.live || is_camera(&args.input) {
        let source = open_live(&args.input, &live_options(&args.mode, &picture.source)?)?;
        let stop = Stop::catch()?;
        let teller = Teller::new(args, &input, &engine, &session)?;
        return live::follow(Camera::new(session, source), &mut engine, teller, &stop);
    }
    let mut stream = open_stream(&args.input, &picture.source)?;
    let stop = Stop::catch()?;
    let mut teller = Teller::new(args, &input, &engine, &session)?;
    let followed = match follow(stream.as_mut(), &mut session, &mut engine, &mut teller, &stop) {
        Err(error @ (Error::PipeClosed | Error::Output(_))) => return Err(error),
        followed => followed,
    };
    // Whoever was told of an event is told of its end, also where the input broke off.
    teller.ended(session.finish(), None)?;
    for warning in stream.warnings() {
        log::warn!("{input}: {warning}");
    }
    if !stop.asked() {
        followed?;
        if session.steps() == 0 {
            return Err(Error::input(input, "no frame in it can be decoded"));
        }
    }
    teller.finish(&engine, &session, None)?;
    Ok(stop.exit_code().map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Takes a stream through a session, to its end or until a signal asks to stop.
fn follow(
    stream: &mut dyn Stream,
    session: &mut Session,
    engine: &mut Engine,
    teller: &mut Teller<'_>,
    stop: &Stop,
) -> Result<()> {
    while let Some(next) = session.next_time().filter(|_| !stop.asked()) {
        let Some(frame) = stream.first_at_or_after(next)? else { break };
        let captured = Instant::now();
        if let Some(step) = session.take(engine, &frame)? {
            teller.step(&step, captured, None)?;
            teller.stats_if_due(engine, session, None)?;
        }
    }
    Ok(())
}

fn session(args: &WatchArgs, engine: &Engine, picture: &PictureSettings) -> Result<Session> {
    let stride = engine.stride(args.stride);
    let sampler = match &args.sample_at {
        Some(trace) => Sampler::repeat(TraceReader::open(trace)?)?,
        None => Sampler::every(stride)?,
    };
    let categories = engine.categories()?;
    let spec = SessionSpec {
        camera: args.camera.clone(),
        fit: picture.fit,
        roi: picture.roi,
        events: event_spec(&args.events, &categories, &engine.bundle.manifest.defaults.background, stride)?,
        gate: GateSpec { enabled: !args.no_gate, ..GateSpec::default() },
    };
    Session::new(engine, &spec, sampler)
}
