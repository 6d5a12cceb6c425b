//! `watch`, `eval-events` and `calibrate`, run as programs.

use bike_edge::recognition::Scoring;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::clips::{CLIP, part_as_y4m};
use crate::support::program::{bike_edge, json_lines, refused, stderr, stdout, successful};

fn watch(args: &[&str]) -> Output {
    bike_edge(&[&["watch", CLIP], args].concat())
}

#[track_caller]
fn events(output: Output) -> Vec<Value> {
    json_lines(&successful(output))
}

#[test]
fn events_report_what_the_clip_shows() {
    let events = events(watch(&["--update", "1", "--camera", "hall"]));
    assert!(events.iter().all(|event| event["camera"] == "hall"));
    let reported = |kind: &str, category: &str| {
        events.iter().find(|e| e["event"] == kind && e["category"] == category).unwrap_or_else(|| panic!("{events:#?}"))
    };
    // It shows a cup of coffee until 2.48 s, then a cat until 4.96 s.
    let (coffee, cat) = (reported("end", "drinking coffee"), reported("end", "petting a cat"));
    let apart = |x: &Value, y: f64| (x.as_f64().expect("a time") - y).abs();
    assert!(apart(&coffee["start"], 0.0) < 0.6 && apart(&coffee["end"], 2.48) < 0.7, "{coffee}");
    assert!(apart(&cat["start"], 2.48) < 0.7 && apart(&cat["end"], 4.96) < 0.7, "{cat}");
    assert_eq!(reported("new", "petting a cat")["id"], cat["id"]);
    assert!(events.iter().any(|event| event["event"] == "update"));
}

