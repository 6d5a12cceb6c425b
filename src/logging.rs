//! Log lines on stderr: `level: message`, as compilers print them. The journal adds timestamps and gets the level in
//! its own form.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

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
    // The lines are printed below. env_logger would wait for a stderr that stalls, even with nothing to print.
    builder.target(env_logger::Target::Pipe(Box::new(std::io::sink())));
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
        let line = match journal {
            true => format!("<{}>{line}", priority(record.level())),
            false => format!("{style}{name}:{style:#} {line}"),
        };
        match QUEUE.get() {
            Some(queue) => queue.push(line),
            None => print(&line)?,
        }
        Ok(())
    });
    builder.init();
    if !from_environment {
        log::set_max_level(options.given.unwrap_or(options.default));
    }
}

fn print(line: &str) -> std::io::Result<()> {
    writeln!(anstream::stderr(), "{line}")
}

/// Lines that wait for stderr, at most.
const MAX_WAITING: usize = 1024;
/// How long the end of the program waits for them.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Passes lines to a thread, so that nothing waits for a reader of stderr that stalls.
struct LineQueue {
    sender: SyncSender<String>,
    waiting: AtomicUsize,
    lost: AtomicU64,
}

static QUEUE: OnceLock<LineQueue> = OnceLock::new();

impl LineQueue {
    fn push(&self, line: String) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.sender.try_send(line).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn print(&self, line: &str) {
        // Nobody is left to report a closed stderr to.
        let _ = print(line);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = print(&format!("warning: {lost} log lines were lost, because stderr was not read"));
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets a thread print from now on, as the service needs.
pub fn print_on_thread() {
    let (sender, receiver) = sync_channel::<String>(MAX_WAITING);
    let work = move || {
        for line in receiver {
            if let Some(queue) = QUEUE.get() {
                queue.print(&line);
            }
        }
    };
    // Without the thread, lines are printed as before.
    match thread::Builder::new().name("log-writer".into()).spawn(work) {
        Ok(_) => {
            let queue = LineQueue { sender, waiting: AtomicUsize::new(0), lost: AtomicU64::new(0) };
            // A second call has no effect.
            let _ = QUEUE.set(queue);
        }
        Err(e) => log::warn!("the thread that prints log lines cannot be started: {e}"),
    }
}

/// Waits until all lines are printed, for a limited time.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let started = Instant::now();
    while queue.waiting.load(Ordering::Relaxed) > 0 && started.elapsed() < FLUSH_TIME {
        thread::sleep(Duration::from_millis(5));
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
