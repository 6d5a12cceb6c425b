//! The service: its messages to systemd, events on disk, kills, secrets.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::program::{PROGRAM, refused};
use crate::support::service::{ServiceFixture, TIMEOUT, write_to_each_reader};

#[test]
fn the_service_starts_reports_events_reloads_and_stops() {
    let fixture = ServiceFixture::new();
    let mut service = fixture.start();
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    service.until("watchdog message", |s| s.count_messages("WATCHDOG=1") >= 3);
    service.until("open event", |_| fixture.count_events("new") >= 1 && fixture.count_events("update") >= 1);
    service.until("status", |s| s.messages.iter().any(|message| message.starts_with("STATUS=1 of 1 cameras")));
    service.until("metrics", |_| {
        let metrics = fs::read_to_string(fixture.path("metrics.prom")).unwrap_or_default();
        metrics.contains("bike_edge_steps_total{camera=\"pipe\"} ")
            && metrics.contains("bike_edge_camera_up{camera=\"pipe\"} 1")
    });
    assert!(!fixture.state()["open"].as_object().unwrap().is_empty());

    // A configuration that cannot be used is refused and has no effect.
    fixture.configure("statee = 1");
    service.signal("HUP");
    service.until("refused reload", |s| s.count_messages("RELOADING=1") == 1 && s.count_messages("READY=1") == 2);
    service.until("the refusal in the log", |s| {
        s.log().contains("the new configuration is refused") && s.log().contains("statee")
    });
    let before = fixture.events().len();
    service.until("new event lines", |_| fixture.events().len() > before);

    // A good one is applied; its camera continues unchanged.
    fixture.configure("status_s = 1.0");
    service.signal("HUP");
    service.until("applied reload", |s| s.count_messages("READY=1") == 3);
    service.until("the reload in the log", |s| s.log().contains("1 of 1 cameras are unchanged"));
    assert_eq!(fixture.count_events("end"), 0);
    let before = fixture.events().len();
    service.until("new event lines", |_| fixture.events().len() > before);

    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    fixture.check_that_every_event_ends();
    let state = fixture.state();
    assert!(state["open"].as_object().unwrap().is_empty() && state["ended"].as_u64().unwrap() >= 1, "{state}");
}

#[test]
fn a_kill_leaves_events_and_state_intact() {
    let fixture = ServiceFixture::new();
    for round in 0..6 {
        let mut service = fixture.start();
        let before = fixture.count_events("new");
        service.until("event", |_| fixture.count_events("new") > before);
        std::thread::sleep(Duration::from_millis(137 * round));
        service.kill();
        assert_eq!(fixture.state()["starts"], round + 1);
        assert!(fs::read_to_string(fixture.path("events.jsonl")).unwrap().ends_with('\n'));
    }
    let mut service = fixture.start();
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    let interrupted = fixture.events().iter().filter(|event| event["interrupted"] == true).count();
    assert!(interrupted >= 6, "{interrupted}");
    fixture.check_that_every_event_ends();
}

#[test]
fn a_half_written_line_is_repaired_at_the_start() {
    let fixture = ServiceFixture::new();
    fs::write(fixture.path("events.jsonl"), "{\"event\":\"end\",\"id\":\"x\"}\n{\"event\":\"ne").unwrap();
    let mut service = fixture.start();
    service.until("repaired file", |s| {
        s.count_messages("READY=1") == 1 && !s.log().is_empty() && s.log().contains("unfinished line")
    });
    service.stop();
    assert_eq!(fixture.events()[0]["id"], "x");
}

#[test]
fn a_password_appears_nowhere() {
    let fixture = ServiceFixture::new();
    fs::write(fixture.path("door.url"), "rtsp://me:hush@127.0.0.1:9/door?token=hush\n").unwrap();
    let camera = format!("[[camera]]\nname = \"door\"\nurl_file = \"{}\"\n", fixture.path_text("door.url"));
    fixture.configure(&camera);
    let checked = Command::new(PROGRAM).args(["check-config", &fixture.path_text("service.toml")]).output().unwrap();
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !printed.contains("hush"), "{printed}");
    let settings: Vec<&str> = printed.lines().filter(|line| line.starts_with("camera[1].")).collect();
    assert!(settings.iter().any(|line| line.contains("rtsp://127.0.0.1:9/...")), "{printed}");

    let mut service = fixture.start();
    service.until("metrics of both cameras", |_| {
        let metrics = fs::read_to_string(fixture.path("metrics.prom")).unwrap_or_default();
        metrics.contains("bike_edge_camera_up{camera=\"pipe\"} 1")
            && metrics.contains("bike_edge_camera_up{camera=\"door\"} 0")
    });
    service.until("loss in the log", |s| s.log().contains("127.0.0.1:9"));
    let messages = service.messages.join("\n");
    let (_, log) = service.stop();
    for name in ["events.jsonl", "state.json", "metrics.prom"] {
        assert!(!fs::read_to_string(fixture.path(name)).unwrap().contains("hush"), "{name}");
    }
    assert!(!log.contains("hush") && !messages.contains("hush"), "{log}");
}

