//! The service: told by systemd's means, events on disk, nothing lost by kills, no secret told.

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

/// Longest wait for anything; a machine at work may be slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// A folder with a configuration, and a pipe that plays the camera.
struct Scene {
    folder: tempfile::TempDir,
    filming: Arc<AtomicBool>,
    film: Option<JoinHandle<()>>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("camera.y4m");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let filming = Arc::new(AtomicBool::new(true));
        let go_on = filming.clone();
        let film = Some(std::thread::spawn(move || film(&pipe, &go_on)));
        let scene = Self { folder, filming, film };
        scene.configure("");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes the configuration, with `more` at its end.
    fn configure(&self, more: &str) {
        let mut text = String::from("[model]\ncategories = [\"a cat\", \"a dog\"]\nthreads = 1\nstride_s = 0.1\n");
        let _ = writeln!(
            text,
            "[events]\non = 0.5\noff = 0.0\nmin_length_s = 0.0\nupdate_s = 1.0\n[gate]\nenabled = false"
        );
        let _ = writeln!(text, "[[camera]]\nname = \"pipe\"\nsource = \"{}\"", self.shown("camera.y4m"));
        let _ = writeln!(text, "[output]\nkind = \"file\"\npath = \"{}\"", self.shown("events.jsonl"));
        let _ = writeln!(text, "[metrics]\npath = \"{}\"\nevery_s = 1.0", self.shown("figures.prom"));
        let _ = writeln!(text, "[health]\nstate = \"{}\"\n{more}", self.shown("state.json"));
        fs::write(self.path("service.toml"), text).unwrap();
    }

    fn start(&self) -> Running {
        let log = File::create(self.path("log")).unwrap();
        let told = UnixDatagram::bind(self.path("notify")).unwrap();
        told.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bike-edge"))
            .args(["run", "--config", &self.shown("service.toml")])
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "2000000")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { child, told, words: Vec::new(), log: self.path("log") }
    }

    /// Every line of the event file, each of which must be whole.
    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    fn told(&self, what: &str) -> usize {
        self.events().iter().filter(|event| event["event"] == what).count()
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("state.json")).unwrap()).unwrap()
    }

    /// Each event has one beginning and ends.
    fn every_event_ends(&self) {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in self.events() {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            lines.entry(text("id")).or_default().push(text("event"));
        }
        assert!(!lines.is_empty());
        for (id, told) in lines {
            let count = |what: &str| told.iter().filter(|word| *word == what).count();
            assert!(count("new") <= 1 && count("end") >= 1 && told.last().unwrap() == "end", "{id}: {told:?}");
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.filming.store(false, Ordering::Relaxed);
        // Whoever waits for a reader of the pipe finds one.
        let _ = fs::OpenOptions::new().read(true).write(true).open(self.path("camera.y4m"));
        if let Some(film) = self.film.take() {
            // It may still wait for a reader; the process does not wait for it.
            drop(film);
        }
    }
}

/// Plays a changing picture into the pipe, whenever someone reads it.
fn film(pipe: &Path, go_on: &AtomicBool) {
    while go_on.load(Ordering::Relaxed) {
        play(pipe, go_on);
    }
}

