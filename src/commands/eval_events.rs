//! `eval-events`: measures precision and recall of events, and the effect of the gate, on streams concatenated from
//! labelled clips.

use std::io::Write;
use std::process::ExitCode;

use bike_edge::Result;
use bike_edge::evaluation::{
    ConcatenationSpec, EventEvaluation, EventEvaluationReport, Measures, evaluate_events, read_labelled_clips,
};
use bike_edge::output::output_error;
use bike_edge::pipeline::Workload;
use bike_edge::units::{check_range, rounded_time};
use serde::Serialize;

use super::support::{ReportFile, load_engine};
use crate::cli::{EvalEventsArgs, Verbosity};
use crate::config::{CommandSettings, advise};

/// Results for all streams; the JSON of `eval-events --json`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Report {
    schema: u32,
    list: String,
    bundle: String,
    clips: usize,
    rounds: u64,
    #[serde(flatten)]
    figures: EventEvaluationReport,
}

/// Concatenates streams, runs them with and without the gate, and compares the results.
pub fn run(args: &EvalEventsArgs, verbosity: Verbosity) -> Result<ExitCode> {
    check_range("--max-clip", args.max_clip, 0.1..=3600.0, "seconds")?;
    check_range("--hold", args.hold, 0.0..=3600.0, "seconds")?;
    check_range("--rounds", args.rounds, 1..=1000, "a number")?;
    let output = args.json.as_deref().map(|file| ReportFile::create("--json", file)).transpose()?;
    let mut settings = CommandSettings::resolve(args.settings.table()?, args.thresholds.as_deref())?;
    let mut engine = load_engine(&settings.model, Workload::Streams, verbosity)?;
    let advice = advise(&settings.layers, &mut settings.events, &engine);
    advice.iter().for_each(|advice| log::warn!("{advice}"));
    let clips = read_labelled_clips(&args.clips.list, args.clips.root.as_deref(), engine.categories())?;
    let evaluation = EventEvaluation {
        session: settings.session_spec("concatenated"),
        source: settings.source.clone(),
        concatenation: ConcatenationSpec { max_clip_s: args.max_clip, hold_s: args.hold, noise: args.noise },
        rounds: args.rounds,
        seed: args.seed,
    };
    let mut figures = evaluate_events(&mut engine, &clips, &evaluation).map_err(|e| settings.layers.locate(e))?;
    figures.stream_s = rounded_time(figures.stream_s);
    if verbosity == Verbosity::Normal {
        figures.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    }
    let report = Report {
        schema: 1,
        list: args.clips.list.display().to_string(),
        bundle: engine.bundle.manifest.name.clone(),
        clips: clips.len(),
        rounds: args.rounds,
        figures,
    };
    print(&report).map_err(output_error)?;
    if let Some(output) = output {
        output.write_json(&report)?;
    }
    Ok(if is_good_enough(args, &report.figures.events) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the required precision and recall. Logs an error for each that is not reached.
fn is_good_enough(args: &EvalEventsArgs, measures: &Measures) -> bool {
    let reaches = |name: &str, min: Option<f64>, reached: Option<f64>| {
        let enough = min.is_none_or(|min| reached.is_some_and(|reached| reached >= min));
        if !enough {
            let reached = reached.map_or("unknown".to_owned(), |reached| format!("{reached:.3}"));
            log::error!("the {name} is {reached}, below the required {:.3}", min.unwrap_or(0.0));
        }
        enough
    };
    let precision = reaches("precision", args.min_precision, measures.precision);
    let recall = reaches("recall", args.min_recall, measures.recall);
    precision && recall
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let EventEvaluationReport { stream_s, events, gate, .. } = &report.figures;
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.3}"));
    let seconds = |s: Option<f64>| s.map_or("-".to_owned(), |s| format!("{s:.2} s"));
    writeln!(out, "streams    {} of {} clips, {stream_s:.0} s", report.rounds, report.clips)?;
    writeln!(out, "events     {} detected for {} shown, {} match", events.found, events.shown, events.fitting)?;
    writeln!(out, "precision  {}   recall {}   F1 {:.3}", share(events.precision), share(events.recall), events.f1)?;
    writeln!(out, "errors     start {}, end {} (medians)", seconds(events.start_error_s), seconds(events.end_error_s))?;
    if let Some(per_hour) = events.false_events_per_hour {
        let (count, hours) = (events.false_events, events.empty_s / 3600.0);
        writeln!(out, "false      {count} in {hours:.2} hours that show no category, {per_hour:.2} per hour")?;
    }
    writeln!(out, "gate       {} of {} steps encoded", gate.encoded, gate.steps)?;
    if gate.still_steps > 0 {
        writeln!(out, "  held     {} of {} steps encoded", gate.still_encoded, gate.still_steps)?;
    }
    writeln!(
        out,
        "  changes  same top answer in {:.2} % of the steps; confidence changed by {:.4} at most, by {:.4} at the 99th \
         percentile",
        100.0 * gate.same_answer.unwrap_or(1.0),
        gate.most_moved,
        gate.moved_p99
    )?;
    out.flush()
}
