//! `bench`: measures the speed of each stage on this machine.

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bike_edge::health::peak_rss_bytes;
use bike_edge::io::shown_input;
use bike_edge::output::{JsonLines, output_error};
use bike_edge::pipeline::{Embedding, Engine, Workload};
use bike_edge::preprocess::CropAt;
use bike_edge::recognition::{FrameStamp, Recognizer};
use bike_edge::source::{SourceOptions, Stream, open_stream};
use bike_edge::units::{check_range, megabytes, milliseconds, percentile, rounded};
use bike_edge::{Error, Result};
use serde::Serialize;

use super::support::load_engine;
use crate::cli::{BenchArgs, Verbosity};
use crate::config::CommandSettings;

/// The default clip.
const EMBEDDED_CLIP: &[u8] = include_bytes!("../../tests/data/clip.mp4");

/// Minimum number of warm-up runs, in which caches fill and clock rates rise.
const WARM_UP: usize = 3;

/// Speed of this machine; the JSON of `bench --json`, schema 1 (docs/output.md).
#[derive(Serialize)]
struct Report {
    schema: u32,
    bundle: String,
    threads: usize,
    window: usize,
    categories: usize,
    runs: usize,
    stages: Stages,
    /// Frames per second if all stages run in sequence.
    fps: f64,
    /// Peak memory, MB.
    rss_mb: Option<f64>,
    load_ms: f64,
}

#[derive(Serialize)]
struct Stages {
    decode: Stage,
    preprocess: Stage,
    encode: Stage,
    /// Adding a frame to the window, and the scores of the video branch.
    spotting: Stage,
    /// The additional time for attributes: retrieval, composer, fusion.
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
        let at = |share: f64| percentile(&times, share).map_or(0.0, |time| milliseconds(time, 3));
        Self { median_ms: at(0.5), p95_ms: at(0.95) }
    }
}

/// Times per stage and run.
#[derive(Default)]
struct Times {
    decode: Vec<Duration>,
    preprocess: Vec<Duration>,
    encode: Vec<Duration>,
    spotting: Vec<Duration>,
    attributes: Vec<Duration>,
}

/// Decodes, crops, encodes and scores frames, and measures the time of each stage.
pub fn run(args: &BenchArgs, verbosity: Verbosity) -> Result<ExitCode> {
    check_range("--runs", args.runs, 1..=100_000, "a number")?;
    let settings = CommandSettings::resolve(args.settings.table()?, None)?;
    let mut engine = load_engine(&settings.model, Workload::Clips, verbosity)?;
    let load = engine.timings.load;
    let mut preprocessor = engine.preprocessor(settings.region)?;
    let (mut video_only, mut recognizer) = (engine.video_recognizer()?, engine.recognizer()?);
    let clip = Clip::new(args.input.as_deref())?;
    let mut stream = clip.open(&settings.source)?;
    let mut times = Times::default();
    let mut embedding = Embedding::default();
    let warm_up = WARM_UP.max(engine.model.recognition.window);
    for run in 0..args.runs + warm_up {
        if verbosity == Verbosity::Normal && run == warm_up {
            log::info!("warm-up done; {} runs follow", args.runs);
        }
        let started = Instant::now();
        let frame = match stream.first_at_or_after(0.0)? {
            Some(frame) => frame,
            None => {
                stream = clip.open(&settings.source)?;
                let empty = || Error::input(clip.name(), "no frame can be decoded");
                stream.first_at_or_after(0.0)?.ok_or_else(empty)?
            }
        };
        let decode = started.elapsed();
        let before = engine.timings;
        engine.embed(&mut preprocessor, &frame.picture, CropAt::Centre, &mut embedding)?;
        let stamp = FrameStamp { time: run as f64, index: run as u64 };
        let spotting = step(&mut video_only, stamp, &embedding)?;
        let whole = step(&mut recognizer, stamp, &embedding)?;
        if run >= warm_up {
            times.decode.push(decode);
            times.preprocess.push(engine.timings.preprocess - before.preprocess);
            times.encode.push(engine.timings.encode - before.encode);
            times.spotting.push(spotting);
            times.attributes.push(whole.saturating_sub(spotting));
        }
    }
    let report = report(&engine, times, args.runs, load);
    if args.json {
        JsonLines::new(std::io::stdout().lock()).write(&report)?;
    } else {
        print(&report).map_err(output_error)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn step(recognizer: &mut Recognizer, stamp: FrameStamp, embedding: &Embedding) -> Result<Duration> {
    let started = Instant::now();
    recognizer.push(stamp, &embedding.video, embedding.separate_attribute())?;
    recognizer.scores()?;
    Ok(started.elapsed())
}

fn report(engine: &Engine, times: Times, runs: usize, load: Duration) -> Report {
    let sum = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64();
    let all = [&times.decode, &times.preprocess, &times.encode, &times.spotting, &times.attributes];
    let seconds: f64 = all.iter().map(|times| sum(times)).sum();
    Report {
        schema: 1,
        bundle: engine.bundle.manifest.name.clone(),
        threads: engine.model.threads,
        window: engine.model.recognition.window,
        categories: engine.categories().len(),
        runs,
        stages: Stages {
            decode: Stage::of(times.decode),
            preprocess: Stage::of(times.preprocess),
            encode: Stage::of(times.encode),
            spotting: Stage::of(times.spotting),
            attributes: Stage::of(times.attributes),
        },
        fps: rounded(runs as f64 / seconds, 2),
        rss_mb: peak_rss_bytes().map(megabytes),
        load_ms: milliseconds(load, 1),
    }
}

/// The clip, which is decoded repeatedly.
enum Clip<'a> {
    Named(&'a OsStr),
    Embedded(tempfile::NamedTempFile),
}

impl<'a> Clip<'a> {
    fn new(named: Option<&'a OsStr>) -> Result<Self> {
        let Some(named) = named else {
            let failed = |e: std::io::Error| Error::Output(format!("a temporary file cannot be written: {e}"));
            let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
            file.write_all(EMBEDDED_CLIP).map_err(failed)?;
            return Ok(Self::Embedded(file));
        };
        if named == "-" {
            return Err(Error::Usage("bench reads its clip several times; name a file instead of -".into()));
        }
        Ok(Self::Named(named))
    }

    fn name(&self) -> String {
        match self {
            Self::Named(name) => shown_input(name),
            Self::Embedded(_) => "the clip inside this program".to_owned(),
        }
    }

    fn open(&self, options: &SourceOptions) -> Result<Box<dyn Stream>> {
        let input = match self {
            Self::Named(name) => name,
            Self::Embedded(file) => file.path().as_os_str(),
        };
        open_stream(input, options)
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
    writeln!(out, "{:.1} frames per second, peak memory {rss}, loaded in {:.0} ms", report.fps, report.load_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_report_median_and_p95() {
        let stage = Stage::of((1..=101).rev().map(Duration::from_millis).collect());
        assert_eq!((stage.median_ms, stage.p95_ms), (51.0, 96.0));
        assert_eq!(Stage::of(vec![]).median_ms, 0.0);
    }
}
