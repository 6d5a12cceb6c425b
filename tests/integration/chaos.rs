//! The service among programs, disks, readers and clocks that misbehave: it continues, within bounds.
//!
//! With `BIKE_EDGE_CHAOS=1` (`make chaos`) the same runs are longer.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::program::PROGRAM;
use crate::support::service::{Running, ServiceFixture, TIMEOUT, write_to_each_reader};
use crate::support::skip::skip;

fn long() -> bool {
    std::env::var_os("BIKE_EDGE_CHAOS").is_some()
}

/// An `ffmpeg` that answers the question for its version, and otherwise runs `script`.
fn fake_ffmpeg(fixture: &ServiceFixture, script: &str) -> String {
    let folder = fixture.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *-version*) echo ffmpeg version 5.1; echo 'libavfilter 8. 44.100';; esac\n\
         case \"$*\" in *-version*|*-demuxers*) exit 0;; esac\n{script}\n"
    );
    fs::write(folder.join("ffmpeg"), text).unwrap();
    fs::set_permissions(folder.join("ffmpeg"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}

fn door(timeout_s: f64) -> String {
    format!("[[camera]]\nname = \"door\"\nsource = \"rtsp://127.0.0.1:9/x\"\ntimeout_s = {timeout_s:?}\n")
}

/// Waits until the healthy camera has made this many more steps, with watchdog messages meanwhile.
fn goes_on(fixture: &ServiceFixture, service: &mut Running, steps: f64) {
    let (before, pings) = (fixture.steps("pipe"), service.count_messages("WATCHDOG=1"));
    service.until("steps of the healthy camera", |_| fixture.steps("pipe") >= before + steps);
    service.until("watchdog message", |s| s.count_messages("WATCHDOG=1") > pings);
}

/// Returns the children of a process.
fn children_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    tasks.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn an_ffmpeg_that_only_complains_counts_as_silent() {
    let fixture = ServiceFixture::new();
    fixture.configure(&door(1.0));
    let path = fake_ffmpeg(
        &fixture,
        "while :; do echo '[rtsp @ 0x1] [error] CSeq 5 expected, 0 received.' >&2; sleep 0.02; done",
    );
    let mut service = fixture.start_with(|command| command.env("PATH", path));
    let mut started = std::collections::BTreeSet::new();
    service.until("three attempts", |s| {
        started.extend(s.children());
        started.len() >= 3
    });
    goes_on(&fixture, &mut service, 10.0);
    assert!(service.children().len() <= 1, "{:?}", service.children());
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.lines().count() < 20, "{log}");
}

