//! `eval`: top-1 and top-5 accuracy over a list of labelled clips.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use bike_edge::Result;
use bike_edge::evaluation::{RankReport, rank_clips, read_labelled_clips};
use bike_edge::io::printable;
use bike_edge::output::output_error;
use bike_edge::pipeline::{ClipClassifier, Workload};
use bike_edge::units::rounded;
use serde::Serialize;

use super::support::{ProgressBar, ReportFile, load_engine};
use crate::cli::{EvalArgs, Verbosity};
use crate::config::CommandSettings;

/// Results for a list; the JSON of `eval --json`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Report {
    schema: u32,
    list: String,
    bundle: String,
    #[serde(flatten)]
    ranks: RankReport,
    seconds: f64,
}

/// Ranks every clip of the list. Clips that cannot be read are counted and listed; they do not stop the
/// command.
pub fn run(args: &EvalArgs, verbosity: Verbosity) -> Result<ExitCode> {
    let started = Instant::now();
    let settings = CommandSettings::resolve(args.settings.table()?, None)?;
    let engine = load_engine(&settings.model, Workload::Clips, verbosity)?;
    let mut classifier = ClipClassifier::new(engine, settings.clip_spec())?;
    let output = args.json.as_deref().map(|file| ReportFile::create("--json", file)).transpose()?;
    let categories = classifier.engine().categories();
    let clips = read_labelled_clips(&args.clips.list, args.clips.root.as_deref(), categories)?;
    let unlabelled = clips.iter().filter(|clip| clip.categories.is_empty()).count();
    if unlabelled > 0 {
        log::warn!("{unlabelled} clips show none of the categories and are not ranked");
    }
    let (mut bar, mut done) = (ProgressBar::new(verbosity, 1, ""), 0);
    let all = clips.len() - unlabelled;
    bar.set(0, all);
    let ranks = rank_clips(&mut classifier, &clips, args.rank_by, &mut || {
        done += 1;
        bar.set(done, all);
    })?;
    drop(bar);
    let report = Report {
        schema: 1,
        list: args.clips.list.display().to_string(),
        bundle: classifier.engine().bundle.manifest.name.clone(),
        ranks,
        seconds: rounded(started.elapsed().as_secs_f64(), 3),
    };
    print(&report).map_err(output_error)?;
    if let Some(output) = output {
        output.write_json(&report)?;
    }
    Ok(if report.ranks.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let RankReport { clips, top1, top5, failures, answers, .. } = &report.ranks;
    writeln!(out, "clips   {clips} ({} failed)", failures.len())?;
    let percent = |share: &Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.2} %"));
    writeln!(out, "top-1   {}", percent(top1))?;
    writeln!(out, "top-5   {}", percent(top5))?;
    let number = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.3}"));
    let RankReport { mean_reciprocal_rank, mean_average_precision, .. } = report.ranks;
    writeln!(out, "mean reciprocal rank {}", number(mean_reciprocal_rank))?;
    writeln!(out, "mean average precision {}", number(mean_average_precision))?;
    let rank = report.ranks.median_rank.map_or("-".to_owned(), |rank| format!("{rank:.1}"));
    writeln!(out, "median rank {rank} over {} clips, {:.1} s", answers.len(), report.seconds)?;
    for failure in failures {
        writeln!(out, "failed  {}", printable(&failure.problem))?;
    }
    out.flush()
}