/// Plays it once, to whoever reads it first and until they go.
fn play(pipe: &Path, go_on: &AtomicBool) {
    let Ok(mut out) = File::options().write(true).open(pipe) else { return };
    let mut level = 0_u8;
    let mut written = out.write_all(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n");
    while written.is_ok() && go_on.load(Ordering::Relaxed) {
        level = level.wrapping_add(1);
        let pixels: Vec<u8> = (0..64 * 48 * 3 / 2).map(|i| (i as u8).wrapping_mul(7) ^ level).collect();
        written = out.write_all(b"FRAME\n").and_then(|()| out.write_all(&pixels));
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Running {
    child: Child,
    told: UnixDatagram,
    /// What systemd was told.
    words: Vec<String>,
    log: PathBuf,
}

impl Running {
    /// Waits until something holds, listening meanwhile.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        loop {
            let mut buffer = [0; 4096];
            while let Ok(length) = self.told.recv(&mut buffer) {
                self.words.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
                if began.elapsed() > PATIENCE {
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
                ended.is_none() && began.elapsed() < PATIENCE,
                "{what}; {ended:?}; told {:?}; log: {}",
                self.words,
                self.log()
            );
        }
    }

    fn heard(&self, word: &str) -> usize {
        self.words.iter().filter(|told| told.as_str() == word).count()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Stops it and returns the exit code.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not stop: {}", self.log());
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
        let address = self.told.local_addr().unwrap();
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
fn it_starts_tells_events_reloads_and_stops() {
    let scene = Scene::new();
    let mut service = scene.start();
    service.until("ready", |s| s.heard("READY=1") == 1);
    service.until("a watchdog that is pinged", |s| s.heard("WATCHDOG=1") >= 3);
    service.until("an event that goes on", |_| scene.told("new") >= 1 && scene.told("update") >= 1);
    service.until("a status", |s| s.words.iter().any(|word| word.starts_with("STATUS=1 of 1 cameras")));
    service.until("figures", |_| {
        let figures = fs::read_to_string(scene.path("figures.prom")).unwrap_or_default();
        figures.contains("bike_edge_steps_total{camera=\"pipe\"} ")
            && figures.contains("bike_edge_camera_up{camera=\"pipe\"} 1")
    });
    assert!(!scene.state()["open"].as_object().unwrap().is_empty());

    // A configuration that cannot be used is refused, and nothing is disturbed.
    scene.configure("statee = 1");
    service.signal("HUP");
    service.until("a refusal", |s| s.heard("RELOADING=1") == 1 && s.heard("READY=1") == 2);
    assert!(service.log().contains("the old one goes on") && service.log().contains("statee"), "{}", service.log());
    let before = scene.events().len();
    service.until("events as before", |_| scene.events().len() > before);

    // One that can be is taken; its camera goes on as it was.
    scene.configure("status_s = 1.0");
    service.signal("HUP");
    service.until("a new configuration", |s| s.heard("READY=1") == 3);
    assert!(service.log().contains("1 of 1 cameras go on as they were"), "{}", service.log());
    assert_eq!(scene.told("end"), 0);
    let before = scene.events().len();
    service.until("events as before", |_| scene.events().len() > before);

    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    scene.every_event_ends();
    let state = scene.state();
    assert!(state["open"].as_object().unwrap().is_empty() && state["ended"].as_u64().unwrap() >= 1, "{state}");
}

#[test]
fn kills_leave_events_and_state_intact() {
    let scene = Scene::new();
    for round in 0..6 {
        let mut service = scene.start();
        let before = scene.told("new");
        service.until("an event", |_| scene.told("new") > before);
        std::thread::sleep(Duration::from_millis(137 * round));
        service.kill();
        assert_eq!(scene.state()["starts"], round + 1);
        assert!(fs::read_to_string(scene.path("events.jsonl")).unwrap().ends_with('\n'));
    }
    let mut service = scene.start();
    service.until("ready", |s| s.heard("READY=1") == 1);
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    let interrupted = scene.events().iter().filter(|event| event["interrupted"] == true).count();
    assert!(interrupted >= 6, "{interrupted}");
    scene.every_event_ends();
}

#[test]
fn a_half_written_line_is_mended_on_start() {
    let scene = Scene::new();
    fs::write(scene.path("events.jsonl"), "{\"event\":\"end\",\"id\":\"x\"}\n{\"event\":\"ne").unwrap();
    let mut service = scene.start();
    service
        .until("an event", |s| s.heard("READY=1") == 1 && !s.log().is_empty() && s.log().contains("unfinished line"));
    service.stop();
    assert_eq!(scene.events()[0]["id"], "x");
}

#[test]
fn a_password_is_told_nowhere() {
    let scene = Scene::new();
    fs::write(scene.path("door.url"), "rtsp://me:hush@127.0.0.1:9/door?token=hush\n").unwrap();
    let camera = format!("[[camera]]\nname = \"door\"\nurl_file = \"{}\"\n", scene.shown("door.url"));
    scene.configure(&camera);
    let checked = Command::new(env!("CARGO_BIN_EXE_bike-edge"))
        .args(["check-config", &scene.shown("service.toml")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && told.contains("door: rtsp://127.0.0.1:9/door?...") && !told.contains("hush"),
        "{told}"
    );

    let mut service = scene.start();
    service.until("figures of both", |_| {
        let figures = fs::read_to_string(scene.path("figures.prom")).unwrap_or_default();
        figures.contains("bike_edge_camera_up{camera=\"pipe\"} 1")
            && figures.contains("bike_edge_camera_up{camera=\"door\"} 0")
    });
    service.until("the loss in the log", |s| s.log().contains("127.0.0.1:9"));
    let words = service.words.join("\n");
    let (_, log) = service.stop();
    for name in ["events.jsonl", "state.json", "figures.prom"] {
        assert!(!fs::read_to_string(scene.path(name)).unwrap().contains("hush"), "{name}");
    }
    assert!(!log.contains("hush") && !words.contains("hush"), "{log}");
}

/// Whether a process of this machine has this in its command line.
fn is_named_by_a_process(text: &str) -> bool {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    all.filter_map(|path| fs::read(path).ok()).any(|line| String::from_utf8_lossy(&line).contains(text))
}

/// Cameras that are silent from the start, each in its own way: a pipe that nobody feeds, and an address that takes a
/// connection and says nothing.
#[test]
fn silent_cameras_hold_up_neither_the_others_nor_the_end() {
    let scene = Scene::new();
    assert!(Command::new("mkfifo").arg(scene.path("nobody")).status().unwrap().success());
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    scene.configure(&format!(
        "[[camera]]\nname = \"nobody\"\nsource = \"{}\"\ntimeout_s = 300.0\n\
         [[camera]]\nname = \"mute\"\nsource = \"rtsp://127.0.0.1:{port}/x\"\ntimeout_s = 300.0\n",
        scene.shown("nobody")
    ));
    let mut service = scene.start();
    service.until("an event of the third", |_| scene.told("new") >= 1);
    service.until("a watchdog that is pinged", |s| s.heard("WATCHDOG=1") >= 3);
    service.until("figures of all", |_| {
        let figures = fs::read_to_string(scene.path("figures.prom")).unwrap_or_default();
        ["pipe\"} 1", "nobody\"} 0", "mute\"} 0"]
            .iter()
            .all(|up| figures.contains(&format!("bike_edge_camera_up{{camera=\"{up}")))
    });
    let began = Instant::now();
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    // Far less than the patience with either; a machine at work may be slow.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}: {log}", began.elapsed());
    // Nobody is left waiting for the address.
    let began = Instant::now();
    while is_named_by_a_process(&format!("127.0.0.1:{port}")) {
        assert!(began.elapsed() < PATIENCE, "an ffmpeg is left");
        std::thread::sleep(Duration::from_millis(20));
    }

    // Whoever feeds a pipe later is heard, and once more after it was started anew.
    fs::remove_file(scene.path("camera.y4m")).unwrap();
    scene.configure(&format!("[[camera]]\nname = \"nobody\"\nsource = \"{}\"\n", scene.shown("nobody")));
    let mut service = scene.start();
    service.until("a service", |s| s.heard("READY=1") == 1);
    for round in 1..=2 {
        let (pipe, go_on) = (scene.path("nobody"), Arc::new(AtomicBool::new(true)));
        let playing = go_on.clone();
        // Again where it comes while the reader still has the end of the last one, as a feeder that is started anew does.
        let player = std::thread::spawn(move || film(&pipe, &playing));
        service.until("frames", |_| {
            let figures = fs::read_to_string(scene.path("figures.prom")).unwrap_or_default();
            let steps = figures.lines().find_map(|line| line.strip_prefix("bike_edge_steps_total{camera=\"nobody\"} "));
            steps.and_then(|steps| steps.parse::<f64>().ok()).is_some_and(|steps| steps >= 20.0 * f64::from(round))
        });
        go_on.store(false, Ordering::Relaxed);
        player.join().unwrap();
    }
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn what_only_systemd_hands_over_can_be_checked_without_it() {
    let scene = Scene::new();
    scene.configure("[[camera]]\nname = \"door\"\nurl_credential = \"door\"\n");
    let asked = |command: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_bike-edge"));
        program.env_remove("CREDENTIALS_DIRECTORY").args(command).arg(scene.path("service.toml")).output().unwrap()
    };
    let checked = asked(&["check-config"]);
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && told.contains("door: credential door"), "{checked:?}");
    let refused = asked(&["run", "--config"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(3) && told.contains("LoadCredential=door"), "{told}");
}

#[test]
fn what_cannot_start_says_why_in_one_line() {
    let scene = Scene::new();
    for (more, told) in
        [("[modell]", "modell"), ("[model.x]", "model"), ("exit_without_frames_s = -1", "exit_without_frames_s")]
    {
        scene.configure(more);
        for command in [&["run", "--config"][..], &["check-config"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_bike-edge"))
                .args(command)
                .arg(scene.path("service.toml"))
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{stderr}");
            assert!(
                stderr.contains(told) && stderr.contains("service.toml") && stderr.trim().lines().count() == 1,
                "{stderr}"
            );
        }
    }
    fs::write(
        scene.path("service.toml"),
        "[model]\ncategories = [\"no such thing at all\"]\n[[camera]]\nname = \"a\"\nsource = \"/dev/video0\"\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bike-edge"))
        .arg("check-config")
        .arg(scene.path("service.toml"))
        .output()
        .unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no such thing at all"));
}

#[test]
fn it_ends_when_no_camera_gives_frames_for_too_long() {
    let scene = Scene::new();
    fs::remove_file(scene.path("camera.y4m")).unwrap();
    scene.configure("exit_without_frames_s = 0.5");
    let mut service = scene.start();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = service.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(3), "{}", service.log());
    assert!(service.log().contains("exit_without_frames_s"));
}