#[test]
fn an_ffmpeg_that_hangs_from_the_start_stops_nothing() {
    let fixture = ServiceFixture::new();
    fixture.configure(&door(1.0));
    let path = fake_ffmpeg(&fixture, "exit 1");
    fs::write(fixture.path("bin/ffmpeg"), "#!/bin/sh\nexec sleep 600\n").unwrap();
    let mut service = fixture.start_with(|command| command.env("PATH", path));
    goes_on(&fixture, &mut service, 10.0);
    let (started, children) = (Instant::now(), service.children());
    assert!(!children.is_empty());
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(started.elapsed() < Duration::from_secs(20), "{log}");
    while children.iter().any(|pid| Path::new(&format!("/proc/{pid}/cmdline")).exists()) {
        assert!(started.elapsed() < TIMEOUT, "a child is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn many_cameras_that_hang_are_closed_together() {
    let fixture = ServiceFixture::new();
    let many: String = (0..12)
        .map(|n| format!("[[camera]]\nname = \"c{n}\"\nsource = \"rtsp://127.0.0.1:9/{n}\"\ntimeout_s = 300.0\n"))
        .collect();
    fixture.configure(&many);
    // A script that starts other programs, as a wrapper of ffmpeg may.
    let path = fake_ffmpeg(&fixture, "sleep 600");
    let mut service = fixture.start_with(|command| command.env("PATH", path));
    service.until("children", |s| s.children().len() == 12);
    service.until("grandchildren", |s| s.children().into_iter().flat_map(children_of).count() == 12);
    let children: Vec<u32> = service.children().into_iter().flat_map(children_of).collect();
    goes_on(&fixture, &mut service, 5.0);
    let started = Instant::now();
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?} {log}", started.elapsed());
    while children.iter().any(|pid| Path::new(&format!("/proc/{pid}/cmdline")).exists()) {
        assert!(started.elapsed() < TIMEOUT, "a child of a child is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn stalled_stderr_stops_nothing() {
    let fixture = ServiceFixture::new();
    fixture.configure("[log]\nlevel = \"debug\"\n");
    let mut service = fixture.start_with(|command| command.stderr(Stdio::piped()));
    // Reloads log lines, more than a pipe and the queue hold.
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    let pipe = service.child.stderr.take().unwrap();
    fill(&pipe);
    for _ in 0..20 {
        let ready = service.count_messages("READY=1");
        service.signal("HUP");
        service.until("the reload", |s| s.count_messages("READY=1") > ready);
    }
    goes_on(&fixture, &mut service, 10.0);
    let (code, _) = service.stop();
    assert_eq!(code, Some(0));
}

/// Fills a pipe from its reading end, as a log that nobody reads does in time.
fn fill(pipe: &std::process::ChildStderr) {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut writer = fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
    while writer.write(&[b'x'; 512]).is_ok() {}
    while writer.write(b"x").is_ok() {}
}

#[test]
fn a_reload_stops_the_child_of_a_camera_that_changed() {
    let fixture = ServiceFixture::new();
    fixture.configure(&door(300.0));
    let path = fake_ffmpeg(&fixture, "exec sleep 600");
    let mut service = fixture.start_with(|command| command.env("PATH", path));
    service.until("a child", |s| s.children().len() == 1);
    let before = service.children();
    fixture.configure(&door(299.0));
    service.signal("HUP");
    service.until("another child, alone", |s| {
        let now = s.children();
        now.len() == 1 && now != before
    });
    goes_on(&fixture, &mut service, 5.0);
    service.stop();
}

#[test]
fn closed_stdout_ends_the_service_with_an_error() {
    let fixture = ServiceFixture::new();
    fixture.configure("[[output]]\nkind = \"stdout\"\n");
    let mut service = fixture.start_with(|command| command.stdout(Stdio::piped()));
    drop(service.child.stdout.take());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = service.child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < TIMEOUT, "{}", service.log());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(5), "{}", service.log());
    assert!(service.log().contains("stdout"), "{}", service.log());
    fixture.check_that_every_event_ends();
}

#[test]
fn stalled_stdout_stops_neither_files_nor_cameras() {
    let fixture = ServiceFixture::new();
    fixture.configure("[[output]]\nkind = \"stdout\"\n");
    let text = fs::read_to_string(fixture.path("service.toml")).unwrap().replace("update_s = 1.0", "update_s = 0.1");
    fs::write(fixture.path("service.toml"), text).unwrap();
    let mut service = fixture.start_with(|command| command.stdout(Stdio::piped()));
    // More than a pipe holds.
    service.until("many lines in the file", |_| {
        fs::metadata(fixture.path("events.jsonl")).is_ok_and(|meta| meta.len() > 100_000)
    });
    goes_on(&fixture, &mut service, 10.0);
    let started = Instant::now();
    let mut stdout = service.child.stdout.take().unwrap();
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(started.elapsed() < Duration::from_secs(30), "{log}");
    let mut read = Vec::new();
    stdout.read_to_end(&mut read).unwrap();
    assert!(read.len() >= 40_000 && read.len() < 100_000, "the pipe was not full: {} bytes", read.len());
    fixture.check_that_every_event_ends();
}

/// Compiles a library that replaces functions of the C library; `None` skips the test.
fn preload(fixture: &ServiceFixture, code: &str) -> Option<PathBuf> {
    let (source, library) = (fixture.path("preload.c"), fixture.path("preload.so"));
    fs::write(&source, code).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        skip("there is no C compiler");
        return None;
    }
    Some(library)
}

