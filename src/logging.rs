//! Log lines on stderr: `level: message`, as compilers do; times are for the journal to add.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use log::{Level, LevelFilter};

use crate::cli::Cli;
use crate::cli::args::ColorWhen;

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
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, _) => LevelFilter::Debug,
    };
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
    builder.format(|_, record| {
        let (name, style) = match record.level() {
            Level::Error => ("error", AnsiColor::Red.on_default().bold()),
            Level::Warn => ("warning", AnsiColor::Yellow.on_default().bold()),
            Level::Info => ("info", Style::new()),
            Level::Debug | Level::Trace => ("debug", Style::new().dimmed()),
        };
        // Names of files and streams come from anyone: one line, and nothing that could drive the terminal.
        let line: String = record.args().to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(anstream::stderr(), "{style}{name}:{style:#} {line}")
    });
    builder.init();
}
