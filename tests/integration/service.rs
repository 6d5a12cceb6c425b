//! The service: its messages to systemd, events on disk, kills, secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::program::{PROGRAM, refused};

/// The longest wait for anything; a busy machine may be slow.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A folder with a configuration, and a named pipe in the place of a camera.
struct Scene {
    folder: tempfile::TempDir,
    playing: Arc<AtomicBool>,
    player: Option<JoinHandle<()>>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("camera.y4m");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let playing = Arc::new(AtomicBool::new(true));
        let play_more = playing.clone();
        let player = Some(std::thread::spawn(move || play_to_each_reader(&pipe, &play_more)));
        let scene = Self { folder, playing, player };
        scene.configure("");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path_text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes the configuration, with `more` at its end.
    fn configure(&self, more: &str) {
        let mut text = String::from("[model]\ncategories = [\"a cat\", \"a dog\"]\nthreads = 1\nstride_s = 0.1\n");
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

    fn start(&self) -> Running {
        let log = File::create(self.path("log")).unwrap();
        let notifications = UnixDatagram::bind(self.path("notify")).unwrap();
        notifications.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let child = Command::new(PROGRAM)
            .args(["run", "--config", &self.path_text("service.toml")])
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "2000000")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { child, notifications, messages: Vec::new(), log: self.path("log") }
    }

