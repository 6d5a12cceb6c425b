//! The service in a folder of its own, with a named pipe in the place of a camera.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program::{PROGRAM, send_signal};

/// The longest wait for anything; a busy machine may be slow.
pub const TIMEOUT: Duration = Duration::from_secs(90);

/// A folder with a configuration, and a named pipe in the place of a camera.
pub struct ServiceFixture {
    pub folder: tempfile::TempDir,
    writing: Arc<AtomicBool>,
    /// How often the pipe was opened for reading.
    readers: Arc<AtomicUsize>,
    writer: Option<JoinHandle<()>>,
}

impl ServiceFixture {
    /// Creates the folder, and starts to write into the pipe.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("camera.y4m");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writing = Arc::new(AtomicBool::new(true));
        let readers = Arc::<AtomicUsize>::default();
        let (keep_writing, count) = (writing.clone(), readers.clone());
        let writer = Some(std::thread::spawn(move || write_to_each_reader(&pipe, &keep_writing, &count)));
        let fixture = Self { folder, writing, readers, writer };
        fixture.configure("");
        fixture
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the same as text.
    pub fn path_text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes the configuration, with `more` at its end.
    pub fn configure(&self, more: &str) {
        let mut text = String::from(
            "[model]\ncategories = [\"a cat\", \"a dog\"]\nthreads = 1\nstride_s = 0.1\nbackground = []\n",
        );
        let _ = writeln!(
            text,
            "[events]\non = 0.5\noff = 0.0\nmin_length_s = 0.0\nupdate_s = 1.0\n[gate]\nenabled = false"
        );
        let _ = writeln!(text, "[[camera]]\nname = \"pipe\"\nsource = \"{}\"", self.path_text("camera.y4m"));
        let _ = writeln!(text, "[[output]]\nkind = \"file\"\npath = \"{}\"", self.path_text("events.jsonl"));
        let _ = writeln!(text, "[metrics]\npath = \"{}\"\ninterval_s = 1.0", self.path_text("metrics.prom"));
        let _ = writeln!(text, "[health]\nstate = \"{}\"\n{more}", self.path_text("state.json"));
        fs::write(self.path("service.toml"), text).unwrap();
    }

    /// Starts the service.
    pub fn start(&self) -> Running {
        self.start_with(|command| command)
    }

    /// Starts the service with a changed command.
    pub fn start_with(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> Running {
        let log = File::create(self.path("log")).unwrap();
        let notifications = UnixDatagram::bind(self.path("notify")).unwrap();
        notifications.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "--config", &self.path_text("service.toml")])
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "2000000")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = change(&mut command).spawn().unwrap();
        Running { child, notifications, messages: Vec::new(), log: self.path("log") }
    }

    /// Returns the lines of the event file, each of which must be complete.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Counts the event lines of a kind.
    pub fn count_events(&self, kind: &str) -> usize {
        self.events().iter().filter(|event| event["event"] == kind).count()
    }

    /// Returns how often the pipe was opened for reading.
    pub fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    /// Returns a metric by its name with labels, 0 if it is not there yet.
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = fs::read_to_string(self.path("metrics.prom")).unwrap_or_default();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("bike_edge_{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    /// Returns how many frames of a camera were sampled.
    pub fn steps(&self, camera: &str) -> f64 {
        self.metric(&format!("steps_total{{camera=\"{camera}\"}}"))
    }

    /// Reads the state file.
    pub fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("state.json")).unwrap()).unwrap()
    }

    /// Checks that each event starts at most once in the file, and ends.
    pub fn check_that_every_event_ends(&self) {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in self.events() {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            lines.entry(text("id")).or_default().push(text("event"));
        }
        assert!(!lines.is_empty());
        for (id, kinds) in lines {
            let count = |kind: &str| kinds.iter().filter(|other| *other == kind).count();
            assert!(count("new") <= 1 && count("end") >= 1 && kinds.last().unwrap() == "end", "{id}: {kinds:?}");
        }
    }
}

impl Drop for ServiceFixture {
    fn drop(&mut self) {
        self.writing.store(false, Ordering::Relaxed);
        // A writer that waits for a reader of the pipe gets one.
        let _ = fs::OpenOptions::new().read(true).write(true).open(self.path("camera.y4m"));
        // The writer may still wait for a reader, so that it is not joined.
        drop(self.writer.take());
    }
}

/// Writes a changing picture into the pipe, for one reader after another.
pub fn write_to_each_reader(pipe: &Path, keep_writing: &AtomicBool, readers: &AtomicUsize) {
    while keep_writing.load(Ordering::Relaxed) {
        write_frames(pipe, keep_writing, readers);
    }
}

/// Writes a changing picture into the pipe until its reader closes it.
fn write_frames(pipe: &Path, keep_writing: &AtomicBool, readers: &AtomicUsize) {
    let Ok(mut out) = File::options().write(true).open(pipe) else { return };
    readers.fetch_add(1, Ordering::Relaxed);
    let mut level = 0_u8;
    let mut written = out.write_all(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n");
    while written.is_ok() && keep_writing.load(Ordering::Relaxed) {
        level = level.wrapping_add(1);
        let pixels: Vec<u8> = (0..64 * 48 * 3 / 2).map(|i| (i as u8).wrapping_mul(7) ^ level).collect();
        written = out.write_all(b"FRAME\n").and_then(|()| out.write_all(&pixels));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running service.
pub struct Running {
    pub child: Child,
    notifications: UnixDatagram,
    /// The messages to systemd.
    pub messages: Vec<String>,
    log: PathBuf,
}

impl Running {
    /// Waits until a condition holds; receives messages to systemd meanwhile.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        loop {
            let mut buffer = [0; 4096];
            while let Ok(length) = self.notifications.recv(&mut buffer) {
                self.messages.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
                if started.elapsed() > TIMEOUT {
                    break;
                }
                if holds(self) {
                    return;
                }
            }
            if holds(self) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < TIMEOUT,
                "no {what}; {ended:?}; messages {:?}; log: {}",
                self.messages,
                self.log()
            );
        }
    }

    /// Counts how often a message was sent to systemd.
    pub fn count_messages(&self, message: &str) -> usize {
        self.messages.iter().filter(|other| other.as_str() == message).count()
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        send_signal(&self.child, name);
    }

    /// Stops the service; returns its exit code and log.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < TIMEOUT, "the service does not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.unbind();
        (status.code(), self.log())
    }

    /// Kills the service.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.unbind();
    }

    /// Returns the processes that the service has started.
    pub fn children(&self) -> Vec<u32> {
        let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let parent = |text: &str| text.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok();
        all.filter(|pid| stat(*pid).and_then(|text| parent(&text)) == Some(self.child.id())).collect()
    }

    fn unbind(&self) {
        let address = self.notifications.local_addr().unwrap();
        fs::remove_file(address.as_pathname().unwrap()).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
