//! `eval`: top-1 and top-5 over a list of labelled clips.

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use super::clip_answer::score_clip;
use super::pipeline::Pipeline;
use super::whole_file::WholeFile;
use super::{Voice, labelled};
use crate::cli::args::{EvalArgs, RankBy};
use crate::cli::progress_bar;
use crate::config::SamplingPlan;
use crate::error::{Error, Result};
use crate::recognition::top_n;
use crate::output::output_error;

/// Figures over a list; the JSON of `eval --json`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Report {
    schema: u32,
    list: String,
    bundle: String,
    clips: usize,
    /// Percent of the clips that could be read; null where none could.
    top1: Option<f64>,
    top5: Option<f64>,
    /// Median rank of the true category, from 1.
    median_rank: Option<f64>,
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
    let output = args.json.as_deref().map(|file| WholeFile::new("--json", file)).transpose()?;
    let clips = labelled::read(&args.list, args.root.as_deref(), &names)?;
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
        bundle: pipeline.engine.bundle.manifest.name.clone(),
        clips: clips.len(),
        top1: within(&answers, 1),
        top5: within(&answers, 5),
        median_rank: median_rank(&answers),
        failures,
        answers,
        seconds: (began.elapsed().as_secs_f64() * 1e3).round() / 1e3,
    };
    print(&report).map_err(output_error)?;
    if let Some(output) = output {
        output.write_json(&report)?;
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// 1 + how many categories stand above the true one; ties go to the lower index, as a stable sort has it.
fn rank_of(category: usize, scores: &[f64]) -> usize {
    let own = scores[category];
    1 + scores.iter().enumerate().filter(|&(k, &score)| score > own || (score == own && k < category)).count()
}

/// Percent of answers whose rank is at most `n`.
fn within(answers: &[ClipRank], n: usize) -> Option<f64> {
    let hits = answers.iter().filter(|answer| answer.rank <= n).count();
    (!answers.is_empty()).then(|| 100.0 * hits as f64 / answers.len() as f64)
}

fn median_rank(answers: &[ClipRank]) -> Option<f64> {
    let mut ranks: Vec<_> = answers.iter().map(|answer| answer.rank).collect();
    ranks.sort_unstable();
    match (ranks.len(), ranks.len() / 2) {
        (0, _) => None,
        (n, half) if n % 2 == 1 => Some(ranks[half] as f64),
        (_, half) => Some((ranks[half - 1] + ranks[half]) as f64 / 2.0),
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let read = report.answers.len();
    writeln!(out, "clips   {} ({} failed)", report.clips, report.failures.len())?;
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.2} %"));
    writeln!(out, "top-1   {}", percent(report.top1))?;
    writeln!(out, "top-5   {}", percent(report.top5))?;
    let rank = report.median_rank.map_or("-".to_owned(), |rank| format!("{rank:.1}"));
    writeln!(out, "median rank {rank} over {read} clips, {:.1} s", report.seconds)?;
    for failure in &report.failures {
        let problem: String = failure.problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(out, "failed  {problem}")?;
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
