//! `calibrate`: thresholds of events from labelled clips.

mod threshold;

use std::ffi::OsStr;
use std::fmt::Write;
use std::process::ExitCode;

use super::whole_file::WholeFile;
use super::{Voice, labelled};
use crate::cli::args::{CalibrateArgs, EventArgs};
use crate::config::{PictureSettings, event_spec};
use crate::error::{Error, Result};
use crate::pipeline::{Engine, GateSpec, Sampler, Session, SessionSpec};
use crate::source::open_stream;
use threshold::{Best, Level, best};

/// A clip's levels: the highest that each category reached, `[K]`.
struct Reached {
    levels: Vec<f32>,
    /// What it shows.
    categories: Vec<usize>,
}

/// Watches every clip by itself, and sets thresholds between those that show a category and those that do not.
pub fn run(args: &CalibrateArgs, voice: Voice) -> Result<ExitCode> {
    if !(0.1..=3600.0).contains(&args.most) {
        return Err(Error::Usage(format!("--most {}: give seconds from 0.1 to 3600", args.most)));
    }
    let output = WholeFile::new("--out", &args.out)?;
    let picture = PictureSettings::new(&args.picture)?;
    let mut engine = Engine::load(&args.model)?;
    let names = engine.categories()?;
    let stride = engine.stride(args.stride);
    let flags = EventArgs { smoothing: args.smoothing, background: args.background.clone(), ..EventArgs::default() };
    let events = event_spec(&flags, &names, &engine.bundle.manifest.defaults.background, stride)?;
    let clips = labelled::read_marked(&args.list, args.root.as_deref(), &names)?;
    let gate = GateSpec { enabled: false, ..GateSpec::default() };
    let spec = SessionSpec { camera: "calibrate".into(), fit: picture.fit, roi: picture.roi, events, gate };
    let (mut reached, mut failed) = (Vec::new(), 0);
    for clip in &clips {
        let session = Session::new(&engine, &spec, Sampler::every(stride)?)?;
        match levels(clip.path.as_os_str(), session, &mut engine, args.most, &picture) {
            Ok(levels) => reached.push(Reached { levels, categories: clip.categories.clone() }),
            Err(error @ Error::Input { .. }) => {
                log::error!("{error}");
                failed += 1;
            }
            Err(error) => return Err(error),
        }
    }
    let background: Vec<bool> = names.iter().map(|name| spec.events.background.contains(name)).collect();
    let text = settings(&reached, &names, &background, args, spec.events.default.smoothing_s)?;
    output.write(text.as_bytes())?;
    if !voice.quiet {
        log::info!("{} clips, {failed} failed; thresholds written to {}", clips.len(), args.out.display());
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The highest level that each category reaches in a clip.
fn levels(
    input: &OsStr,
    mut session: Session,
    engine: &mut Engine,
    most_s: f64,
    picture: &PictureSettings,
) -> Result<Vec<f32>> {
    let mut stream = open_stream(input, &picture.source)?;
    let mut highest = vec![0.0_f32; session.names().len()];
    while let Some(next) = session.next_time().filter(|next| *next < most_s) {
        let Some(frame) = stream.first_at_or_after(next)? else { break };
        session.take(engine, &frame)?;
        highest.iter_mut().enumerate().for_each(|(k, highest)| *highest = highest.max(session.level(k)));
    }
    match session.steps() {
        0 => Err(Error::input(super::shown(input), "no frame in it can be decoded")),
        _ => Ok(highest),
    }
}

/// The file's text.
fn settings(
    reached: &[Reached],
    names: &[String],
    background: &[bool],
    args: &CalibrateArgs,
    smoothing_s: f64,
) -> Result<String> {
    let events = (0..names.len()).filter(|k| !background[*k]);
    let mut all = Vec::new();
    let mut own = Vec::new();
    for k in events {
        let of = |clip: &Reached| Level { level: clip.levels[k], positive: clip.categories.contains(&k) };
        // A clip of several categories need raise one of them alone: the others are neither missed nor false.
        let counts = |clip: &&Reached| !clip.categories.contains(&k) || is_best_of_its_own(clip, k);
        all.extend(reached.iter().filter(counts).map(of));
        let levels: Vec<Level> = reached.iter().map(of).collect();
        let positives = levels.iter().filter(|level| level.positive).count();
        if positives >= args.min_positives.max(1) {
            own.extend(best(&levels).map(|best| (k, best)));
        }
    }
    let problem = "no clip of the list reaches any confidence in its category; list more clips, or other categories";
    let global = best(&all).ok_or_else(|| Error::input(args.list.display().to_string(), problem))?;
    let mut text = format!(
        "# Thresholds of events, made by `bike-edge calibrate` from {} clips of {}.\n# The best F1 over all categories: \
         {}\nsmoothing_s = {smoothing_s:?}\non = {:.4}\n",
        reached.len(),
        args.list.display().to_string().escape_debug(),
        said(&global),
        global.threshold
    );
    for (k, best) in own {
        // A basic string of TOML may hold what a string of JSON may.
        let name = serde_json::to_string(&names[k]).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
        let said = said(&best);
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# {said}\n[category.{name}]\non = {:.4}\n", best.threshold);
    }
    Ok(text)
}

/// True where no other category of the clip reaches more.
fn is_best_of_its_own(clip: &Reached, k: usize) -> bool {
    clip.categories.iter().all(|other| (clip.levels[*other], k) <= (clip.levels[k], *other))
}

fn said(best: &Best) -> String {
    format!("F1 {:.2}, {} of {} found, {} false", best.f1, best.hits, best.positives, best.false_alarms)
}