/// The cameras are silent from the start: one is a pipe without a writer, the other a URL that accepts a
/// connection and sends nothing.
#[test]
fn silent_cameras_delay_neither_the_others_nor_the_stop() {
    let fixture = ServiceFixture::new();
    assert!(Command::new("mkfifo").arg(fixture.path("unfed")).status().unwrap().success());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    fixture.configure(&format!(
        "[[camera]]\nname = \"unfed\"\nsource = \"{}\"\ntimeout_s = 300.0\n\
         [[camera]]\nname = \"mute\"\nsource = \"rtsp://127.0.0.1:{port}/x\"\ntimeout_s = 300.0\n",
        fixture.path_text("unfed")
    ));
    let mut service = fixture.start();
    service.until("event of the third camera", |_| fixture.count_events("new") >= 1);
    service.until("watchdog message", |s| s.count_messages("WATCHDOG=1") >= 3);
    service.until("metrics of all cameras", |_| {
        let metrics = fs::read_to_string(fixture.path("metrics.prom")).unwrap_or_default();
        ["pipe\"} 1", "unfed\"} 0", "mute\"} 0"]
            .iter()
            .all(|up| metrics.contains(&format!("bike_edge_camera_up{{camera=\"{up}")))
    });
    let (started, children) = (Instant::now(), service.children());
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    // This is much less than the timeout of either; a busy machine may be slow.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}: {log}", started.elapsed());
    // No process still waits for the URL.
    let started = Instant::now();
    while children.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        assert!(started.elapsed() < TIMEOUT, "an ffmpeg process is left");
        std::thread::sleep(Duration::from_millis(20));
    }

    // A writer that opens the pipe later is read, and so is a second one after the first has ended.
    fs::remove_file(fixture.path("camera.y4m")).unwrap();
    fixture.configure(&format!("[[camera]]\nname = \"unfed\"\nsource = \"{}\"\n", fixture.path_text("unfed")));
    let mut service = fixture.start();
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    for round in 1..=2 {
        let (pipe, writing) = (fixture.path("unfed"), Arc::new(AtomicBool::new(true)));
        let keep_writing = writing.clone();
        // The writer opens the pipe again if the reader is still at the end of the last stream, like a restarted
        // writer.
        let writer = std::thread::spawn(move || write_to_each_reader(&pipe, &keep_writing, &AtomicUsize::default()));
        service.until("frames", |_| {
            let metrics = fs::read_to_string(fixture.path("metrics.prom")).unwrap_or_default();
            let steps = metrics.lines().find_map(|line| line.strip_prefix("bike_edge_steps_total{camera=\"unfed\"} "));
            steps.and_then(|steps| steps.parse::<f64>().ok()).is_some_and(|steps| steps >= 20.0 * f64::from(round))
        });
        writing.store(false, Ordering::Relaxed);
        writer.join().unwrap();
    }
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_configuration_with_a_systemd_credential_can_be_checked_without_it() {
    let fixture = ServiceFixture::new();
    fixture.configure("[[camera]]\nname = \"door\"\nurl_credential = \"door\"\n");
    let run = |command: &[&str]| {
        let mut program = Command::new(PROGRAM);
        program.env_remove("CREDENTIALS_DIRECTORY").args(command).arg(fixture.path("service.toml")).output().unwrap()
    };
    let checked = run(&["check-config"]);
    let printed = String::from_utf8_lossy(&checked.stdout);
    let line = printed.lines().find(|line| line.starts_with("camera[1].url_credential = "));
    assert!(checked.status.success() && line.is_some_and(|line| line.contains("door")), "{checked:?}");
    refused(&run(&["run", "--config"]), 3, &["LoadCredential=door"]);
}

#[test]
fn a_service_that_cannot_start_gives_the_reason_in_one_line() {
    let fixture = ServiceFixture::new();
    for (more, key) in
        [("[modell]", "modell"), ("[model.x]", "model"), ("exit_without_frames_s = -1", "exit_without_frames_s")]
    {
        fixture.configure(more);
        for command in [&["run", "--config"][..], &["check-config"]] {
            let output = Command::new(PROGRAM).args(command).arg(fixture.path("service.toml")).output().unwrap();
            refused(&output, 3, &["service.toml:", key]);
        }
    }
    fs::write(
        fixture.path("service.toml"),
        "[model]\ncategories = [\"a cat\", \"A-Cat\"]\n[[camera]]\nname = \"a\"\nsource = \"/dev/video0\"\n",
    )
    .unwrap();
    let output = Command::new(PROGRAM).arg("check-config").arg(fixture.path("service.toml")).output().unwrap();
    refused(&output, 3, &["service.toml:2: model.categories: ", "\"A-Cat\" is named twice"]);
}

#[test]
fn the_service_exits_after_too_long_without_frames() {
    let fixture = ServiceFixture::new();
    fs::remove_file(fixture.path("camera.y4m")).unwrap();
    fixture.configure("exit_without_frames_s = 0.5");
    let mut service = fixture.start();
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
