//! The example configuration lists every key and every default; what cannot be used is refused with its line.

use std::collections::BTreeSet;

use bike_edge::Result;
use toml::{Table, Value};

use super::effective::{builtin_default, camera_defaults};
use super::service::{ServiceSettings, parse_service_settings, sections};
use super::spec_table::{TOP_KEYS, keys_of};
use super::{Credentials, service::TopSpec};

const EXAMPLE: &str = include_str!("../../board/bike-edge.toml");

const CAMERA: &str = "[[camera]]\nname = \"a\"\nsource = \"/dev/video0\"\n";

/// As the service reads it without systemd.
fn parse(text: &str) -> Result<ServiceSettings> {
    parse_service_settings("f.toml", text, &Credentials::Folder(None))
}

/// A key that is commented out: `#key = value`.
fn commented_key(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('#')?;
    let name = rest.split(' ').next()?;
    let is_key = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (is_key && rest[name.len()..].starts_with(" = ")).then_some(rest)
}

/// The example with its commented keys active: all of them, or only those that are defaults and not marked as examples.
fn example_with(examples: bool) -> Table {
    let mut marked = false;
    let lines = EXAMPLE.lines().map(|line| match commented_key(line) {
        Some(key) if examples || !std::mem::take(&mut marked) => key,
        Some(_) => line,
        None => {
            marked = line.starts_with('#') && line.trim_end().ends_with("Example:");
            line
        }
    });
    toml::from_str(&lines.collect::<Vec<_>>().join("\n")).expect("the example is TOML")
}

fn keys(value: &Value) -> BTreeSet<&str> {
    let table = value.as_table().or_else(|| value.as_array()?.first()?.as_table());
    table.expect("a section").keys().map(String::as_str).collect()
}

#[test]
fn the_example_lists_every_key() {
    let example = example_with(true);
    let sections = sections();
    for (section, known) in &sections {
        assert_eq!(keys(&example[*section]), known.iter().copied().collect(), "[{section}]");
    }
    let all: BTreeSet<&str> = example.keys().map(String::as_str).collect();
    assert_eq!(keys_of::<TopSpec>(), TOP_KEYS);
    let known = TOP_KEYS.into_iter().chain(sections.iter().map(|(name, _)| *name)).collect();
    assert_eq!(all, known);
}

#[test]
fn the_example_with_all_defaults_active_equals_the_defaults() {
    let example = example_with(false);
    let text = toml::to_string(&example).expect("TOML");
    let (active, plain) = (parse(&text).unwrap(), parse(EXAMPLE).unwrap());
    assert_eq!((active.log, &active.model, &active.events), (plain.log, &plain.model, &plain.events));
    assert_eq!((&active.gate, &active.outputs, &active.cameras), (&plain.gate, &plain.outputs, &plain.cameras));
    assert_eq!((&active.metrics, &active.health), (&plain.metrics, &plain.health));
    // A board's profile may replace these, so they are compared with the built-in defaults.
    for (section, value) in &example {
        let Value::Table(values) = value else { continue };
        for (key, value) in values {
            let expected = builtin_default(&format!("{section}.{key}")).expect(key);
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(shown, expected, "{section}.{key}");
        }
    }
}

#[test]
fn every_default_of_a_section_is_in_the_example() {
    let example = example_with(false);
    for (section, known) in sections() {
        for key in known.iter().filter(|key| builtin_default(&format!("{section}.{key}")).is_some()) {
            let listed = example[section].get(*key).or_else(|| example[section].get(0)?.get(*key));
            assert!(listed.is_some(), "{section}.{key} has a default, and the example marks it as an example");
        }
    }
    assert!(camera_defaults().unwrap().contains_key("timeout_s"));
}

#[test]
fn the_example_can_be_used_unchanged() {
    let settings = parse(EXAMPLE).unwrap();
    assert_eq!(settings.cameras.len(), 1);
    assert_eq!(settings.cameras[0].address.to_string(), "/dev/video0");
    assert_eq!(settings.outputs, [bike_edge::output::OutputSpec::Stdout]);
}

#[test]
fn a_profile_lies_under_the_file_and_camera_defaults_under_cameras() {
    let text = format!(
        "profile = \"rpi4\"\n[governor]\nhot_c = 70.0\ncool_c = 60.0\n[camera_defaults]\nrotate = 90\n{CAMERA}\
         [[camera]]\nname = \"b\"\nsource = \"/dev/video1\"\nrotate = 180\nrate = 5.0\n"
    );
    let settings = parse(&text).unwrap();
    assert_eq!((settings.profile, settings.model.threads), ("rpi4", Some(4)));
    assert_eq!((settings.governor.hot_c, settings.governor.max_stretch), (70.0, 16.0));
    let cameras: Vec<_> = settings.cameras.iter().map(|c| (c.transform.rotate.degrees(), c.capture.rate)).collect();
    assert_eq!(cameras, [(90, Some(10.0)), (180, Some(5.0))]);
    assert_eq!(settings.layers.origin("governor.hot_c").as_deref(), Some("f.toml:3"));
    assert_eq!(settings.layers.origin("governor.max_stretch").as_deref(), Some("profile rpi4"));
}

