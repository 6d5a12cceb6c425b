//! The JSON that the program writes fits the schemas in docs/schemas.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;

use crate::support::clips::CLIP;
use crate::support::program::{bike_edge, bike_edge_with_stdin, json_lines, stderr, successful};
use crate::support::schema;
use crate::watch::labelled;

/// Checks each value against a schema of docs/schemas; there must be some.
#[track_caller]
fn check_all(name: &str, values: &[Value]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schemas/{name}.schema.json"));
    let text = std::fs::read_to_string(&path).expect("a schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    assert!(!values.is_empty(), "nothing to check against {name}");
    for (i, value) in values.iter().enumerate() {
        schema::check(&schema, value, &format!("{name}[{i}]"));
    }
}

fn lines_of(args: &[&str]) -> Vec<Value> {
    json_lines(&successful(bike_edge(args)))
}

/// Runs a command on a list of clips; returns the file that it writes with `--json`.
fn report_of(args: &[&str], list: &Path, code: i32) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    let paths = [list.as_os_str(), OsStr::new("--json"), report.as_os_str()];
    let output = bike_edge(&args.iter().map(OsStr::new).chain(paths).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_str(&std::fs::read_to_string(&report).expect("a report")).expect("JSON")
}

#[test]
fn classify_fits_its_schema() {
    check_all("classify", &lines_of(&["classify", CLIP, "--json"]));
    check_all("classify", &lines_of(&["classify", CLIP, "--json", "--lambda", "1"]));
    let clip = std::fs::read(CLIP).expect("the test clip");
    let damaged = successful(bike_edge_with_stdin(&["classify", "-", "--json"], &clip[..clip.len() * 3 / 4]));
    let damaged = json_lines(&damaged);
    assert!(damaged[0].get("warnings").is_some(), "{damaged:?}");
    check_all("classify", &damaged);
}

#[test]
fn raw_classify_fits_its_schema() {
    let raw = lines_of(&["classify", CLIP, "--json", "--raw", "--views", "2", "--crops", "3"]);
    for field in ["labels", "s_v", "s_a", "frame_indices", "frame_embeddings"] {
        assert!(raw[0].get(field).is_some(), "{field} is missing");
    }
    check_all("classify", &raw);
}

#[test]
fn events_fit_their_schema() {
    let events = lines_of(&["watch", CLIP, "--update", "1", "--camera", "hall"]);
    for kind in ["new", "update", "end"] {
        assert!(events.iter().any(|event| event["event"] == kind), "no {kind} event: {events:?}");
    }
    check_all("events", &events);
}

#[test]
fn steps_fit_their_schema() {
    let steps = lines_of(&["watch", CLIP, "--steps"]);
    assert!(steps.len() > 10);
    check_all("steps", &steps);
    check_all("steps", &lines_of(&["watch", CLIP, "--steps", "--lambda", "1", "--no-gate"]));
}

#[test]
fn statistics_fit_their_schema() {
    let lines = |output: &std::process::Output| -> Vec<Value> {
        stderr(output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let recorded = lines(&successful(bike_edge(&["watch", CLIP, "--stats"])));
    assert!(recorded[0].get("frames").is_none());
    check_all("stats", &recorded);
    let y4m = crate::support::clips::as_y4m(OsStr::new(CLIP));
    let live = lines(&successful(bike_edge_with_stdin(&["watch", "-", "--live", "--stats"], &y4m)));
    assert!(live[0].get("frames").is_some(), "{live:?}");
    check_all("stats", &live);
}

#[test]
fn eval_fits_its_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(CLIP, folder.path().join("a.mp4")).expect("copied");
    std::fs::write(folder.path().join("bad.mp4"), "no clip").expect("written");
    let list = folder.path().join("list.csv");
    std::fs::write(&list, "path,label\na.mp4,petting a cat\nbad.mp4,0\n").expect("written");
    let report = report_of(&["eval"], &list, 1);
    let counts = ["failures", "answers"].map(|field| report[field].as_array().expect(field).len());
    assert_eq!(counts, [1, 1], "{report}");
    check_all("eval", &[report]);
}

#[test]
fn eval_events_fits_its_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = labelled(folder.path());
    let with_held_pictures = report_of(&["eval-events", "--rounds", "1", "--hold", "2"], &list, 0);
    let without_events = report_of(&["eval-events", "--rounds", "1", "--on", "0.99"], &list, 0);
    check_all("eval-events", &[with_held_pictures, without_events]);
}

#[test]
fn bench_fits_its_schema() {
    check_all("bench", &lines_of(&["bench", CLIP, "--json", "--runs", "2"]));
}

#[test]
fn what_this_machine_has_fits_its_schema() {
    // Exits with 1 if a check of the profile fails, which depends on the machine.
    check_all("doctor", &json_lines(&bike_edge(&["doctor", "--json"])));
    check_all("camera-list", &lines_of(&["camera", "list", "--json"]));
}
