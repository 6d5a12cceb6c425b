//! `eval`: top-1 and top-5 over a list of labelled clips.

mod list;

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use super::Voice;
use super::classify::progress_bar;
use super::clip_answer::score_clip;
use super::pipeline::Pipeline;
use crate::cli::args::{EvalArgs, RankBy};
use crate::config::SamplingPlan;
use crate::error::{Error, Result};
use crate::recognition::top_n;
use crate::sink::output_error;

/// Figures over a list; the JSON of `eval --json`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Report {
    schema: u32,
    list: String,
    bundle: String,
    clips: usize,
    /// Percent of the clips that could be read.
    top1: f64,
    top5: f64,
    /// Median rank of the true category, from 1.
    median_rank: f64,
    failures: Vec<Failure>,
    answers: Vec<ClipRank>,
    seconds: f64,
}

#[derive(Serialize)]
struct Failure {
    path: String,
    problem: String,
}

#[derive(Serialize)]
struct ClipRank {
    path: String,
    label: String,
    answer: String,
    /// From 1.
    rank: usize,
    confidence: f64,
}

/// Scores every clip of the list. Clips that cannot be read are counted, listed, and do not stop the run.
pub fn run(args: &EvalArgs, voice: Voice) -> Result<ExitCode> {
    let began = Instant::now();
    let mut pipeline = Pipeline::load(&args.model, &args.picture)?;
    let plan = SamplingPlan::new(&args.sampling, pipeline.picture.fit)?;
    let names = pipeline.recognizer.vocabulary().names().to_vec();
    let clips = list::read(&args.list, args.root.as_deref(), &names)?;
    let bar = (!voice.quiet && stderr().is_terminal()).then(|| progress_bar(clips.len()));
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for clip in &clips {
        let path = clip.path.display().to_string();
        match score_clip(&mut pipeline, clip.path.as_os_str(), &plan, &mut |_, _| {}) {
            Ok(scores) => {
                let confidence = scores.average.confidence();
                let ranked = match args.rank_by {
                    RankBy::Reference => scores.average.score(),
                    RankBy::Confidence => confidence.clone(),
                };
                let best = top_n(&ranked, 1).first().map_or(0, |(k, _)| *k);
                answers.push(ClipRank {
                    path,
                    label: names[clip.category].clone(),
                    answer: names[best].clone(),
                    rank: rank_of(clip.category, &ranked),
                    confidence: confidence[clip.category],
                });
            }
            Err(error @ (Error::Input { .. } | Error::Usage(_))) => {
                failures.push(Failure { path, problem: error.to_string() });
            }
            Err(error) => return Err(error),
        }
        if let Some(bar) = &bar {
            bar.inc(1);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let report = Report {
        schema: 1,
        list: args.list.display().to_string(),
        bundle: pipeline.bundle.manifest.name.clone(),
        clips: clips.len(),
        top1: within(&answers, 1),
        top5: within(&answers, 5),
        median_rank: median_rank(&answers),
        failures,
        answers,
        seconds: (began.elapsed().as_secs_f64() * 1e3).round() / 1e3,
    };
    if let Some(file) = &args.json {
        write_json(file, &report)?;
    }
    print(&report).map_err(output_error)?;
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// 1 + how many categories stand above the true one; ties go to the lower index, as a stable sort has it.
fn rank_of(category: usize, scores: &[f64]) -> usize {
    let own = scores[category];
    1 + scores.iter().enumerate().filter(|&(k, &score)| score > own || (score == own && k < category)).count()
}

/// Percent of answers whose rank is at most `n`.
fn within(answers: &[ClipRank], n: usize) -> f64 {
    if answers.is_empty() {
        return 0.0;
    }
    100.0 * answers.iter().filter(|answer| answer.rank <= n).count() as f64 / answers.len() as f64
}

fn median_rank(answers: &[ClipRank]) -> f64 {
    let mut ranks: Vec<_> = answers.iter().map(|answer| answer.rank).collect();
    ranks.sort_unstable();
    match (ranks.len(), ranks.len() / 2) {
        (0, _) => 0.0,
        (n, half) if n % 2 == 1 => ranks[half] as f64,
        (_, half) => (ranks[half - 1] + ranks[half]) as f64 / 2.0,
    }
}

/// Written beside and renamed, so that a full disk leaves no half file.
fn write_json(file: &Path, report: &Report) -> Result<()> {
    let failed = |problem: String| Error::Output(format!("--json {}: {problem}", file.display()));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(|e| failed(e.to_string()))?;
    serde_json::to_writer_pretty(&mut temporary, report).map_err(|e| failed(e.to_string()))?;
    temporary.write_all(b"\n").map_err(|e| failed(e.to_string()))?;
    temporary.persist(file).map_err(|e| failed(e.to_string()))?;
    Ok(())
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let read = report.answers.len();
    writeln!(out, "clips   {} ({} failed)", report.clips, report.failures.len())?;
    writeln!(out, "top-1   {:.2} %", report.top1)?;
    writeln!(out, "top-5   {:.2} %", report.top5)?;
    writeln!(out, "median rank {:.1} over {read} clips, {:.1} s", report.median_rank, report.seconds)?;
    for failure in &report.failures {
        writeln!(out, "failed  {}", failure.problem)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_those_above() {
        assert_eq!(rank_of(1, &[0.1, 0.7, 0.2]), 1);
        assert_eq!(rank_of(0, &[0.1, 0.7, 0.2]), 3);
        assert_eq!(rank_of(1, &[0.5, 0.5]), 2);
    }
}
