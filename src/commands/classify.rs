//! `classify`: recognises the action in recorded clips.

use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Instant;

use bike_edge::io::shown_input;
use bike_edge::output::{
    Answer, AttributeAnswer, BundleName, JsonLines, RankedCategory, Raw, SaliencyPoint, Terminal, Timing,
};
use bike_edge::pipeline::{ClipClassifier, ClipScores, ClipView, Workload};
use bike_edge::recognition::top_n;
use bike_edge::units::{milliseconds, rounded_time};
use bike_edge::{Error, Result};

use super::support::{ProgressBar, load_engine};
use crate::cli::{ClassifyArgs, Verbosity};
use crate::config::CommandSettings;

/// Minimum number of crops for a progress bar.
const MANY_CROPS: usize = 24;

/// Classifies one input after another. If an input fails, the error is logged and the next input follows.
pub fn run(args: &ClassifyArgs, verbosity: Verbosity) -> Result<ExitCode> {
    if args.top == 0 {
        return Err(Error::Usage("--top 0: give the number of categories to show, 1 or more".into()));
    }
    let settings = CommandSettings::resolve(args.settings.table()?, None)?;
    let started = Instant::now();
    let engine = load_engine(&settings.model, Workload::Clips, verbosity)?;
    let mut classifier = ClipClassifier::new(engine, settings.clip_spec())?;
    let mut load_ms = milliseconds(started.elapsed(), 2);
    let mut printer = match args.json {
        true => Printer::Json(JsonLines::new(std::io::stdout())),
        false => Printer::Table(Terminal::new(anstream::stdout())),
    };
    let mut failed = Vec::new();
    for input in &args.inputs {
        match classify(&mut classifier, input, args, load_ms, verbosity) {
            Ok(answer) => printer.write(&answer)?,
            Err(error @ (Error::Input { .. } | Error::Usage(_) | Error::Setting { .. })) => {
                let error = crate::cli::name_flag(error);
                if args.inputs.len() == 1 {
                    return Err(error);
                }
                log::error!("{error}");
                failed.push(error);
            }
            Err(error) => return Err(error),
        }
        // Only the first answer includes the loading time.
        load_ms = 0.0;
    }
    Ok(match failed.len() {
        0 => ExitCode::SUCCESS,
        n if n == args.inputs.len() => ExitCode::from(failed[0].exit_code()),
        _ => ExitCode::FAILURE,
    })
}

/// Where answers are printed.
enum Printer {
    Json(JsonLines<std::io::Stdout>),
    Table(Terminal<anstream::AutoStream<std::io::Stdout>>),
}

impl Printer {
    fn write(&mut self, answer: &Answer) -> Result<()> {
        match self {
            Self::Json(lines) => lines.write(answer),
            Self::Table(table) => table.write(answer),
        }
    }
}

fn classify(
    classifier: &mut ClipClassifier,
    input: &OsStr,
    args: &ClassifyArgs,
    load_ms: f64,
    verbosity: Verbosity,
) -> Result<Answer> {
    let mut bar = ProgressBar::new(verbosity, MANY_CROPS, "");
    let scores = classifier.classify(input, &mut |done, all| bar.set(done, all));
    drop(bar);
    let scores = scores?;
    let input = shown_input(input);
    for warning in &scores.encoded.clip.warnings {
        log::warn!("{input}: {warning}");
    }
    answer(classifier, &scores, input, args, load_ms)
}

/// Converts the scores of a clip to an answer: the best categories, the saliency of the winner, attributes.
fn answer(
    classifier: &mut ClipClassifier,
    scores: &ClipScores,
    input: String,
    args: &ClassifyArgs,
    load_ms: f64,
) -> Result<Answer> {
    let started = Instant::now();
    let explanation = classifier.explain(scores)?;
    let engine = classifier.engine();
    let (confidence, score) = (scores.average.confidence(), scores.average.score());
    let (s_v, s_a) = (scores.average.s_v(), scores.average.s_a());
    let result = |&(category, confidence): &(usize, f64)| RankedCategory {
        label: engine.categories()[category].clone(),
        confidence,
        score: score[category],
        score_video: s_v[category],
        score_attributes: s_a.get(category).copied(),
    };
    let attribute = |&(phrase, similarity): &(u32, f32)| AttributeAnswer {
        phrase: engine.phrases().get(phrase as usize).cloned().unwrap_or_default(),
        similarity: similarity.into(),
    };
    let clip = &scores.encoded.clip;
    let manifest = &engine.bundle.manifest;
    Ok(Answer {
        schema: Answer::SCHEMA,
        input,
        frames: clip.frames,
        duration_s: clip.duration_s.map(rounded_time),
        bundle: BundleName { name: manifest.name.clone(), version: manifest.version.clone() },
        results: top_n(&confidence, args.top).iter().map(result).collect(),
        attributes: explanation.attributes.iter().map(attribute).collect(),
        saliency: explanation
            .saliency
            .iter()
            .map(|(stamp, weight)| SaliencyPoint { t: rounded_time(stamp.time), frame: stamp.index, weight: *weight })
            .collect(),
        raw: args.raw.then(|| raw(engine.categories(), scores)),
        warnings: clip.warnings.clone(),
        timing_ms: Timing {
            load: load_ms,
            decode: milliseconds(clip.decode, 2),
            preprocess: milliseconds(scores.timings.preprocess, 2),
            encode: milliseconds(scores.timings.encode, 2),
            recognise: milliseconds(scores.timings.recognise, 2),
            total: load_ms + milliseconds(scores.total + started.elapsed(), 2),
        },
    })
}

fn raw(categories: &[String], scores: &ClipScores) -> Raw {
    let embedding = |view: &ClipView, frame| {
        let stored = scores.encoded.get(frame, view.crop);
        stored.map(|(_, embedding)| embedding.video.clone()).unwrap_or_default()
    };
    let views = &scores.encoded.clip.views;
    let embeddings = |view: &ClipView| view.frames.iter().map(|&frame| embedding(view, frame)).collect();
    Raw {
        labels: categories.to_vec(),
        s_v: scores.average.s_v(),
        s_a: scores.average.s_a(),
        frame_indices: views.iter().map(|view| view.frames.clone()).collect(),
        frame_embeddings: views.iter().map(embeddings).collect(),
    }
}
