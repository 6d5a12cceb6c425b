//! `check-config`: mistakes are reported with file, line and key, and every effective setting with its origin.

use std::process::Output;

use crate::support::program::{bike_edge, refused, stderr, stdout, successful};

/// A camera that need not exist.
const CAMERA: &str = "[[camera]]\nname = \"a\"\nsource = \"/dev/video0\"\n";

/// Runs `check-config` on a file `service.toml` with this text.
fn check_config(text: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("service.toml");
    std::fs::write(&path, text).expect("written");
    bike_edge(&["check-config".as_ref(), path.as_os_str()])
}

#[test]
fn one_bracket_around_camera_is_refused_and_two_are_named() {
    let output = check_config("[camera]\nname = \"a\"\nsource = \"/dev/video0\"\n");
    refused(&output, 3, &["service.toml:1: camera: ", "write [[camera]] with two brackets"]);
}

#[test]
fn a_recorded_clip_or_a_bare_number_as_source_is_refused_at_its_line() {
    for source in ["clip.mp4", "0"] {
        let text = format!("[model]\nthreads = 1\n\n[[camera]]\nname = \"a\"\nsource = \"{source}\"\n");
        let expected = ["service.toml:6: camera[0].source: ", &format!("`{source}`"), "/dev/video0", "rtsp://"];
        refused(&check_config(&text), 3, &expected);
    }
}

#[test]
fn a_misspelt_category_is_reported() {
    let nearest = "nearest: \"petting a cat\"";
    let of_model = successful(check_config(&format!("[model]\ncategories = [\"a dog\", \"petting a cta\"]\n{CAMERA}")));
    assert!(stderr(&of_model).contains("`petting a cta` is read as it is written; the bundle knows `petting a cat`"));
    let of_events = format!("{CAMERA}[events.category.\"petting a cta\"]\non = 0.5\n");
    refused(&check_config(&of_events), 3, &["service.toml:4: events.category.\"petting a cta\"", nearest]);
}

#[test]
fn settings_with_which_events_are_wrong_are_reported_with_the_remedy() {
    let warned = |text: &str| stderr(&successful(check_config(text))).to_owned();
    let two = "[model]\ncategories = [\"walking the dog\", \"washing dishes\"]\n";
    assert_eq!(warned(&format!("{two}{CAMERA}")), "", "the background of the bundle is used");
    let none = warned(&format!("{two}background = []\n{CAMERA}[events]\non = 0.28\n"));
    assert!(none.contains("there are no background categories") && none.contains("`background`"), "{none}");
    assert!(none.contains("`on` is 0.28, and a category has 0.50 by chance, one of 2"), "{none}");
    let independent = warned(&format!("{two}scoring = \"independent\"\n{CAMERA}[events]\non = 0.05\n"));
    assert!(independent.contains("`on` is 0.05, and a category has 0.08 by chance, one of 13"), "{independent}");
    let refused_without = format!("{two}background = []\nscoring = \"independent\"\n{CAMERA}");
    refused(&check_config(&refused_without), 3, &["service.toml:4: model.scoring: ", "there are none", "name some"]);
}

#[test]
fn a_missing_file_is_refused_with_the_form_of_the_command() {
    let output = bike_edge(&["check-config", "no-such-folder/service.toml"]);
    refused(&output, 3, &["no-such-folder/service.toml: there is no such file", "bike-edge check-config FILE"]);
    if !std::path::Path::new("/etc/bike-edge/bike-edge.toml").exists() {
        refused(&bike_edge(&["check-config"]), 3, &["/etc/bike-edge/bike-edge.toml", "bike-edge check-config FILE"]);
    }
}

#[test]
fn every_effective_setting_is_listed_with_its_origin() {
    let output = successful(check_config(&format!(
        "profile = \"rpi4\"\n{CAMERA}rotate = 90\n[camera_defaults]\nfit = \"pad\"\n"
    )));
    assert_eq!(stderr(&output), "");
    let lines: Vec<&str> = stdout(&output).lines().collect();
    let check = |setting: &str, origin: &str| {
        let line = lines.iter().find(|line| line.split("  # ").next().is_some_and(|text| text.trim_end() == setting));
        let line = line.unwrap_or_else(|| panic!("`{setting}` is not in:\n{}", lines.join("\n")));
        assert!(line.trim_end().ends_with(origin), "{line}");
    };
    check("profile = \"rpi4\"", "service.toml:1");
    check("camera[0].rotate = 90", "service.toml:5");
    check("camera[0].fit = \"pad\"", "service.toml:7");
    check("camera[0].timeout_s = 15.0", "# profile rpi4");
    check("camera[0].masks = []", "# default");
    check("# camera[0].roi is not set", "# default");
    check("model.threads = 4", "# profile rpi4");
    check("model.tau = 0.1", "# bundle");
    check("gate.still_mean = 0.2", "# default");
    check("output[0].kind = \"stdout\"", "# default");
    for key in [
        "log.level",
        "model.stride_s",
        "events.on",
        "events.off",
        "gate.dark_flat_mean",
        "governor.max_load",
        "governor.resume_load",
        "governor.max_stretch",
        "governor.interval_s",
        "governor.stable_s",
        "metrics.interval_s",
        "health.status_s",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(&format!("{key} = "))),
            "{key} is not in:\n{}",
            lines.join("\n")
        );
    }
    assert!(lines.iter().all(|line| line.contains("  # ")), "{}", lines.join("\n"));
}
