//! `bundle`: inspects, verifies, packs and unpacks bundles.

use std::io::Write;
use std::process::ExitCode;

use bike_edge::Result;
use bike_edge::bundle::{self, Bundle, BundleRef};
use bike_edge::io::IfExists;
use bike_edge::output::{JsonLines, output_error};

use crate::cli::BundleCommand;

/// Runs one of the bundle commands.
pub fn run(command: &BundleCommand) -> Result<ExitCode> {
    match command {
        BundleCommand::Inspect { bundle, lexicon, categories, json } => {
            let bundle = Bundle::open(&BundleRef::from(bundle.as_os_str()))?;
            match (lexicon, categories, json) {
                (Some(pattern), _, _) => list_phrases(&bundle, pattern),
                (None, true, _) => print_lines(&bundle.categories().names),
                (None, false, true) => JsonLines::new(std::io::stdout().lock()).write(&bundle.manifest),
                (None, false, false) => bundle::describe(&bundle, &mut anstream::stdout().lock()).map_err(output_error),
            }?;
            Ok(ExitCode::SUCCESS)
        }
        BundleCommand::Verify { bundle } => verify(&BundleRef::from(bundle.as_os_str())),
        BundleCommand::Pack { dir, file, force } => {
            let if_exists = if *force { IfExists::Replace } else { IfExists::Fail };
            bundle::pack(&BundleRef::from(dir.as_os_str()), file, if_exists)?;
            Ok(ExitCode::SUCCESS)
        }
        BundleCommand::Unpack { file, dir } => {
            bundle::unpack(&BundleRef::from(file.as_os_str()), dir)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list_phrases(bundle: &Bundle, pattern: &str) -> Result<()> {
    let pattern = pattern.to_lowercase();
    let phrases = bundle.lexicon().map_or(&[][..], |lexicon| &lexicon.phrases);
    let found: Vec<_> = phrases.iter().filter(|phrase| phrase.to_lowercase().contains(&pattern)).collect();
    if found.is_empty() {
        log::warn!("no phrase of the lexicon ({} phrases) contains `{pattern}`", phrases.len());
    }
    print_lines(&found)
}

fn print_lines(lines: &[impl AsRef<str>]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{}", line.as_ref())).map_err(output_error)
}

fn verify(bundle: &BundleRef) -> Result<ExitCode> {
    let mut out = anstream::stdout().lock();
    let (mut failed, mut written) = (0, Ok(()));
    bundle::verify(bundle, &mut |check, result| {
        let line = match result {
            Ok(()) => writeln!(out, "ok    {check}"),
            Err(problem) => {
                failed += 1;
                writeln!(out, "FAIL  {check}: {problem}")
            }
        };
        if written.is_ok() {
            written = line;
        }
    });
    written.map_err(output_error)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(4) })
}