#[test]
fn a_slow_disk_delays_only_the_lines() {
    let fixture = ServiceFixture::new();
    let code = "#include <unistd.h>\nint fsync(int fd) { (void)fd; sleep(1); return 0; }\n\
                int fdatasync(int fd) { (void)fd; sleep(1); return 0; }\n";
    let Some(library) = preload(&fixture, code) else { return };
    let mut service = fixture.start_with(|command| command.env("LD_PRELOAD", library));
    service.until("READY message", |s| s.count_messages("READY=1") == 1);
    service.until("first steps", |_| fixture.steps("pipe") >= 1.0);
    let (started, before) = (Instant::now(), fixture.steps("pipe"));
    service.until("steps", |_| fixture.steps("pipe") >= before + 100.0);
    // 100 steps of .1 s; each of the events before would have waited for several seconds.
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    service.until("events", |_| fixture.count_events("new") >= 1);
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    fixture.check_that_every_event_ends();
}

#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let fixture = ServiceFixture::new();
    std::os::unix::fs::symlink("/dev/full", fixture.path("events.jsonl")).unwrap();
    let mut service = fixture.start();
    service.until("lost lines", |_| fixture.metric("lines_total{result=\"lost\"}") >= 2.0);
    goes_on(&fixture, &mut service, 10.0);
    fs::remove_file(fixture.path("events.jsonl")).unwrap();
    service.until("written lines", |_| fixture.count_events("update") >= 1);
    let (code, log) = service.stop();
    assert_eq!((code, log.matches("cannot be written").count()), (Some(0), 1), "{log}");
}

#[test]
fn a_wall_clock_that_jumps_by_decades_changes_nothing_else() {
    let fixture = ServiceFixture::new();
    // Every other second it is 50 years later; it starts before 1970.
    let code = "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
                int clock_gettime(clockid_t clock, struct timespec *to) {\n\
                  int result = syscall(SYS_clock_gettime, clock, to);\n\
                  if (clock == CLOCK_REALTIME) to->tv_sec += to->tv_sec % 2 ? 1577847600L : -1893415600L;\n\
                  return result;\n}\n";
    let Some(library) = preload(&fixture, code) else { return };
    let mut service = fixture.start_with(|command| command.env("LD_PRELOAD", library));
    service.until("events", |_| fixture.count_events("update") >= 4);
    goes_on(&fixture, &mut service, 10.0);
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    fixture.check_that_every_event_ends();
    let events = fixture.events();
    let years = events.iter().map(|event| event["wall"]["written"].as_str().unwrap()[..4].to_owned());
    let years: std::collections::BTreeSet<String> = years.collect();
    assert!(years.len() >= 2 && years.contains("1970"), "the clock did not jump: {years:?}");
    assert!(events.iter().any(|event| event["clock"] == "unsynchronised"), "{:?}", events[0]);
    let times: Vec<f64> = events.iter().map(|event| event["t"].as_f64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
}

/// Counts what a process holds: file descriptors, threads, and resident memory in bytes.
fn held(pid: u32) -> (usize, usize, f64) {
    let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).map_or(0, Iterator::count);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (count("fd"), count("task"), resident.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0)
}

