//! Runs the program and checks what it prints.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The path of the program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bike-edge");

/// Runs the program with an empty stdin.
pub fn bike_edge(args: &[impl AsRef<OsStr>]) -> Output {
    bike_edge_with_stdin(args, b"")
}

/// Runs the program with these bytes on stdin.
pub fn bike_edge_with_stdin(args: &[impl AsRef<OsStr>], stdin: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let stdin = stdin.to_vec();
    // The program may end before it has read everything.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    output
}

/// Returns the output of a command that must succeed.
#[track_caller]
pub fn successful(output: Output) -> Output {
    assert!(output.status.success(), "{output:?}");
    output
}

/// Returns stdout as text.
pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("stdout is UTF-8")
}

/// Returns stderr as text.
pub fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("stderr is UTF-8")
}

/// Returns each line of stdout as JSON.
#[track_caller]
pub fn json_lines(output: &Output) -> Vec<Value> {
    let value = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    stdout(output).lines().map(value).collect()
}

/// Checks the exit code, and that stderr is a single line that contains all of `words`.
#[track_caller]
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "not a single line: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Sends a signal, without the `kill` program, which a minimal system lacks.
#[cfg(unix)]
#[track_caller]
pub fn send_signal(child: &std::process::Child, name: &str) {
    let signal = match name {
        "HUP" => libc::SIGHUP,
        "INT" => libc::SIGINT,
        "TERM" => libc::SIGTERM,
        other => panic!("no number for the signal {other}"),
    };
    // SAFETY: the child was not waited for, so the number still belongs to it.
    let sent = unsafe { libc::kill(child.id() as libc::pid_t, signal) };
    assert_eq!(sent, 0, "the signal {name} was not sent: {}", std::io::Error::last_os_error());
}
