//! `classify`: which action recorded clips show.

use std::ffi::OsStr;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use super::Voice;
use super::clip_answer::score_clip;
use super::pipeline::Pipeline;
use crate::cli::args::ClassifyArgs;
use crate::cli::progress_bar;
use crate::config::SamplingPlan;
use crate::error::{Error, Result};
use crate::output::{Answer, JsonLines, Terminal};

/// Crops to encode from which on a progress bar is worth its line.
const LONG_WORK: usize = 24;

/// Answers each input in turn; one that fails is reported and the others go on.
pub fn run(args: &ClassifyArgs, voice: Voice) -> Result<ExitCode> {
    if args.top == 0 {
        return Err(Error::Usage("--top 0: give the number of answers to show, 1 or more".into()));
    }
    let mut pipeline = Pipeline::load(&args.model, &args.picture)?;
    let plan = SamplingPlan::new(&args.sampling, pipeline.picture.fit)?;
    let mut sink = match args.json {
        true => Sink::Json(JsonLines::new(std::io::stdout())),
        false => Sink::Table(Terminal::new(anstream::stdout())),
    };
    let mut failed = Vec::new();
    for input in &args.inputs {
        match classify(&mut pipeline, input, &plan, args, voice) {
            Ok(answer) => sink.write(&answer)?,
            Err(error @ (Error::Input { .. } | Error::Usage(_))) => {
                if args.inputs.len() == 1 {
                    return Err(error);
                }
                log::error!("{error}");
                failed.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(match failed.len() {
        0 => ExitCode::SUCCESS,
        n if n == args.inputs.len() => failed[0].exit_code(),
        _ => ExitCode::FAILURE,
    })
}

enum Sink {
    Json(JsonLines<std::io::Stdout>),
    Table(Terminal<anstream::AutoStream<std::io::Stdout>>),
}

impl Sink {
    fn write(&mut self, answer: &Answer) -> Result<()> {
        match self {
            Self::Json(lines) => lines.write(answer),
            Self::Table(table) => table.write(answer),
        }
    }
}

fn classify(
    pipeline: &mut Pipeline,
    input: &OsStr,
    plan: &SamplingPlan,
    args: &ClassifyArgs,
    voice: Voice,
) -> Result<Answer> {
    let mut progress = None;
    let mut tick = |done: usize, all: usize| {
        if all >= LONG_WORK && !voice.quiet && stderr().is_terminal() {
            progress.get_or_insert_with(|| progress_bar(all)).set_position(done as u64);
        }
    };
    let scores = score_clip(pipeline, input, plan, &mut tick);
    if let Some(bar) = progress {
        bar.finish_and_clear();
    }
    let scores = scores?;
    for warning in &scores.seen.clip.warnings {
        log::warn!("{}: {warning}", super::shown(input));
    }
    scores.answer(pipeline, super::shown(input), args.top, args.raw)
}
