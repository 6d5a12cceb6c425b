//! `watch`: what a clip or stream shows, as it goes.

use std::process::ExitCode;
use std::time::SystemTime;

use serde::Serialize;

use super::pipeline::Pipeline;
use crate::cli::args::WatchArgs;
use crate::error::{Error, Result};
use crate::frame::CropAt;
use crate::live::Embedding;
use crate::recognition::{FrameStamp, Scores, top_n};
use crate::sink::{AttributeAnswer, JsonLines, SaliencyPoint};
use crate::source::{Seconds, open_stream};

/// Seconds that a window spans by default: the models saw clips of this length.
const CLIP_S: Seconds = 10.0;

/// A frame this much before its sampling time still counts, as container clocks are rounded to milliseconds.
const CLOCK_TOLERANCE_S: Seconds = 0.0005;

/// A line of `watch`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    input: &'a str,
    /// When the line was made, UTC; the only field that differs between two runs over the same frames.
    wall: String,
    /// Stream time of the newest frame, seconds.
    t: Seconds,
    frame: u64,
    /// False until the window holds T frames: scores are then over the frames there are.
    full: bool,
    label: &'a str,
    confidence: f64,
    results: Vec<Standing<'a>>,
    attributes: Vec<AttributeAnswer>,
    saliency: Vec<SaliencyPoint>,
}

#[derive(Serialize)]
struct Standing<'a> {
    label: &'a str,
    confidence: f64,
    score_video: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_attributes: Option<f64>,
}

/// Samples the stream at the stride, scores the window at each step, writes lines.
pub fn run(args: &WatchArgs) -> Result<ExitCode> {
    if args.top == 0 {
        return Err(Error::Usage("--top 0: give the number of answers in a line, 1 or more".into()));
    }
    let mut pipeline = Pipeline::load(&args.model, &args.picture)?;
    let stride = stride(args, &pipeline)?;
    let input = super::shown(&args.input);
    let mut stream = open_stream(&args.input, &pipeline.picture.source)?;
    let mut lines = JsonLines::new(std::io::stdout().lock());
    let mut embedding = Embedding::default();
    let mut last_label: Option<usize> = None;
    let mut sampled = 0_u64;
    let mut next = 0.0;
    while let Some(frame) = stream.first_at_or_after(next)? {
        pipeline.embed(&frame.picture, CropAt::Centre, &mut embedding)?;
        let stamp = FrameStamp { time: frame.time, index: frame.index };
        pipeline.push(stamp, &embedding)?;
        next = next_sample(frame.time, stride);
        sampled += 1;
        let scores = pipeline.recognizer.scores()?;
        let best = top_n(&scores.confidence, 1).first().map(|(k, _)| *k);
        if args.steps || best != last_label {
            last_label = best;
            let scores = scores.clone();
            lines.write(&line(&pipeline, &input, stamp, &scores, args.top))?;
        }
    }
    for warning in stream.warnings() {
        log::warn!("{input}: {warning}");
    }
    if sampled == 0 {
        return Err(Error::input(input, "no frame in it can be decoded"));
    }
    Ok(ExitCode::SUCCESS)
}

fn stride(args: &WatchArgs, pipeline: &Pipeline) -> Result<Seconds> {
    let manifest = &pipeline.engine.bundle.manifest;
    let own_window = pipeline.engine.model.window == manifest.model.window;
    // The bundle's stride is meant for its own window.
    let default = manifest.defaults.stride_s.filter(|_| own_window);
    let stride = args.stride.or(default).unwrap_or(CLIP_S / pipeline.engine.model.window as Seconds);
    if !(stride.is_finite() && (0.001..=3600.0).contains(&stride)) {
        return Err(Error::Usage(format!(
            "--stride {stride}: give seconds between sampled frames, from 0.001 to 3600"
        )));
    }
    Ok(stride)
}

/// The first multiple of the stride after `time`: late frames do not shift the grid.
fn next_sample(time: Seconds, stride: Seconds) -> Seconds {
    (((time + CLOCK_TOLERANCE_S) / stride).floor() + 1.0) * stride
}

fn line<'a>(pipeline: &'a Pipeline, input: &'a str, stamp: FrameStamp, scores: &Scores, top: usize) -> Line<'a> {
    let names = pipeline.recognizer.vocabulary().names();
    let ranking = top_n(&scores.confidence, top);
    let standing = |&(k, confidence): &(usize, f32)| Standing {
        label: &names[k],
        confidence: brief(confidence),
        score_video: brief(scores.s_v[k]),
        score_attributes: scores.s_a.get(k).copied().map(brief),
    };
    let (winner, confidence) = ranking.first().copied().unwrap_or((0, 0.0));
    let phrases = pipeline.engine.bundle.lexicon().map(|lexicon| &lexicon.phrases);
    let attribute = |&(i, similarity): &(u32, f32)| {
        let phrase = phrases.and_then(|phrases| phrases.get(i as usize)).cloned().unwrap_or_default();
        AttributeAnswer { phrase, similarity: brief(similarity) }
    };
    let columns = scores.frames.iter().zip(scores.saliency.row(winner));
    Line {
        schema: 1,
        input,
        wall: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        t: rounded(stamp.time),
        frame: stamp.index,
        full: scores.full,
        label: &names[winner],
        confidence: brief(confidence),
        results: ranking.iter().map(standing).collect(),
        attributes: scores.attributes.iter().map(attribute).collect(),
        saliency: columns
            .map(|(stamp, &weight)| SaliencyPoint { t: rounded(stamp.time), frame: stamp.index, weight: brief(weight) })
            .collect(),
    }
}

/// Four decimals, which is finer than any of these numbers means.
fn brief(number: f32) -> f64 {
    (f64::from(number) * 1e4).round() / 1e4
}

/// To the millisecond, which is as fine as containers tell it.
fn rounded(time: Seconds) -> Seconds {
    (time * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stay_on_the_grid_of_the_stride() {
        assert_eq!(next_sample(0.0, 1.25), 1.25);
        assert_eq!(next_sample(1.28, 1.25), 2.5);
        assert_eq!(next_sample(2.4997, 1.25), 3.75, "a rounded clock is not sampled twice");
        assert_eq!(next_sample(7.6, 1.25), 8.75, "a gap skips the steps it hides");
    }
}
