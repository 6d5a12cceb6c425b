//! Whoever stops `watch` is told how what went on ended.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clips::{CLIP, part_as_y4m};

/// Nothing here takes nearly as long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// `watch` of a film of a cat that goes on until `sending` is taken down; the pipe stays open after that.
struct Watched {
    child: Child,
    sending: Arc<AtomicBool>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    told: Vec<Value>,
    feeder: std::thread::JoinHandle<ChildStdin>,
}

impl Watched {
    /// Waits until an event is told.
    fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bike-edge"))
            .args(["watch", "-", "--min-length", "0.5", "--threads", "1"])
            .args(flags)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let sending = Arc::new(AtomicBool::new(true));
        let (mut pipe, go_on) = (child.stdin.take().expect("a pipe"), sending.clone());
        let feeder = std::thread::spawn(move || {
            let film = part_as_y4m(OsStr::new(CLIP), 2.48..4.94);
            let header = film.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
            let mut sent = pipe.write_all(&film[..header]);
            let frame = (film.len() - header) / film.windows(6).filter(|six| six == b"FRAME\n").count();
            for frame in film[header..].chunks(frame).cycle() {
                if sent.is_err() || !go_on.load(Ordering::Relaxed) {
                    break;
                }
                sent = pipe.write_all(frame);
                std::thread::sleep(Duration::from_millis(10));
            }
            pipe
        });
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut watched = Self { child, sending, lines, told: Vec::new(), feeder };
        while !watched.told.iter().any(|event| event["event"] == "new") {
            assert!(watched.hear(), "it ended before an event");
        }
        watched
    }

    /// Takes in a line; false at the end.
    fn hear(&mut self) -> bool {
        let Some(line) = self.lines.next() else { return false };
        self.told.push(serde_json::from_str(&line.expect("text")).expect("JSON"));
        true
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    /// Its exit code, what it told, and what it said on stderr.
    fn ended(mut self) -> (Option<i32>, Vec<Value>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.sending.store(false, Ordering::Relaxed);
        self.feeder.join().expect("fed");
        for line in self.lines.by_ref() {
            self.told.push(serde_json::from_str(&line.expect("text")).expect("JSON"));
        }
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().expect("a pipe"), &mut said).expect("text");
        (status.code(), self.told, said)
    }
}

#[test]
fn a_signal_ends_what_goes_on_and_then_the_command() {
    for (signal, flags, code) in [("INT", &[][..], 130), ("TERM", &["--live"], 143), ("INT", &["--live"], 130)] {
        let watched = Watched::start(flags);
        watched.signal(signal);
        let (ended, told, said) = watched.ended();
        assert_eq!((ended, said.as_str()), (Some(code), ""), "{signal} {flags:?}: {told:?}");
        for new in told.iter().filter(|event| event["event"] == "new") {
            let ends = told.iter().filter(|event| event["event"] == "end" && event["id"] == new["id"]).count();
            assert_eq!(ends, 1, "{signal} {flags:?}: {told:?}");
        }
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let watched = Watched::start(&[]);
    // Nothing comes any more, so that the first signal waits for the next frame.
    watched.sending.store(false, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(500));
    watched.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    watched.signal("INT");
    let (code, told, _) = watched.ended();
    assert_eq!(code, Some(130), "{told:?}");
    assert!(told.iter().all(|event| event["event"] != "end"), "nothing is told any more: {told:?}");
}

#[test]
fn an_input_that_falls_silent_is_an_error_after_the_end_of_what_went_on() {
    let watched = Watched::start(&["--io-timeout", "0.5"]);
    watched.sending.store(false, Ordering::Relaxed);
    let (code, told, said) = watched.ended();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("--io-timeout") && told.iter().any(|event| event["event"] == "end"), "{said} {told:?}");
}
