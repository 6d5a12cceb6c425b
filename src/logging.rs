//! Log lines on stderr: `level: message`, as compilers print them. The journal adds timestamps and gets the level in
//! its own form.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use bike_edge::io::{printable, redact};
use log::{Level, LevelFilter};

/// Whether -q or -v was given, which overrides any configuration.
static LEVEL_GIVEN: AtomicBool = AtomicBool::new(false);

/// Sets the level that a configuration gives, unless -q or -v was given.
pub fn set_level(level: LevelFilter) {
    if !LEVEL_GIVEN.load(Ordering::Relaxed) {
        log::set_max_level(level);
    }
}

/// Logging options of the command line.
pub struct LogOptions {
    /// The level if -q or -v was given.
    pub given: Option<LevelFilter>,
    /// The level otherwise.
    pub default: LevelFilter,
    /// Whether the model runtime logs its own work.
    pub runtime: bool,
    /// When to use colours.
    pub colors: anstream::ColorChoice,
}

/// Starts logging; `RUST_LOG` overrides the level.
pub fn start(options: &LogOptions) {
    let from_environment = std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_some();
    LEVEL_GIVEN.store(options.given.is_some() || from_environment, Ordering::Relaxed);
    options.colors.write_global();
    let journal = stderr_is_the_journal();
    let mut builder = env_logger::Builder::new();
    if from_environment {
        builder.parse_default_env();
    } else {
        builder.filter_level(if options.runtime { LevelFilter::Info } else { LevelFilter::Error });
        // Everything that a configuration may request later; the maximum below decides.
        builder.filter_module("bike_edge", LevelFilter::Debug);
    }
    builder.format(move |_, record| {
        let (name, style) = match record.level() {
            Level::Error => ("error", AnsiColor::Red.on_default().bold()),
            Level::Warn => ("warning", AnsiColor::Yellow.on_default().bold()),
            Level::Info => ("info", Style::new()),
            Level::Debug | Level::Trace => ("debug", Style::new().dimmed()),
        };
        // Names of files and streams may contain any character: print one line without control characters. Errors are
        // printed here too, so that no secret passes.
        let line = printable(&redact(&record.args().to_string()));
        if journal {
            return writeln!(std::io::stderr(), "<{}>{line}", priority(record.level()));
        }
        writeln!(anstream::stderr(), "{style}{name}:{style:#} {line}")
    });
    builder.init();
    if !from_environment {
        log::set_max_level(options.given.unwrap_or(options.default));
    }
}

/// Returns the number of the level in syslog; the journal reads `<N>` at the start of a line.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Returns whether stderr is the journal. systemd identifies the journal's stream by device and inode, so that a
/// redirected stderr is not mistaken for it.
#[cfg(unix)]
fn stderr_is_the_journal() -> bool {
    use std::os::unix::fs::MetadataExt;
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|meta| named == format!("{}:{}", meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn stderr_is_the_journal() -> bool {
    false
}
