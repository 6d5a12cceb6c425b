//! `bench`: how fast each stage is on this machine.

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Voice;
use super::pipeline::Pipeline;
use crate::cli::args::BenchArgs;
use crate::error::{Error, Result};
use crate::preprocess::CropAt;
use crate::health::peak_rss_bytes;
use crate::pipeline::{Embedding, recognizer};
use crate::recognition::{FrameStamp, Recognizer};
use crate::output::{JsonLines, output_error};
use crate::source::{Stream, open_stream};

/// The clip that is decoded where none is named.
const OWN_CLIP: &[u8] = include_bytes!("../../tests/data/clip.mp4");

/// Runs before anything is counted: caches fill, clocks rise.
const WARM_UP: usize = 3;

/// Figures of this machine; the JSON of `bench --json`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Report {
    schema: u32,
    bundle: String,
    threads: usize,
    window: usize,
    categories: usize,
    runs: usize,
    stages: Stages,
    /// Frames a second through all stages, one after the other.
    fps: f64,
    /// Most memory held at once, MB.
    rss_mb: Option<f64>,
    load_ms: f64,
}

#[derive(Serialize)]
struct Stages {
    decode: Stage,
    preprocess: Stage,
    encode: Stage,
    /// A new frame in the window and scores of the video branch.
    spotting: Stage,
    /// What attributes add to that: retrieval, composer, fusion.
    attributes: Stage,
}

#[derive(Clone, Copy, Serialize)]
struct Stage {
    median_ms: f64,
    p95_ms: f64,
}

impl Stage {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| times.get(((times.len().max(1) - 1) as f64 * share).round() as usize);
        let millis = |time: Option<&Duration>| time.map_or(0.0, |t| (t.as_secs_f64() * 1e6).round() / 1e3);
        Self { median_ms: millis(at(0.5)), p95_ms: millis(at(0.95)) }
    }
}

/// Times of each stage, run by run.
#[derive(Default)]
struct Times {
    decode: Vec<Duration>,
    preprocess: Vec<Duration>,
    encode: Vec<Duration>,
    spotting: Vec<Duration>,
    attributes: Vec<Duration>,
}

