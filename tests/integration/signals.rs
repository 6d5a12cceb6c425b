//! A stopped `watch` ends its open events and reports them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::clips::{CLIP, part_as_y4m};
use crate::support::program::{PROGRAM, send_signal};

/// The longest wait for anything; no step takes nearly as long, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running `watch` that reads pictures of a cat until `sending` is cleared. The pipe stays open after that.
struct Watch {
    child: Child,
    sending: Arc<AtomicBool>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    events: Vec<Value>,
    feeder: std::thread::JoinHandle<ChildStdin>,
}

impl Watch {
    /// Starts it and waits until an event is reported.
    fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["watch", "-", "--min-length", "0.5", "--threads", "1"])
            .args(flags)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let sending = Arc::new(AtomicBool::new(true));
        let (mut pipe, send_more) = (child.stdin.take().expect("a pipe"), sending.clone());
        let feeder = std::thread::spawn(move || {
            let y4m = part_as_y4m(OsStr::new(CLIP), 2.48..4.94);
            let header = y4m.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
            let mut sent = pipe.write_all(&y4m[..header]);
            let frame = (y4m.len() - header) / y4m.windows(6).filter(|six| six == b"FRAME\n").count();
            for frame in y4m[header..].chunks(frame).cycle() {
                if sent.is_err() || !send_more.load(Ordering::Relaxed) {
                    break;
                }
                sent = pipe.write_all(frame);
                std::thread::sleep(Duration::from_millis(10));
            }
            pipe
        });
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut watch = Self { child, sending, lines, events: Vec::new(), feeder };
        while !watch.events.iter().any(|event| event["event"] == "new") {
            assert!(watch.read_event(), "the program ended before an event");
        }
        watch
    }

    /// Reads an event line; returns false at the end.
    fn read_event(&mut self) -> bool {
        let Some(line) = self.lines.next() else { return false };
        self.events.push(serde_json::from_str(&line.expect("text")).expect("JSON"));
        true
    }

    fn signal(&self, name: &str) {
        send_signal(&self.child, name);
    }

    /// Waits for the end; returns the exit code, the events and stderr.
    fn wait(mut self) -> (Option<i32>, Vec<Value>, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if started.elapsed() > TIMEOUT {
                let _ = self.child.kill();
                panic!("the program does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.sending.store(false, Ordering::Relaxed);
        self.feeder.join().expect("fed");
        for line in self.lines.by_ref() {
            self.events.push(serde_json::from_str(&line.expect("text")).expect("JSON"));
        }
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().expect("a pipe"), &mut stderr).expect("text");
        (status.code(), self.events, stderr)
    }
}

#[test]
fn a_signal_ends_open_events_and_then_the_command() {
    for (signal, flags, code) in [("INT", &[][..], 130), ("TERM", &["--live"], 143), ("INT", &["--live"], 130)] {
        let watch = Watch::start(flags);
        watch.signal(signal);
        let (exit, events, stderr) = watch.wait();
        assert_eq!((exit, stderr.as_str()), (Some(code), ""), "{signal} {flags:?}: {events:?}");
        for new in events.iter().filter(|event| event["event"] == "new") {
            let ends = events.iter().filter(|event| event["event"] == "end" && event["id"] == new["id"]).count();
            assert_eq!(ends, 1, "{signal} {flags:?}: {events:?}");
        }
    }
}

#[test]
fn a_second_signal_ends_the_command_at_once() {
    let watch = Watch::start(&[]);
    // No frame arrives any more, so that the first signal waits for the next one.
    watch.sending.store(false, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(500));
    watch.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    watch.signal("INT");
    let (code, events, _) = watch.wait();
    assert_eq!(code, Some(130), "{events:?}");
    assert!(events.iter().all(|event| event["event"] != "end"), "no event is reported any more: {events:?}");
}

#[test]
fn a_silent_input_is_an_error_after_its_open_events_end() {
    let watch = Watch::start(&["--io-timeout", "0.5"]);
    watch.sending.store(false, Ordering::Relaxed);
    let (code, events, stderr) = watch.wait();
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("--io-timeout"), "{stderr}");
    assert!(events.iter().any(|event| event["event"] == "end"), "{stderr} {events:?}");
}
