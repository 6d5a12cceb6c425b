//! Log lines on stderr: `level: message`, as compilers do; times are for the journal to add, which is told the level in
//! its own way.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use log::{Level, LevelFilter};

use crate::cli::Cli;
use crate::cli::args::{ColorWhen, Command};

/// Whether -q or -v was given, which stands over any configuration.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Sets the level of what runs by a configuration, unless -q or -v was given.
pub fn set_level(level: LevelFilter) {
    if !ASKED.load(Ordering::Relaxed) {
        log::set_max_level(level);
    }
}

/// Sets the log level and colours from the command line; `RUST_LOG` overrides the level.
pub fn start(cli: &Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => LevelFilter::Error,
        // A service's configuration sets its level once it is read.
        (false, 0) if matches!(cli.command, Command::Run(_)) => LevelFilter::Debug,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, _) => LevelFilter::Debug,
    };
    ASKED.store(cli.quiet || cli.verbose > 0, Ordering::Relaxed);
    let journal = stderr_is_the_journal();
    match cli.color {
        ColorWhen::Auto => {}
        ColorWhen::Always => anstream::ColorChoice::Always.write_global(),
        ColorWhen::Never => anstream::ColorChoice::Never.write_global(),
    }
    let mut builder = env_logger::Builder::new();
    // The model runtime tells of its own work at these levels; only -vv asks for that.
    builder.filter_level(if cli.verbose > 1 { LevelFilter::Info } else { LevelFilter::Error });
    builder.filter_module("bike_edge", level);
    builder.parse_default_env();
    builder.format(move |_, record| {
        let (name, style) = match record.level() {
            Level::Error => ("error", AnsiColor::Red.on_default().bold()),
            Level::Warn => ("warning", AnsiColor::Yellow.on_default().bold()),
            Level::Info => ("info", Style::new()),
            Level::Debug | Level::Trace => ("debug", Style::new().dimmed()),
        };
        // Names of files and streams come from anyone: one line, and nothing that could drive the terminal.
        let line: String = record.args().to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if journal {
            return writeln!(std::io::stderr(), "<{}>{line}", priority(record.level()));
        }
        writeln!(anstream::stderr(), "{style}{name}:{style:#} {line}")
    });
    builder.init();
    set_level(if matches!(cli.command, Command::Run(_)) { LevelFilter::Info } else { level });
}

/// As syslog numbers them; the journal takes `<N>` before a line for it.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// systemd names the journal's stream by device and inode, so that a stderr that was redirected is not taken for it.
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