/// Decodes, cuts, encodes and scores frame after frame, timing each stage.
pub fn run(args: &BenchArgs, voice: Voice) -> Result<ExitCode> {
    if !(1..=100_000).contains(&args.runs) {
        return Err(Error::Usage(format!("--runs {}: give a number from 1 to 100000", args.runs)));
    }
    let mut pipeline = Pipeline::load(&args.model, &args.picture)?;
    let load = pipeline.engine.spent.load;
    let vocabulary = pipeline.recognizer.vocabulary().clone();
    let mut video_alone = recognizer(&pipeline.engine.bundle, &pipeline.engine.model, vocabulary, false)?;
    let clip = Clip::new(args.input.as_deref())?;
    let mut stream = clip.open(&pipeline)?;
    let mut times = Times::default();
    let mut embedding = Embedding::default();
    let warm_up = WARM_UP.max(pipeline.engine.model.window);
    for run in 0..args.runs + warm_up {
        if !voice.quiet && run == warm_up {
            log::info!("warm; {} runs follow", args.runs);
        }
        let began = Instant::now();
        let frame = match stream.first_at_or_after(0.0)? {
            Some(frame) => frame,
            None => {
                stream = clip.open(&pipeline)?;
                let empty = || Error::input(clip.name(), "no frame in it can be decoded");
                stream.first_at_or_after(0.0)?.ok_or_else(empty)?
            }
        };
        let decode = began.elapsed();
        let before = pipeline.engine.spent;
        pipeline.embed(&frame.picture, CropAt::Centre, &mut embedding)?;
        let stamp = FrameStamp { time: run as f64, index: run as u64 };
        let spotting = step(&mut video_alone, stamp, &embedding)?;
        let whole = step(&mut pipeline.recognizer, stamp, &embedding)?;
        if run >= warm_up {
            times.decode.push(decode);
            times.preprocess.push(pipeline.engine.spent.preprocess - before.preprocess);
            times.encode.push(pipeline.engine.spent.encode - before.encode);
            times.spotting.push(spotting);
            times.attributes.push(whole.saturating_sub(spotting));
        }
    }
    let report = report(&pipeline, times, args.runs, load);
    if args.json {
        JsonLines::new(std::io::stdout().lock()).write(&report)?;
    } else {
        print(&report).map_err(output_error)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn step(recognizer: &mut Recognizer, stamp: FrameStamp, embedding: &Embedding) -> Result<Duration> {
    let began = Instant::now();
    recognizer.push(stamp, &embedding.video, embedding.own_attribute())?;
    recognizer.scores()?;
    Ok(began.elapsed())
}

fn report(pipeline: &Pipeline, times: Times, runs: usize, load: Duration) -> Report {
    let sum = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64();
    let all = [&times.decode, &times.preprocess, &times.encode, &times.spotting, &times.attributes];
    let seconds: f64 = all.iter().map(|times| sum(times)).sum();
    Report {
        schema: 1,
        bundle: pipeline.engine.bundle.manifest.name.clone(),
        threads: pipeline.engine.model.threads,
        window: pipeline.engine.model.window,
        categories: pipeline.recognizer.vocabulary().len(),
        runs,
        stages: Stages {
            decode: Stage::of(times.decode),
            preprocess: Stage::of(times.preprocess),
            encode: Stage::of(times.encode),
            spotting: Stage::of(times.spotting),
            attributes: Stage::of(times.attributes),
        },
        fps: (runs as f64 / seconds * 100.0).round() / 100.0,
        rss_mb: peak_rss_bytes().map(|bytes| (bytes as f64 / 1e5).round() / 10.0),
        load_ms: (load.as_secs_f64() * 1e4).round() / 10.0,
    }
}

/// The clip that is decoded, over and over.
enum Clip<'a> {
    Named(&'a OsStr),
    Own(tempfile::NamedTempFile),
}

impl<'a> Clip<'a> {
    fn new(named: Option<&'a OsStr>) -> Result<Self> {
        let Some(named) = named else {
            let failed = |e: std::io::Error| Error::Output(format!("a temporary file cannot be written: {e}"));
            let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
            file.write_all(OWN_CLIP).map_err(failed)?;
            return Ok(Self::Own(file));
        };
        if named == "-" {
            return Err(Error::Usage("bench reads its clip again and again; name a file instead of -".into()));
        }
        Ok(Self::Named(named))
    }

    fn name(&self) -> String {
        match self {
            Self::Named(name) => super::shown(name),
            Self::Own(_) => "the clip inside this binary".to_owned(),
        }
    }

    fn open(&self, pipeline: &Pipeline) -> Result<Box<dyn Stream>> {
        let input = match self {
            Self::Named(name) => name,
            Self::Own(file) => file.path().as_os_str(),
        };
        open_stream(input, &pipeline.picture.source)
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} on {} threads, T = {}, {} categories, {} runs",
        report.bundle, report.threads, report.window, report.categories, report.runs
    )?;
    writeln!(out, "{:<12}{:>12}{:>12}", "stage", "median ms", "p95 ms")?;
    let stages = &report.stages;
    for (name, stage) in [
        ("decode", stages.decode),
        ("preprocess", stages.preprocess),
        ("encode", stages.encode),
        ("spotting", stages.spotting),
        ("attributes", stages.attributes),
    ] {
        writeln!(out, "{name:<12}{:>12.3}{:>12.3}", stage.median_ms, stage.p95_ms)?;
    }
    let rss = report.rss_mb.map_or("unknown".to_owned(), |mb| format!("{mb:.0} MB"));
    writeln!(out, "{:.1} frames a second, peak memory {rss}, loaded in {:.0} ms", report.fps, report.load_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_give_median_and_p95() {
        let stage = Stage::of((1..=101).rev().map(Duration::from_millis).collect());
        assert_eq!((stage.median_ms, stage.p95_ms), (51.0, 96.0));
        assert_eq!(Stage::of(vec![]).median_ms, 0.0);
    }
}