#[test]
fn flags_override_a_thresholds_file_and_wrong_settings_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("thresholds.toml");
    let with = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).expect("written");
        let path = file.to_str().expect("text");
        watch(&[&["--thresholds", path][..], more].concat())
    };
    let categories = |output: Output| {
        let mut names: Vec<String> =
            events(output).iter().map(|e| e["category"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(
        categories(with("on = 0.99\n[category.\"petting a cat\"]\non = 0.4\nmin_length_s = 0.5\n", &[])),
        ["petting a cat"]
    );
    assert!(categories(with("on = 0.4\n", &["--on", "0.99"])).is_empty());
    let background = with("on = 0.28", &["--background", "Petting_a_cat"]);
    assert!(!categories(background).contains(&"petting a cat".to_owned()));
    refused(
        &with("on = 0.5\nonn = 1\n", &[]),
        3,
        &["thresholds.toml:2: ", "onn: there is no such key; did you mean `on`?"],
    );
    refused(&with("on = 1.5\n", &[]), 3, &["thresholds.toml:1: on: 1.5 is out of range"]);
    let unused = successful(with("[category.\"petting a cta\"]\non = 0.5\n", &[]));
    assert!(stderr(&unused).contains("thresholds.toml:1: `petting a cta` is not among the categories"), "{unused:?}");
    let made_for = "[made_for]\nbundle = \"demo\"\nscoring = \"independent\"\nbackground = []\n";
    let other = successful(with(made_for, &[]));
    assert!(stderr(&other).contains("were made for independent confidences, and these are share"), "{other:?}");
    refused(&with("[made_for]\nbundel = 1\n", &[]), 3, &["thresholds.toml:1: made_for: ", "bundel"]);
    refused(&watch(&["--on", "2"]), 2, &["--on: 2 is out of range"]);
    refused(&watch(&["--background", "a wall,A-Wall", "--categories", "a wall"]), 2, &["--background", "A-Wall"]);
    refused(
        &watch(&["--scoring", "independent", "--background", ""]),
        2,
        &["--scoring", "there are none", "name some"],
    );
    refused(&watch(&["--thresholds", "no-such.toml"]), 3, &["no-such.toml"]);
    refused(&watch(&["--stats=-1"]), 2, &["--stats: -1 is out of range"]);
    refused(&watch(&["--live"]), 3, &["--live"]);
}

#[test]
fn categories_that_are_not_shown_start_no_event() {
    // Without a background, one of the two would always be the most similar.
    let none = events(watch(&["--categories", "walking the dog,washing dishes"]));
    assert!(none.is_empty(), "{none:?}");
    let forced = events(watch(&["--categories", "walking the dog,washing dishes", "--background=", "--on", "0.28"]));
    assert!(!forced.is_empty());
}

#[test]
fn help_shows_the_defaults() {
    let spec = bike_edge::events::EventSpec::default();
    let output = successful(bike_edge(&["watch", "--help"]));
    let help = stdout(&output);
    for (flag, default) in [
        ("--on", f64::from(bike_edge::events::EventSpec::default_on(Scoring::Share, 77))),
        ("--smoothing", spec.smoothing_s),
        ("--min-length", spec.min_length_s),
        ("--cool-down", spec.cool_down_s),
    ] {
        let of_flag = help.split(&format!("{flag} <")).nth(1).expect(flag);
        let shown = of_flag.split("[default: ").nth(1).and_then(|rest| rest.split([']', ' ']).next()).expect(flag);
        assert!((shown.parse::<f64>().expect("a number") - default).abs() < 1e-6, "{flag}: {shown}, not {default}");
    }
    // The help of --off and the default of `off` agree.
    assert!(help.split("--off <").nth(1).is_some_and(|of_flag| of_flag.contains("[default: 0.7 of --on]")), "{help}");
    let resolved = spec.resolve(Scoring::Share, 77, 0.5).expect("the defaults are valid");
    assert!((resolved.off.expect("resolved") / resolved.on.expect("resolved") - 0.7).abs() < 1e-6);
}

#[test]
fn a_recorded_trace_is_replayed_and_statistics_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let path = trace.to_str().expect("text");
    let without_wall = |output: Output| {
        let mut found = events(output);
        found.iter_mut().for_each(|line| drop(line.as_object_mut().expect("an object").remove("wall")));
        found
    };
    let recorded = watch(&["--record-trace", path, "--stride", "0.37", "--stats"]);
    let stats: Value = serde_json::from_str(stderr(&recorded)).expect("one line of JSON");
    let points = std::fs::read_to_string(&trace).expect("a trace").lines().count() as u64;
    assert_eq!(stats["steps"].as_u64(), Some(points));
    let gate = stats["gate"].as_object().expect("counts").values().map(|n| n.as_u64().expect("a count")).sum::<u64>();
    assert_eq!(gate, points);
    assert!(stats["latency_ms"]["median"].as_f64() <= stats["latency_ms"]["p95"].as_f64());
    assert_eq!(without_wall(recorded), without_wall(watch(&["--replay-trace", path])));
    refused(&watch(&["--replay-trace", "no-such-trace"]), 3, &["no-such-trace"]);
    refused(&watch(&["--record-trace", "no-such-folder/trace"]), 5, &["--record-trace", "no-such-folder/trace"]);
}

/// Writes a folder of labelled clips: parts of the test clip, and moving stripes that show no category.
pub fn labelled(folder: &Path) -> PathBuf {
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
fn eval_events_reaches_the_floor_and_the_gate_hardly_changes_scores() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = labelled(folder.path());
    let report = folder.path().join("report.json");
    let run = |more: &[&str]| {
        let args = [OsStr::new("eval-events"), list.as_os_str(), OsStr::new("--json"), report.as_os_str()];
        let output = bike_edge(&args.into_iter().chain(more.iter().map(OsStr::new)).collect::<Vec<_>>());
        let text = std::fs::read_to_string(&report).expect("a report");
        (output, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let (output, found) =
        run(&["--rounds", "3", "--hold", "6", "--noise", "0", "--min-precision", "0.9", "--min-recall", "0.6"]);
    assert!(output.status.success(), "{output:?}");
    // All six events fit and three of the nine segments are not found. One more false event or miss would be too many.
    assert_eq!(found["events"]["shown"], 9);
    let error = |field: &str| found["events"][field].as_f64().expect(field);
    // Measured: 0.00 and 0.48 s. Ends dated only by the last window are 2.26 s late.
    assert!(error("start_error_s") < 0.5 && error("end_error_s") < 0.75, "{found}");
    let gate = &found["gate"];
    let number = |field: &str| gate[field].as_f64().expect(field);
    assert!(number("still_encoded") <= 0.5 * number("still_steps"), "{gate}");
    assert!(number("same_answer") >= 0.99 && number("most_moved") <= 0.02, "{gate}");

    let (output, _) = run(&["--rounds", "1", "--on", "0.99", "--min-recall", "0.5"]);
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
    successful(bike_edge(&args));
    let text = std::fs::read_to_string(&out).expect("written");
    assert!(text.contains("[category.\"petting a cat\"]") && text.contains("\non = "), "{text}");
    let events = events(watch(&["--thresholds", out.to_str().expect("text"), "--min-length", "0.5"]));
    assert!(events.iter().any(|event| event["category"] == "petting a cat"), "{text}");
    let no_folder = bike_edge(&["calibrate".as_ref(), list.as_os_str(), "--out".as_ref(), "no-such-folder/x".as_ref()]);
    refused(&no_folder, 5, &["--out no-such-folder/x"]);
}