#[test]
fn reloads_disturb_nothing_and_leak_nothing() {
    let fixture = ServiceFixture::new();
    let mut service = fixture.start();
    service.until("steps", |_| fixture.steps("pipe") >= 5.0);
    let reloads = if long() { 1000 } else { 30 };
    let (mut before, mut steps) = (None, 0.0);
    for reload in 1..=reloads {
        let on = 0.5 + f64::from(reload % 7) / 100.0;
        let text = fs::read_to_string(fixture.path("service.toml")).unwrap();
        let line = text.lines().find(|line| line.starts_with("on = ")).unwrap().to_owned();
        fs::write(fixture.path("service.toml"), text.replace(&line, &format!("on = {on}"))).unwrap();
        let ready = service.count_messages("READY=1");
        service.signal("HUP");
        service.until("the reload", |s| s.count_messages("READY=1") > ready);
        assert!(fixture.steps("pipe") >= steps, "counts begin again");
        steps = fixture.steps("pipe");
        if reload == reloads / 3 {
            before = Some(held(service.child.id()));
        }
    }
    goes_on(&fixture, &mut service, 5.0);
    assert_eq!(fixture.metric("reloads_total{result=\"taken\"}"), f64::from(reloads));
    assert_eq!(fixture.readers(), 1, "the pipe was closed");
    let ((fds, threads, bytes), now) = (before.unwrap(), held(service.child.id()));
    assert!(now.0 <= fds + 2 && now.1 <= threads + 2, "{:?} {now:?}", (fds, threads));
    assert!(now.2 < bytes * 1.2, "{bytes} {now:?}");
    service.stop();
    fixture.check_that_every_event_ends();
}

#[test]
fn the_last_of_twenty_cameras_is_not_slowed_by_the_loss_of_the_others() {
    let fixture = ServiceFixture::new();
    let writing = Arc::new(AtomicBool::new(true));
    let mut more = String::new();
    for number in 1..20 {
        let pipe = fixture.path(&format!("pipe{number}"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        more += &format!("[[camera]]\nname = \"pipe{number}\"\nsource = \"{}\"\ntimeout_s = 1.0\n", pipe.display());
        let keep_writing = writing.clone();
        std::thread::spawn(move || write_to_each_reader(&pipe, &keep_writing, &AtomicUsize::default()));
    }
    fixture.configure(&more);
    let text = fs::read_to_string(fixture.path("service.toml")).unwrap().replace("stride_s = 0.1", "stride_s = 1.0");
    fs::write(fixture.path("service.toml"), text).unwrap();
    let mut service = fixture.start();
    service.until("steps of all", |_| (1..20).all(|n| fixture.steps(&format!("pipe{n}")) >= 3.0));
    writing.store(false, Ordering::Relaxed);
    service.until("losses of all", |_| {
        (1..20).all(|n| fixture.metric(&format!("losses_total{{camera=\"pipe{n}\"}}")) >= 1.0)
    });
    let started = Instant::now();
    let steps = if long() { 30.0 } else { 10.0 };
    goes_on(&fixture, &mut service, steps);
    assert!(started.elapsed().as_secs_f64() < steps * 2.0 + 10.0, "{:?}", started.elapsed());
    assert!(held(service.child.id()).1 < 100);
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.lines().count() < 19 * 4 + 20, "{log}");
}

/// Every printable character, as cameras allow them in passwords.
const PASSWORDS: [&str; 5] = ["it's7Qx#Zk", "half#w0rd?yes", "sl/ash@2%41xx", "sp ace\"qu0te", "Zk9&=;,+~!$^*()"];

#[test]
fn no_part_of_a_password_leaves_the_service() {
    let fixture = ServiceFixture::new();
    let mut more = String::new();
    for (number, password) in PASSWORDS.iter().enumerate() {
        let addresses = [
            format!("rtsp://Oper8or:{password}@127.0.0.1:9/h"),
            format!("rtsp://127.0.0.1:9/user=Oper8or_password={password}_channel=1"),
            format!("http://127.0.0.1:9/h?pwd={password}"),
        ];
        for (form, address) in addresses.iter().enumerate() {
            let name = format!("c{number}{form}");
            fs::write(fixture.path(&name), format!("{address}\n")).unwrap();
            more += &format!("[[camera]]\nname = \"{name}\"\nurl_file = \"{}\"\n", fixture.path_text(&name));
        }
    }
    fixture.configure(&more);
    let checked = Command::new(PROGRAM).args(["check-config", &fixture.path_text("service.toml")]).output().unwrap();
    let mut texts = vec![
        ("check-config", String::from_utf8_lossy(&checked.stdout).into_owned()),
        ("its messages", String::from_utf8_lossy(&checked.stderr).into_owned()),
    ];
    assert!(checked.status.success(), "{texts:?}");
    // The real one if there is one; else one that repeats its input.
    let mut service = if Command::new("ffmpeg").arg("-version").output().is_ok() && !long() {
        fixture.start()
    } else {
        let path = fake_ffmpeg(&fixture, "list=$(cat); echo \"[rtsp @ 0x1] [error] $* $list refused\" >&2; exit 1");
        fixture.start_with(|command| command.env("PATH", path))
    };
    let mut command_lines = String::new();
    let started = Instant::now();
    let seconds = Duration::from_secs(if long() { 30 } else { 5 });
    service.until("the end of the observation", |s| {
        for pid in s.children() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command_lines += &String::from_utf8_lossy(&line);
        }
        started.elapsed() >= seconds
    });
    service.until("metrics", |_| fixture.steps("pipe") >= 1.0);
    let messages = service.messages.join("\n");
    let (_, log) = service.stop();
    let read = |name: &str| fs::read_to_string(fixture.path(name)).unwrap();
    texts.extend([("the log", log), ("systemd", messages), ("command lines", command_lines)]);
    texts.extend(["events.jsonl", "state.json", "metrics.prom"].map(|name| (name, read(name))));
    for (name, text) in texts {
        for secret in PASSWORDS.iter().chain(&["Oper8or"]) {
            let characters: Vec<char> = secret.chars().collect();
            for part in characters.windows(4).map(|part| part.iter().collect::<String>()) {
                assert!(!text.contains(&part), "`{part}` of `{secret}` is in {name}: {text}");
            }
        }
    }
}

