//! What the flags and files of events say.

use std::path::Path;

use crate::cli::args::EventArgs;
use crate::error::{Error, Result};
use crate::events::{EventSettings, EventSpec};
use crate::source::Seconds;

/// Largest file of event settings that is read, bytes.
const MAX_FILE: u64 = 4 << 20;

/// Flags over the file that they name, over the defaults. `categories` are those answered with, `background` the
/// bundle's own group, `stride` the seconds between steps.
///
/// # Errors
/// [`Error::Usage`] naming a setting out of its range, [`Error::Input`] for a file that cannot be read.
pub fn event_spec(
    args: &EventArgs,
    categories: &[String],
    background: &[String],
    stride: Seconds,
) -> Result<EventSpec> {
    let file = args.thresholds.as_deref().map(read_event_settings).transpose()?.unwrap_or_default();
    let names = |text: &String| text.split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    let flags = EventSettings {
        smoothing_s: args.smoothing,
        on: args.on,
        off: args.off,
        min_length_s: args.min_length,
        cool_down_s: args.cool_down,
        update_s: args.update,
        background: args.background.as_ref().map(names),
        ..EventSettings::default()
    };
    let known: Vec<String> = background.iter().filter(|name| categories.contains(name)).cloned().collect();
    flags.over(file).resolve(&known, stride)
}

/// Settings of events from a TOML file.
///
/// # Errors
/// [`Error::Input`] naming the line.
pub fn read_event_settings(path: &Path) -> Result<EventSettings> {
    let shown = path.display().to_string();
    let bytes = std::fs::metadata(path).map_err(|e| Error::input(&shown, e.to_string()))?.len();
    if bytes > MAX_FILE {
        return Err(Error::input(shown, format!("{bytes} bytes is too long for settings of events (4 MiB)")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::input(&shown, e.to_string()))?;
    toml::from_str(&text).map_err(|e| {
        let line =
            e.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
        let problem = e.message().replace('\n', " ");
        Error::input(shown, format!("line {line}: {problem}; docs/events.md lists the settings"))
    })
}
