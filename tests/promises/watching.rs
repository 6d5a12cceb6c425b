//! `watch`, `quality` and `calibrate`, as a person would use them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use serde_json::Value;

use crate::clips::{CLIP, part_as_y4m};
use crate::support::schema;

fn bike_edge(args: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bike-edge")).args(args).env_remove("RUST_LOG").output().expect("runs")
}

fn watch(args: &[&str]) -> Output {
    let all: Vec<&OsStr> =
        [OsStr::new("watch"), OsStr::new(CLIP)].into_iter().chain(args.iter().map(OsStr::new)).collect();
    bike_edge(&all)
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn refused(output: &Output, code: i32, told: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(told) && stderr.trim_end().lines().count() == 1, "{stderr}");
}

#[test]
fn events_fit_their_schema_and_tell_what_the_clip_shows() {
    let text = include_str!("../../docs/events.schema.json");
    let schema: Value = serde_json::from_str(text).expect("a schema");
    let events = lines(&watch(&["--update", "1", "--camera", "hall"]));
    for (i, event) in events.iter().enumerate() {
        schema::check(&schema, event, &format!("line {i}"));
        assert_eq!(event["camera"], "hall");
    }
    let told = |kind: &str, category: &str| {
        events.iter().find(|e| e["event"] == kind && e["category"] == category).unwrap_or_else(|| panic!("{events:#?}"))
    };
    // It shows a cup of coffee until 2.48 s, then a cat until 4.96 s.
    let (coffee, cat) = (told("end", "drinking coffee"), told("end", "petting a cat"));
    let apart = |x: &Value, y: f64| (x.as_f64().expect("a time") - y).abs();
    assert!(apart(&coffee["start"], 0.0) < 0.6 && apart(&coffee["end"], 2.48) < 0.7, "{coffee}");
    assert!(apart(&cat["start"], 2.48) < 0.7 && apart(&cat["end"], 4.96) < 0.7, "{cat}");
    assert_eq!(told("new", "petting a cat")["id"], cat["id"]);
    assert!(events.iter().any(|event| event["event"] == "update"));
}