    /// Returns the lines of the event file, each of which must be complete.
    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    fn count_events(&self, kind: &str) -> usize {
        self.events().iter().filter(|event| event["event"] == kind).count()
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("state.json")).unwrap()).unwrap()
    }

    /// Checks that each event starts at most once in the file, and ends.
    fn check_that_every_event_ends(&self) {
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

impl Drop for Scene {
    fn drop(&mut self) {
        self.playing.store(false, Ordering::Relaxed);
        // A player that waits for a reader of the pipe gets one.
        let _ = fs::OpenOptions::new().read(true).write(true).open(self.path("camera.y4m"));
        // The player may still wait for a reader, so that it is not joined.
        drop(self.player.take());
    }
}

/// Writes a changing picture into the pipe, for one reader after another.
fn play_to_each_reader(pipe: &Path, play_more: &AtomicBool) {
    while play_more.load(Ordering::Relaxed) {
        play(pipe, play_more);
    }
}

/// Writes a changing picture into the pipe until its reader closes it.
fn play(pipe: &Path, play_more: &AtomicBool) {
    let Ok(mut out) = File::options().write(true).open(pipe) else { return };
    let mut level = 0_u8;
    let mut written = out.write_all(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n");
    while written.is_ok() && play_more.load(Ordering::Relaxed) {
        level = level.wrapping_add(1);
        let pixels: Vec<u8> = (0..64 * 48 * 3 / 2).map(|i| (i as u8).wrapping_mul(7) ^ level).collect();
        written = out.write_all(b"FRAME\n").and_then(|()| out.write_all(&pixels));
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Running {
    child: Child,
    notifications: UnixDatagram,
    /// The messages to systemd.
    messages: Vec<String>,
    log: PathBuf,
}

impl Running {
    /// Waits until a condition holds; receives messages to systemd meanwhile.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
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

    fn count_messages(&self, message: &str) -> usize {
        self.messages.iter().filter(|other| other.as_str() == message).count()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Stops the service; returns its exit code and log.
    fn stop(mut self) -> (Option<i32>, String) {
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

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.unbind();
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

#[test]
fn the_service_starts_reports_events_reloads_and_stops() {
    let scene = Scene::new();
    let mut service = scene.start();
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    service.until("watchdog message", |s| s.count_messages("WATCHDOG=1") >= 3);
    service.until("open event", |_| scene.count_events("new") >= 1 && scene.count_events("update") >= 1);
    service.until("status", |s| s.messages.iter().any(|message| message.starts_with("STATUS=1 of 1 cameras")));
    service.until("metrics", |_| {
        let metrics = fs::read_to_string(scene.path("metrics.prom")).unwrap_or_default();
        metrics.contains("bike_edge_steps_total{camera=\"pipe\"} ")
            && metrics.contains("bike_edge_camera_up{camera=\"pipe\"} 1")
    });
    assert!(!scene.state()["open"].as_object().unwrap().is_empty());

    // A configuration that cannot be used is refused and has no effect.
    scene.configure("statee = 1");
    service.signal("HUP");
    service.until("refused reload", |s| s.count_messages("RELOADING=1") == 1 && s.count_messages("READY=1") == 2);
    assert!(
        service.log().contains("keeping the current configuration") && service.log().contains("statee"),
        "{}",
        service.log()
    );
    let before = scene.events().len();
    service.until("new event lines", |_| scene.events().len() > before);

    // A good one is applied; its camera continues unchanged.
    scene.configure("status_s = 1.0");
    service.signal("HUP");
    service.until("applied reload", |s| s.count_messages("READY=1") == 3);
    assert!(service.log().contains("1 of 1 cameras are unchanged"), "{}", service.log());
    assert_eq!(scene.count_events("end"), 0);
    let before = scene.events().len();
    service.until("new event lines", |_| scene.events().len() > before);

    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    scene.check_that_every_event_ends();
    let state = scene.state();
    assert!(state["open"].as_object().unwrap().is_empty() && state["ended"].as_u64().unwrap() >= 1, "{state}");
}

#[test]
fn a_kill_leaves_events_and_state_intact() {
    let scene = Scene::new();
    for round in 0..6 {
        let mut service = scene.start();
        let before = scene.count_events("new");
        service.until("event", |_| scene.count_events("new") > before);
        std::thread::sleep(Duration::from_millis(137 * round));
        service.kill();
        assert_eq!(scene.state()["starts"], round + 1);
        assert!(fs::read_to_string(scene.path("events.jsonl")).unwrap().ends_with('\n'));
    }
    let mut service = scene.start();
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    let interrupted = scene.events().iter().filter(|event| event["interrupted"] == true).count();
    assert!(interrupted >= 6, "{interrupted}");
    scene.check_that_every_event_ends();
}

#[test]
fn a_half_written_line_is_repaired_at_the_start() {
    let scene = Scene::new();
    fs::write(scene.path("events.jsonl"), "{\"event\":\"end\",\"id\":\"x\"}\n{\"event\":\"ne").unwrap();
    let mut service = scene.start();
    service.until("repaired file", |s| {
        s.count_messages("READY=1") == 1 && !s.log().is_empty() && s.log().contains("unfinished line")
    });
    service.stop();
    assert_eq!(scene.events()[0]["id"], "x");
}

#[test]
fn a_password_appears_nowhere() {
    let scene = Scene::new();
    fs::write(scene.path("door.url"), "rtsp://me:hush@127.0.0.1:9/door?token=hush\n").unwrap();
    let camera = format!("[[camera]]\nname = \"door\"\nurl_file = \"{}\"\n", scene.path_text("door.url"));
    scene.configure(&camera);
    let checked = Command::new(PROGRAM).args(["check-config", &scene.path_text("service.toml")]).output().unwrap();
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !printed.contains("hush"), "{printed}");
    let settings: Vec<&str> = printed.lines().filter(|line| line.starts_with("camera[1].")).collect();
    assert!(settings.iter().any(|line| line.contains("rtsp://127.0.0.1:9/door?...")), "{printed}");

    let mut service = scene.start();
    service.until("metrics of both cameras", |_| {
        let metrics = fs::read_to_string(scene.path("metrics.prom")).unwrap_or_default();
        metrics.contains("bike_edge_camera_up{camera=\"pipe\"} 1")
            && metrics.contains("bike_edge_camera_up{camera=\"door\"} 0")
    });
    service.until("loss in the log", |s| s.log().contains("127.0.0.1:9"));
    let messages = service.messages.join("\n");
    let (_, log) = service.stop();
    for name in ["events.jsonl", "state.json", "metrics.prom"] {
        assert!(!fs::read_to_string(scene.path(name)).unwrap().contains("hush"), "{name}");
    }
    assert!(!log.contains("hush") && !messages.contains("hush"), "{log}");
}

/// Returns whether the command line of any process contains this text.
fn is_in_a_command_line(text: &str) -> bool {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    all.filter_map(|path| fs::read(path).ok()).any(|line| String::from_utf8_lossy(&line).contains(text))
}

/// The cameras are silent from the start: one is a pipe without a writer, the other an address that accepts a
/// connection and sends nothing.
#[test]
fn silent_cameras_delay_neither_the_others_nor_the_stop() {
    let scene = Scene::new();
    assert!(Command::new("mkfifo").arg(scene.path("unfed")).status().unwrap().success());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    scene.configure(&format!(
        "[[camera]]\nname = \"unfed\"\nsource = \"{}\"\ntimeout_s = 300.0\n\
         [[camera]]\nname = \"mute\"\nsource = \"rtsp://127.0.0.1:{port}/x\"\ntimeout_s = 300.0\n",
        scene.path_text("unfed")
    ));
    let mut service = scene.start();
    service.until("event of the third camera", |_| scene.count_events("new") >= 1);
    service.until("watchdog message", |s| s.count_messages("WATCHDOG=1") >= 3);
    service.until("metrics of all cameras", |_| {
        let metrics = fs::read_to_string(scene.path("metrics.prom")).unwrap_or_default();
        ["pipe\"} 1", "unfed\"} 0", "mute\"} 0"]
            .iter()
            .all(|up| metrics.contains(&format!("bike_edge_camera_up{{camera=\"{up}")))
    });
    let started = Instant::now();
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    // This is much less than the time-out of either; a busy machine may be slow.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}: {log}", started.elapsed());
    // No process still waits for the address.
    let started = Instant::now();
    while is_in_a_command_line(&format!("127.0.0.1:{port}")) {
        assert!(started.elapsed() < TIMEOUT, "an ffmpeg process is left");
        std::thread::sleep(Duration::from_millis(20));
    }

    // A writer that opens the pipe later is read, and so is a second one after the first has ended.
    fs::remove_file(scene.path("camera.y4m")).unwrap();
    scene.configure(&format!("[[camera]]\nname = \"unfed\"\nsource = \"{}\"\n", scene.path_text("unfed")));
    let mut service = scene.start();
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    for round in 1..=2 {
        let (pipe, playing) = (scene.path("unfed"), Arc::new(AtomicBool::new(true)));
        let play_more = playing.clone();
        // The player opens the pipe again if the reader is still at the end of the last stream, like a restarted
        // writer.
        let player = std::thread::spawn(move || play_to_each_reader(&pipe, &play_more));
        service.until("frames", |_| {
            let metrics = fs::read_to_string(scene.path("metrics.prom")).unwrap_or_default();
            let steps = metrics.lines().find_map(|line| line.strip_prefix("bike_edge_steps_total{camera=\"unfed\"} "));
            steps.and_then(|steps| steps.parse::<f64>().ok()).is_some_and(|steps| steps >= 20.0 * f64::from(round))
        });
        playing.store(false, Ordering::Relaxed);
        player.join().unwrap();
    }
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_configuration_with_a_systemd_credential_can_be_checked_without_it() {
    let scene = Scene::new();
    scene.configure("[[camera]]\nname = \"door\"\nurl_credential = \"door\"\n");
    let run = |command: &[&str]| {
        let mut program = Command::new(PROGRAM);
        program.env_remove("CREDENTIALS_DIRECTORY").args(command).arg(scene.path("service.toml")).output().unwrap()
    };
    let checked = run(&["check-config"]);
    let printed = String::from_utf8_lossy(&checked.stdout);
    let line = printed.lines().find(|line| line.starts_with("camera[1].url_credential = "));
    assert!(checked.status.success() && line.is_some_and(|line| line.contains("door")), "{checked:?}");
    refused(&run(&["run", "--config"]), 3, &["LoadCredential=door"]);
}

#[test]
fn a_service_that_cannot_start_gives_the_reason_in_one_line() {
    let scene = Scene::new();
    for (more, key) in
        [("[modell]", "modell"), ("[model.x]", "model"), ("exit_without_frames_s = -1", "exit_without_frames_s")]
    {
        scene.configure(more);
        for command in [&["run", "--config"][..], &["check-config"]] {
            let output = Command::new(PROGRAM).args(command).arg(scene.path("service.toml")).output().unwrap();
            refused(&output, 3, &["service.toml:", key]);
        }
    }
    fs::write(
        scene.path("service.toml"),
        "[model]\ncategories = [\"no such thing at all\"]\n[[camera]]\nname = \"a\"\nsource = \"/dev/video0\"\n",
    )
    .unwrap();
    let output = Command::new(PROGRAM).arg("check-config").arg(scene.path("service.toml")).output().unwrap();
    refused(&output, 3, &["service.toml:2: model.categories: ", "no such thing at all"]);
}

#[test]
fn the_service_exits_after_too_long_without_frames() {
    let scene = Scene::new();
    fs::remove_file(scene.path("camera.y4m")).unwrap();
    scene.configure("exit_without_frames_s = 0.5");
    let mut service = scene.start();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = service.child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < TIMEOUT);
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(3), "{}", service.log());
    assert!(service.log().contains("exit_without_frames_s"));
}
