//! `quality`: how well events fit, and what the gate changes, on streams glued from labelled clips.

mod gate;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::whole_file::WholeFile;
use super::{Voice, labelled};
use crate::cli::args::QualityArgs;
use crate::config::{PictureSettings, event_spec};
use crate::error::{Error, Result};
use crate::events::{Event, EventSpec};
use crate::pipeline::{Engine, GateSpec, Sampler, Session, SessionSpec};
use crate::evaluation::{Found, Glue, Glued, Measures, Piece, Shown, judge};
use crate::output::output_error;
use crate::source::{Seconds, Stream};
use gate::{GateReport, GateTally};

/// Figures over all streams; the JSON of `quality --json`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Report {
    schema: u32,
    list: String,
    bundle: String,
    clips: usize,
    rounds: u64,
    /// Length of all streams together.
    stream_s: Seconds,
    events: Measures,
    gate: GateReport,
    warnings: Vec<String>,
}

/// Glues streams, watches them with the gate and without, and compares.
pub fn run(args: &QualityArgs, voice: Voice) -> Result<ExitCode> {
    check(args)?;
    let output = args.json.as_deref().map(|file| WholeFile::new("--json", file)).transpose()?;
    let picture = PictureSettings::new(&args.picture)?;
    let mut engine = Engine::load(&args.model)?;
    let categories = engine.categories()?;
    let stride = engine.stride(args.stride);
    let spec = event_spec(&args.events, &categories, &engine.bundle.manifest.defaults.background, stride)?;
    let clips = labelled::read_marked(&args.list, args.root.as_deref(), &categories)?;
    let (mut shown, mut found, mut tally) = (Vec::new(), Vec::new(), GateTally::default());
    let (mut stream_s, mut warnings) = (0.0, Vec::new());
    for round in 0..args.rounds {
        let mut pieces: Vec<Piece> = clips.iter().map(|clip| piece(clip, &categories, &spec)).collect();
        shuffle(&mut pieces, args.seed.wrapping_add(round));
        let glue = Glue { most_s: args.most, hold_s: args.hold, noise: args.noise };
        let mut stream = Glued::new(pieces, glue, picture.source.clone());
        let events = watch(&mut stream, &mut engine, &spec, &picture, stride, &mut tally)?;
        // Streams lie one after the other, so that all are judged together.
        let offset = stream_s;
        shown.extend(stream.shown().iter().map(|s| Shown {
            start: s.start + offset,
            end: s.end + offset,
            ..s.clone()
        }));
        found.extend(events.iter().map(|f| Found { start: f.start + offset, end: f.end + offset, ..*f }));
        stream_s += stream.shown().last().map_or(0.0, |shown| shown.end);
        for warning in stream.warnings() {
            if !warnings.contains(warning) {
                warnings.push(warning.clone());
            }
        }
    }
    if !voice.quiet {
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
    }
    let report = Report {
        schema: 1,
        list: args.list.display().to_string(),
        bundle: engine.bundle.manifest.name.clone(),
        clips: clips.len(),
        rounds: args.rounds,
        stream_s: (stream_s * 1e3).round() / 1e3,
        events: judge(&shown, &found),
        gate: tally.report(),
        warnings,
    };
    print(&report).map_err(output_error)?;
    if let Some(output) = output {
        output.write_json(&report)?;
    }
    Ok(if reaches(args, &report.events) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(args: &QualityArgs) -> Result<()> {
    let seconds = |flag: &str, x: f64, least: f64| {
        let inside = (least..=3600.0).contains(&x);
        if inside { Ok(()) } else { Err(Error::Usage(format!("{flag} {x}: give seconds from {least} to 3600"))) }
    };
    seconds("--most", args.most, 0.1)?;
    seconds("--hold", args.hold, 0.0)?;
    if !(1..=1000).contains(&args.rounds) {
        return Err(Error::Usage(format!("--rounds {}: give a number from 1 to 1000", args.rounds)));
    }
    Ok(())
}

/// A clip that shows nothing but background shows nothing.
fn piece(clip: &labelled::Marked, categories: &[String], spec: &EventSpec) -> Piece {
    let is_event = |k: &usize| !spec.background.contains(&categories[*k]);
    let categories = clip.categories.iter().copied().filter(is_event).collect();
    Piece { input: clip.path.clone().into_os_string(), categories }
}

/// Events of a stream, with the gate; the same is done without it, for the tally.
fn watch(
    stream: &mut Glued,
    engine: &mut Engine,
    spec: &EventSpec,
    picture: &PictureSettings,
    stride: Seconds,
    tally: &mut GateTally,
) -> Result<Vec<Found>> {
    let session = |enabled: bool| {
        let gate = GateSpec { enabled, ..GateSpec::default() };
        let camera = "glued".to_owned();
        let spec = SessionSpec { camera, fit: picture.fit, roi: picture.roi, events: spec.clone(), gate };
        Session::new(engine, &spec, Sampler::every(stride)?)
    };
    let (mut gated, mut open) = (session(true)?, session(false)?);
    let mut found = Vec::new();
    while let Some(next) = gated.next_time() {
        // Asked first, as the frame borrows the stream.
        let Some(frame) = stream.first_at_or_after(next)? else { break };
        let Some(with) = gated.take(engine, &frame)? else { continue };
        found.extend(with.events.iter().filter_map(ended));
        let Some(without) = open.take(engine, &frame)? else { continue };
        tally.step(&with, &without);
        tally.held(stream.holds());
    }
    found.extend(gated.finish().iter().filter_map(ended));
    Ok(found)
}

fn ended(event: &Event) -> Option<Found> {
    event.end.map(|end| Found { category: event.category, start: event.start, end })
}

/// Fisher and Yates, with numbers that are the same everywhere.
fn shuffle<T>(things: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..things.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        things.swap(last, ((state >> 33) % (last as u64 + 1)) as usize);
    }
}

fn reaches(args: &QualityArgs, measures: &Measures) -> bool {
    let reaches = |name: &str, least: Option<f64>, reached: Option<f64>| {
        let enough = least.is_none_or(|least| reached.is_some_and(|reached| reached >= least));
        if !enough {
            let reached = reached.map_or("unknown".to_owned(), |reached| format!("{reached:.3}"));
            log::error!("{name} is {reached}, less than the {:.3} asked for", least.unwrap_or(0.0));
        }
        enough
    };
    // Both are told.
    reaches("precision", args.least_precision, measures.precision)
        & reaches("recall", args.least_recall, measures.recall)
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (events, gate) = (&report.events, &report.gate);
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.3}"));
    let seconds = |s: Option<f64>| s.map_or("-".to_owned(), |s| format!("{s:.2} s"));
    writeln!(out, "streams    {} of {} clips, {:.0} s", report.rounds, report.clips, report.stream_s)?;
    writeln!(out, "events     {} found for {} shown, {} fit", events.found, events.shown, events.fitting)?;
    writeln!(out, "precision  {}   recall {}   F1 {:.3}", share(events.precision), share(events.recall), events.f1)?;
    writeln!(out, "errors     start {}, end {} (medians)", seconds(events.start_error_s), seconds(events.end_error_s))?;
    writeln!(out, "gate       {} of {} steps encoded", gate.encoded, gate.steps)?;
    if gate.still_steps > 0 {
        writeln!(out, "  held     {} of {} steps encoded", gate.still_encoded, gate.still_steps)?;
    }
    writeln!(
        out,
        "  changes  top answer kept at {:.2} % of steps; confidence moved by {:.4} at most, {:.4} at 99 of 100",
        100.0 * gate.same_answer.unwrap_or(1.0),
        gate.most_moved,
        gate.moved_p99
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_differ_by_seed_and_lose_nothing() {
        let order = |seed| {
            let mut things: Vec<u32> = (0..20).collect();
            shuffle(&mut things, seed);
            things
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted = order(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