#[test]
fn every_profile_can_be_used() {
    for profile in ["rpi4", "rpi5", "rk3588", "jetson-orin", "generic"] {
        let settings = parse(&format!("profile = \"{profile}\"\n{CAMERA}"));
        assert_eq!(settings.unwrap_or_else(|e| panic!("{profile}: {e}")).profile, profile);
    }
}

#[test]
fn values_that_cannot_be_used_are_refused_with_file_line_and_key() {
    for (text, expected) in [
        ("[modell]\n", &["f.toml:1: modell", "did you mean `model`?"][..]),
        ("[model]\nthread = 2\n", &["f.toml:2: model.thread:", "did you mean `threads`?"]),
        ("[model]\nthreads = \"two\"\n", &["f.toml:2: model.threads:", "two", "whole number"]),
        ("[model]\nthreads = 0\n", &["f.toml:2: model.threads:", "1 to 256"]),
        ("[model]\n\nlambda = 1.5\n", &["f.toml:3: model.lambda:", "0 to 1"]),
        ("[model]\ntau = nan\n", &["f.toml:2: model.tau:"]),
        ("[model]\ndevice = \"abacus\"\n", &["f.toml:2: model.device:", "abacus", "cuda"]),
        ("[model]\nattributes = \"all\"\n", &["f.toml:2: model.attributes:", "composer"]),
        ("[model]\nwindow = 65\n", &["model.window", "1 to 64"]),
        ("[model]\nstride_s = 0.0\n", &["model.stride_s"]),
        ("[model]\ncategories = [\" \"]\n", &["f.toml:2: model.categories:", "empty"]),
        ("[model]\ncategories = [\"a\"]\ncategories_file = \"/x\"\n", &["f.toml:3: model.categories_file:"]),
        ("[model]\ncategories_file = \"/no/such\"\n", &["f.toml:2: model.categories_file:", "/no/such"]),
        ("profile = \"rpi9\"\n", &["f.toml:1: profile:", "rpi9", "rpi5"]),
        ("profile = 4\n", &["f.toml:1: profile:", "quotes"]),
        ("thresholds = \"here.toml\"\n", &["f.toml:1: thresholds:", "absolute path"]),
        ("thresholds = \"/no/such.toml\"\n", &["f.toml:1: thresholds:", "/no/such.toml"]),
        ("[governor]\nhot_c = 60.0\n", &["governor.cool_c", "below hot_c"]),
        ("[governor]\nresume_load = 0.95\n", &["f.toml:2: governor.resume_load:", "below max_load"]),
        ("[governor]\nmax_stretch = 0.5\n", &["f.toml:2: governor.max_stretch:"]),
        ("[gate]\ndark = 300.0\n", &["f.toml:2: gate.dark:"]),
        ("[events.category.\"a b\"]\nonn = 1.5\n", &["f.toml:2: events.category.\"a b\".onn:", "did you mean `on`?"]),
        ("[events]\ncategory = { a = 0.5 }\n", &["f.toml:2: events.category.\"a\":", "a section is expected"]),
        (
            "[camera_defaults]\nprofile = \"rpi4\"\n",
            &["f.toml:2: camera_defaults.profile:", "above the first [section]"],
        ),
        ("log = \"info\"\n", &["f.toml:1: log:", "a section is expected"]),
        ("[events]\non = 1.5\n", &["f.toml:2: events.on: 1.5"]),
        ("[events.category.\"a b\"]\non = 1.5\n", &["f.toml:2: events.category.\"a b\".on: 1.5"]),
        ("[model]\nstride_s = 1.0\n[events]\ngap_s = 2.0\n", &["f.toml:4: events.gap_s:", "stride"]),
        ("[[output]]\nkind = \"file\"\n", &["f.toml:1: output[0].path:", "name the file"]),
        ("[[output]]\nkind = \"file\"\npath = \"events.jsonl\"\n", &["f.toml:3: output[0].path:", "absolute path"]),
        ("[[output]]\nkind = \"file\"\nmax_size = \"lots\"\n", &["f.toml:3: output[0].max_size:", "512M"]),
        ("[[output]]\nkind = \"file\"\npath = \"/e\"\nmax_size = \"1K\"\n", &["output[0].max_size", "64K"]),
        ("[[output]]\nkind = \"file\"\npath = \"/e\"\nfiles = 0\n", &["f.toml:4: output[0].files:"]),
        ("[[output]]\nkind = \"fax\"\n", &["f.toml:2: output[0].kind:", "fax", "stdout"]),
        ("[[output]]\n[[output]]\n", &["output", "stdout is given twice"]),
        ("[output]\nkind = \"stdout\"\n", &["f.toml:1: output:", "[[output]] with two brackets"]),
        ("[[model]]\ntau = 0.1\n", &["f.toml:1: model:", "[model] with one bracket"]),
        ("model = 3\n", &["f.toml:1: model:", "write [model]"]),
        ("[metrics]\ninterval_s = 0.0\n", &["f.toml:2: metrics.interval_s:"]),
        ("[health]\nstate = \"here\"\n", &["f.toml:2: health.state:", "absolute path"]),
        ("[log]\nlevel = \"loud\"\n", &["f.toml:2: log.level:", "loud", "info"]),
        ("a = = 1\n", &["f.toml:1: "]),
    ] {
        let problem = parse(&format!("{text}{CAMERA}")).unwrap_err().to_string();
        for word in expected {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    }
}

#[test]
fn cameras_that_cannot_be_used_are_refused() {
    assert!(parse("").unwrap_err().to_string().contains("[[camera]]"));
    let one = parse("[camera]\nname = \"a\"\n").unwrap_err().to_string();
    assert!(one.contains("f.toml:1: camera:") && one.contains("[[camera]] with two brackets"), "{one}");
    for (text, expected) in [
        ("name = \"\"\nsource = \"/dev/video0\"", &["f.toml:2: camera[0].name:"][..]),
        ("name = \"a/b\"\nsource = \"/dev/video0\"", &["f.toml:2: camera[0].name:"]),
        ("name = \"a\"", &["f.toml:1: camera[0].source:", "url_file"]),
        ("name = \"a\"\nsource = \"clip.mp4\"", &["f.toml:3: camera[0].source:", "clip.mp4", "bike-edge watch"]),
        ("name = \"a\"\nsource = \"0\"", &["f.toml:3: camera[0].source:", "/dev/video0"]),
        (
            "name = \"a\"\nsource = \"/dev/video0\"\nurl_file = \"/y\"",
            &["f.toml:4: camera[0].url_file:", "one of source"],
        ),
        ("name = \"a\"\nurl_file = \"/no/such\"", &["f.toml:3: camera[0].url_file:", "cannot be read"]),
        ("name = \"a\"\nsource = \"/dev/video0\"\nroi = \"1,2\"", &["f.toml:4: camera[0].roi:", "x,y,w,h"]),
        ("name = \"a\"\nsource = \"/dev/video0\"\nmasks = [\"0,0,0,9\"]", &["f.toml:4: camera[0].masks:"]),
        ("name = \"a\"\nsource = \"/dev/video0\"\nrotate = 45", &["f.toml:4: camera[0].rotate:", "270"]),
        ("name = \"a\"\nsource = \"/dev/video0\"\nsize = \"big\"", &["f.toml:4: camera[0].size:"]),
        ("name = \"a\"\nsource = \"/dev/video0\"\nrate = 0.0", &["f.toml:4: camera[0].rate:"]),
        ("name = \"a\"\nsource = \"/dev/video0\"\nfit = \"bend\"", &["f.toml:4: camera[0].fit:", "bend"]),
        ("name = \"a\"\nsource = \"/dev/video0\"\nspool_limit = \"1G\"", &["f.toml:4: camera[0].spool_limit:"]),
        (
            "name = \"a\"\nsource = \"/dev/video0\"\n[[camera]]\nname = \"a\"\nsource = \"/dev/video1\"",
            &["f.toml:5: camera[1].name:", "another camera"],
        ),
    ] {
        let problem = parse(&format!("[[camera]]\n{text}\n")).unwrap_err().to_string();
        for word in expected {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    }
}

#[test]
fn a_mistake_in_camera_defaults_is_reported_there() {
    let problem = parse(&format!("[camera_defaults]\nrotate = 45\n{CAMERA}")).unwrap_err().to_string();
    assert!(problem.starts_with("f.toml:2: camera_defaults.rotate:"), "{problem}");
}

#[test]
fn no_secret_is_printed() {
    let secret = "rtsp://me:hush@cam/1?key=hush";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("door.url");
    std::fs::write(&file, secret).unwrap();
    for source in [format!("source = \"{secret}\""), format!("url_file = \"{}\"", file.display())] {
        let settings = parse(&format!("[[camera]]\nname = \"a\"\n{source}\n")).unwrap();
        assert_eq!(settings.cameras[0].address.reveal(), secret);
        let printed = format!("{:?}", settings.cameras);
        assert!(printed.contains("rtsp://cam/...") && !printed.contains("hush"), "{printed}");
    }
    // Nor if the mistake is in the line itself.
    for line in [format!("sources = \"{secret}\""), format!("source = \"/dev/video0\"\nroi = \"{secret}\"")] {
        let problem = parse(&format!("[[camera]]\nname = \"a\"\n{line}\n")).unwrap_err().to_string();
        assert!(problem.contains("f.toml:") && !problem.contains("hush"), "{problem}");
    }
}