/// An RTSP server, which is killed at the end.
struct RtspServer(std::process::Child);

impl RtspServer {
    fn start(port: u16, size: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("board/chaos/rtsp_server.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).args([&port.to_string(), size, "admin", RTSP_PASSWORD]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child was not waited for, so the number still belongs to it.
        assert_eq!(unsafe { libc::kill(self.0.id() as libc::pid_t, signal) }, 0);
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const RTSP_PASSWORD: &str = "h#lf/w@rd's";

#[test]
fn a_real_rtsp_server_is_killed_stalls_jumps_in_time_and_changes_its_size() {
    if !long() {
        return skip("BIKE_EDGE_CHAOS is not set");
    }
    let fixture = ServiceFixture::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fixture.configure(&format!(
        "[[camera]]\nname = \"door\"\nsource = \"rtsp://admin:{RTSP_PASSWORD}@127.0.0.1:{port}/live\"\ntimeout_s = 3.0\n"
    ));
    let server = RtspServer::start(port, "320x240");
    let mut service = fixture.start();
    let more_steps = |service: &mut Running, what: &str| {
        let before = fixture.steps("door");
        service.until(what, |_| fixture.steps("door") >= before + 10.0);
    };
    let losses = |count: f64| move |fixture: &ServiceFixture| fixture.metric("losses_total{camera=\"door\"}") >= count;
    more_steps(&mut service, "first steps");
    server.signal(libc::SIGUSR1);
    std::thread::sleep(Duration::from_secs(2));
    more_steps(&mut service, "steps after a jump in time");
    server.signal(libc::SIGSTOP);
    service.until("a loss by the stall", |_| losses(1.0)(&fixture));
    goes_on(&fixture, &mut service, 10.0);
    server.signal(libc::SIGCONT);
    more_steps(&mut service, "steps after the stall");
    drop(server);
    service.until("a loss by the kill", |_| losses(2.0)(&fixture));
    let _server = RtspServer::start(port, "640x480");
    more_steps(&mut service, "steps in another size");
    assert!(service.children().len() <= 1, "{:?}", service.children());
    let (code, log) = service.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("h#lf") && !log.contains("h%23lf") && log.lines().count() < 40, "{log}");
    fixture.check_that_every_event_ends();
}
