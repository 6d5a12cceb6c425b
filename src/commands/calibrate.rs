//! `calibrate`: finds event thresholds from labelled clips.

use std::process::ExitCode;

use bike_edge::evaluation::{Calibration, clip_levels, read_labelled_clips, thresholds_file};
use bike_edge::pipeline::Workload;
use bike_edge::units::check_range;
use bike_edge::{Error, Result};

use super::support::{ReportFile, load_engine};
use crate::cli::{CalibrateArgs, Verbosity};
use crate::config::CommandSettings;

/// Runs every clip as a separate stream. Sets thresholds between the clips that show a category and the clips that do
/// not.
pub fn run(args: &CalibrateArgs, verbosity: Verbosity) -> Result<ExitCode> {
    check_range("--max-clip", args.max_clip, 0.1..=3600.0, "seconds")?;
    let output = ReportFile::create("--out", &args.out)?;
    let settings = CommandSettings::resolve(args.settings.table()?, None)?;
    let mut engine = load_engine(&settings.model, Workload::Streams, verbosity)?;
    let clips = read_labelled_clips(&args.clips.list, args.clips.root.as_deref(), engine.categories())?;
    let calibration = Calibration {
        session: settings.session_spec("calibrate"),
        source: settings.source,
        max_clip_s: args.max_clip,
        min_positives: args.min_positives,
    };
    let (mut levels, mut failed) = (Vec::new(), 0);
    for clip in &clips {
        match clip_levels(&mut engine, clip, &calibration) {
            Ok(clip) => levels.push(clip),
            Err(error @ Error::Input { .. }) => {
                log::error!("{error}");
                failed += 1;
            }
            Err(error) => return Err(error),
        }
    }
    let text = thresholds_file(&engine, &levels, &calibration, &args.clips.list)?;
    output.write(text.as_bytes())?;
    if verbosity == Verbosity::Normal {
        log::info!("{} clips, {failed} failed; thresholds written to {}", clips.len(), args.out.display());
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