#[test]
fn settings_come_from_flags_over_a_file_and_wrong_ones_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("thresholds.toml");
    let with = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).expect("written");
        let path = file.to_str().expect("text");
        watch(&[&["--thresholds", path][..], more].concat())
    };
    let categories = |output: &Output| {
        let mut names: Vec<String> = lines(output).iter().map(|e| e["category"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(
        categories(&with("on = 0.99\n[category.\"petting a cat\"]\non = 0.4\nmin_length_s = 0.5\n", &[])),
        ["petting a cat"]
    );
    assert!(categories(&with("on = 0.4\n", &["--on", "0.99"])).is_empty());
    assert!(!categories(&with("background = [\"petting a cat\"]", &[])).contains(&"petting a cat".to_owned()));
    refused(&with("on = 0.5\nonn = 1\n", &[]), 3, "line 2: unknown field");
    refused(&with("[category.\"petting a cta\"]\non = 0.5\n", &[]), 2, "nearest: \"petting a cat\"");
    refused(&watch(&["--on", "2"]), 2, "on is 2");
    refused(&watch(&["--background", "a nothing"]), 2, "\"a nothing\"");
    refused(&watch(&["--thresholds", "no-such.toml"]), 3, "no-such.toml");
    refused(&watch(&["--stats=-1"]), 2, "--stats");
    refused(&watch(&["--live"]), 3, "--live");
}

#[test]
fn help_tells_the_defaults() {
    let spec = bike_edge::events::CategorySpec::default();
    let mut watch = bike_edge::cli::Cli::command();
    let watch = watch.find_subcommand_mut("watch").expect("watch").render_long_help().to_string();
    for (flag, default) in [
        ("--on", f64::from(spec.on)),
        ("--smoothing", spec.smoothing_s),
        ("--min-length", spec.min_length_s),
        ("--cool-down", spec.cool_down_s),
    ] {
        let of_flag = watch.split(&format!("{flag} <")).nth(1).expect(flag);
        let said = of_flag.split("[default: ").nth(1).and_then(|rest| rest.split(']').next()).expect(flag);
        assert!((said.parse::<f64>().expect("a number") - default).abs() < 1e-6, "{flag}: {said}, not {default}");
    }
    assert!((spec.off / spec.on - 0.7).abs() < 1e-6);
}

#[test]
fn a_trace_is_recorded_and_repeated_and_figures_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let path = trace.to_str().expect("text");
    let without_wall = |output: &Output| {
        let mut found = lines(output);
        found.iter_mut().for_each(|line| drop(line.as_object_mut().expect("an object").remove("wall")));
        found
    };
    let recorded = watch(&["--record-trace", path, "--stride", "0.37", "--stats"]);
    let stats: Value = serde_json::from_slice(&recorded.stderr).expect("one line of JSON");
    let points = std::fs::read_to_string(&trace).expect("a trace").lines().count() as u64;
    assert_eq!(stats["steps"].as_u64(), Some(points));
    let gate = stats["gate"].as_object().expect("counts").values().map(|n| n.as_u64().expect("a count")).sum::<u64>();
    assert_eq!(gate, points);
    assert!(stats["latency_ms"]["median"].as_f64() <= stats["latency_ms"]["p95"].as_f64());
    let repeated = watch(&["--sample-at", path]);
    assert_eq!(without_wall(&recorded), without_wall(&repeated));
    refused(&watch(&["--sample-at", "no-such-trace"]), 3, "no-such-trace");
    refused(&watch(&["--record-trace", "no-such-folder/trace"]), 5, "--record-trace no-such-folder/trace");
}

/// Labelled clips: pieces of the shipped one, and moving stripes that show nothing.
fn labelled(folder: &Path) -> std::path::PathBuf {
    for (name, span) in [("coffee", 0.0..2.46), ("cat", 2.48..4.94), ("rocket", 4.96..8.0)] {
        let y4m = part_as_y4m(OsStr::new(CLIP), span);
        std::fs::write(folder.join(format!("{name}.y4m")), y4m).expect("written");
    }
    let mut stripes = b"YUV4MPEG2 W160 H120 F25:1 Ip C420jpeg\n".to_vec();
    for n in 0..75u32 {
        stripes.extend(b"FRAME\n");
        stripes.extend((0..120).flat_map(|y| (0..160u32).map(move |x| (60 + (x + 3 * y + 4 * n) / 8 % 4 * 40) as u8)));
        stripes.extend([128; 2 * 80 * 60]);
    }
    std::fs::write(folder.join("stripes.y4m"), stripes).expect("written");
    let list = "path,label\ncoffee.y4m,drinking coffee;drinking from a cup\ncat.y4m,petting a cat\n\
                rocket.y4m,launching a rocket\nstripes.y4m,-\n";
    std::fs::write(folder.join("clips.csv"), list).expect("written");
    folder.to_owned()
}

#[test]
fn events_on_glued_streams_reach_the_floor_and_the_gate_changes_next_to_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = labelled(folder.path());
    let report = folder.path().join("report.json");
    let run = |more: &[&str]| {
        let args = [OsStr::new("quality"), list.as_os_str(), OsStr::new("--json"), report.as_os_str()];
        let output = bike_edge(&args.into_iter().chain(more.iter().map(OsStr::new)).collect::<Vec<_>>());
        let text = std::fs::read_to_string(&report).expect("a report");
        (output, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let (output, found) =
        run(&["--rounds", "3", "--hold", "6", "--noise", "0", "--least-precision", "0.9", "--least-recall", "0.6"]);
    assert!(output.status.success(), "{output:?}");
    // All six events fit, three of the nine stretches are not found: one false event or one miss more is below a floor.
    assert_eq!(found["events"]["shown"], 9);
    let error = |field: &str| found["events"][field].as_f64().expect(field);
    // Reached: 0.00 and 0.48 s. Ends dated by the last window alone are 2.26 s late.
    assert!(error("start_error_s") < 0.5 && error("end_error_s") < 0.75, "{found}");
    let gate = &found["gate"];
    let number = |field: &str| gate[field].as_f64().expect(field);
    assert!(number("still_encoded") <= 0.5 * number("still_steps"), "{gate}");
    assert!(number("same_answer") >= 0.99 && number("most_moved") <= 0.02, "{gate}");

    let (output, _) = run(&["--rounds", "1", "--on", "0.99", "--least-recall", "0.5"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn calibrated_thresholds_are_used_by_watch() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = labelled(folder.path());
    let out = folder.path().join("thresholds.toml");
    let args = [
        "calibrate".as_ref(),
        list.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
        "--min-positives".as_ref(),
        "1".as_ref(),
    ];
    let output = bike_edge(&args);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&out).expect("written");
    assert!(text.contains("[category.\"petting a cat\"]") && text.contains("\non = "), "{text}");
    let events = lines(&watch(&["--thresholds", out.to_str().expect("text"), "--min-length", "0.5"]));
    assert!(events.iter().any(|event| event["category"] == "petting a cat"), "{text}");
    let nowhere = bike_edge(&["calibrate".as_ref(), list.as_os_str(), "--out".as_ref(), "no-such-folder/x".as_ref()]);
    refused(&nowhere, 5, "--out no-such-folder/x");
}
