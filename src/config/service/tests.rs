//! The example says everything; whatever cannot be used is refused with its line.

use std::collections::BTreeSet;

use serde::de::value::Error as Plain;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use toml::{Table, Value};

use super::file::*;
use super::*;
use crate::error::Result;
use crate::events::{CategorySettings, EventSettings};

const EXAMPLE: &str = include_str!("../../../board/bike-edge.toml");

/// As the service reads it without systemd.
fn parse_config(file: &str, text: &str) -> Result<ServiceConfig> {
    super::parse_config(file, text, &Credentials::Folder(None))
}

/// The keys that a struct knows, as it tells them to whoever reads it.
fn keys_of<'de, T: Deserialize<'de>>() -> BTreeSet<String> {
    struct Listener;
    impl<'de> Deserializer<'de> for Listener {
        type Error = Plain;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Plain> {
            Err(Plain::custom(""))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Plain> {
            Err(Plain::custom(fields.join(" ")))
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let told = T::deserialize(Listener).err().expect("it has told its keys").to_string();
    told.split(' ').map(str::to_owned).collect()
}

/// The example with all its defaults said aloud.
fn aloud() -> Table {
    let key = |line: &str| {
        let rest = line.strip_prefix('#')?;
        let name = rest.split(' ').next()?;
        let is_key = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        (is_key && rest[name.len()..].starts_with(" = ")).then(|| rest.to_owned())
    };
    let text: Vec<String> = EXAMPLE.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned())).collect();
    toml::from_str(&text.join("\n")).expect("the example is TOML")
}

fn keys(table: &Value) -> BTreeSet<String> {
    table.as_table().expect("a table").keys().cloned().collect()
}

#[test]
fn the_example_has_every_key() {
    let mut top = aloud();
    let camera = top.remove("camera").expect("cameras").as_array().expect("a list")[0].clone();
    assert_eq!(keys(&camera), keys_of::<CameraFile>());
    for (section, known) in [
        ("log", keys_of::<LogFile>()),
        ("model", keys_of::<ModelFile>()),
        ("camera_defaults", keys_of::<CameraDefaults>()),
        ("events", keys_of::<EventSettings>()),
        ("gate", keys_of::<GateFile>()),
        ("governor", keys_of::<GovernorFile>()),
        ("output", keys_of::<OutputFile>()),
        ("metrics", keys_of::<MetricsFile>()),
        ("health", keys_of::<HealthFile>()),
    ] {
        assert_eq!(keys(&top[section]), known, "[{section}]");
    }
    let all: BTreeSet<String> = top.keys().cloned().chain(["camera".into()]).collect();
    assert_eq!(all, keys_of::<ServiceFile>());
    let sections: BTreeSet<String> = EVERY_SECTION.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(all.difference(&sections).collect::<Vec<_>>(), ["profile", "thresholds"]);
    assert!(EXAMPLE.contains("[events.category."));
    assert!(keys_of::<CategorySettings>().is_subset(&keys_of::<EventSettings>()));
}

#[test]
fn the_example_tells_every_default() {
    let aloud = ServiceFile::deserialize(aloud()).expect("every default can be said");
    let said = serde_json::to_value(&aloud).unwrap();
    let defaults = serde_json::to_value(ServiceFile::default()).unwrap();
    for section in EVERY_SECTION.iter().filter(|section| !["camera", "events"].contains(section)) {
        for (key, default) in defaults[section].as_object().unwrap() {
            // What has no fixed default is explained in words.
            if !default.is_null() {
                assert_eq!(said[section][key], *default, "{section}.{key}");
            } else {
                assert!(explained(key), "{section}.{key}");
            }
        }
    }
    assert_eq!(aloud.profile, ServiceFile::default().profile);
    // Nothing said and every default said are the same events.
    let resolve = |settings: &EventSettings| settings.resolve(&["a wall".into()], 0.5).unwrap();
    assert_eq!(resolve(&aloud.events), resolve(&EventSettings::default()));
    let camera = &aloud.camera[0];
    let plain = CameraFile::default();
    assert_eq!((camera.fit, camera.rotate, camera.timeout_s), (plain.fit, plain.rotate, plain.timeout_s));
    assert_eq!(camera.masks, plain.masks);
}

/// Whether the comment over the key says its default.
fn explained(key: &str) -> bool {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let at = lines.iter().position(|line| line.starts_with(&format!("#{key} = "))).expect("the key is there");
    lines[at - 1].contains("Default:")
}

#[test]
fn the_example_is_used_as_it_stands() {
    let config = parse_config("bike-edge.toml", EXAMPLE).unwrap();
    assert_eq!(config.cameras.len(), 1);
    assert_eq!(config.cameras[0].address.to_string(), "/dev/video0");
    assert_eq!(config.output, OutputConfig::Stdout);
    let told = describe(&config);
    assert!(told.iter().any(|(name, text)| name == "camera" && text.contains("/dev/video0")));
}

const CAMERA: &str = "[[camera]]\nname = \"a\"\nsource = \"/dev/video0\"\n";

#[test]
fn a_profile_lies_under_the_file_and_defaults_under_cameras() {
    let text = format!(
        "profile = \"rpi4\"\n[governor]\nhot_c = 70.0\ncool_c = 60.0\n[camera_defaults]\nrotate = 90\n{CAMERA}\
                        [[camera]]\nname = \"b\"\nsource = \"/dev/video1\"\nrotate = 180\nrate = 5.0\n"
    );
    let config = parse_config("x", &text).unwrap();
    assert_eq!((config.profile.as_str(), config.model.threads), ("rpi4", Some(4)));
    assert_eq!((config.governor.hot_c, config.governor.slowest), (70.0, 16.0));
    let seen: Vec<_> = config.cameras.iter().map(|c| (c.view.rotate as u32, c.wish.fps)).collect();
    assert_eq!(seen, [(1, Some(10.0)), (2, Some(5.0))]);
}

#[test]
fn what_cannot_be_used_is_refused_with_file_line_and_key() {
    for (text, told) in [
        ("[modell]\n", &["line 1", "modell"][..]),
        ("[model]\nthread = 2\n", &["line 2", "thread = 2", "threads"]),
        ("[model]\nthreads = \"two\"\n", &["line 2", "threads"]),
        ("[model]\nthreads = 0\n", &["line 2", "model.threads", "1 to 256"]),
        ("[model]\n\nlambda = 1.5\n", &["line 3", "model.lambda", "0 to 1"]),
        ("[model]\ntau = nan\n", &["line 2", "model.tau"]),
        ("[model]\ndevice = \"abacus\"\n", &["line 2", "model.device", "cuda"]),
        ("[model]\nattributes = \"all\"\n", &["line 2", "model.attributes", "composer"]),
        ("[model]\nwindow = 65\n", &["model.window", "1 to 64"]),
        ("[model]\nstride_s = 0.0\n", &["model.stride_s"]),
        ("[model]\ncategories = [\"a, b\"]\n", &["line 2", "categories_file"]),
        ("[model]\ncategories_file = \"/no/such\"\n", &["line 2", "no such file"]),
        ("profile = \"rpi9\"\n", &["line 1", "rpi9", "rpi5"]),
        ("[governor]\nhot_c = 60.0\n", &["governor.cool_c", "below hot_c"]),
        ("[governor]\nroom = 0.95\n", &["line 2", "governor.room", "below behind"]),
        ("[governor]\nslowest = 0.5\n", &["line 2", "governor.slowest"]),
        ("[gate]\ndark = 300.0\n", &["line 2", "gate.dark"]),
        ("[events]\non = 1.5\n", &["events", "on is 1.5"]),
        ("[output]\nkind = \"file\"\n", &["output.path", "which file"]),
        ("[output]\npath = \"events.jsonl\"\n", &["line 2", "whole path"]),
        ("[output]\nmax_size = \"lots\"\n", &["line 2", "output.max_size", "16M"]),
        ("[output]\nmax_size = \"1K\"\n", &["64K"]),
        ("[output]\nfiles = 0\n", &["line 2", "output.files"]),
        ("[metrics]\nevery_s = 0.0\n", &["line 2", "metrics.every_s"]),
        ("[health]\nstate = \"here\"\n", &["line 2", "whole path"]),
        ("[log]\nlevel = \"loud\"\n", &["line 2", "loud", "info"]),
        ("a = = 1\n", &["line 1"]),
    ] {
        let problem = parse_config("f.toml", &format!("{text}{CAMERA}")).unwrap_err().to_string();
        assert!(problem.starts_with("f.toml: "), "{problem}");
        for word in told {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    }
}

#[test]
fn cameras_that_cannot_be_used_are_refused() {
    assert!(parse_config("f", "").unwrap_err().to_string().contains("[[camera]]"));
    for (text, told) in [
        ("name = \"\"\nsource = \"/dev/video0\"", &["camera[0].name"][..]),
        ("name = \"a/b\"\nsource = \"/dev/video0\"", &["line 2", "camera[0].name"]),
        ("name = \"a\"", &["camera[0].source", "url_file"]),
        ("name = \"a\"\nsource = \"x\"\nurl_file = \"/y\"", &["line 3", "one of source"]),
        ("name = \"a\"\nurl_file = \"/no/such\"", &["line 3", "camera[0].url_file", "cannot be read"]),
        ("name = \"a\"\nsource = \"x\"\nroi = \"1,2\"", &["line 4", "camera[0].roi", "x,y,w,h"]),
        ("name = \"a\"\nsource = \"x\"\nmasks = [\"0,0,0,9\"]", &["line 4", "camera[0].masks"]),
        ("name = \"a\"\nsource = \"x\"\nrotate = 45", &["line 4", "camera[0].rotate", "270"]),
        ("name = \"a\"\nsource = \"x\"\nsize = \"big\"", &["line 4", "camera[0].size"]),
        ("name = \"a\"\nsource = \"x\"\nrate = 0.0", &["line 4", "camera[0].rate"]),
        ("name = \"a\"\nsource = \"x\"\nfit = \"bend\"", &["line 4", "bend"]),
        (
            "name = \"a\"\nsource = \"x\"\n[[camera]]\nname = \"a\"\nsource = \"y\"",
            &["line 5", "camera[1].name", "another"],
        ),
    ] {
        let problem = parse_config("f", &format!("[[camera]]\n{text}\n")).unwrap_err().to_string();
        for word in told {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    }
}

#[test]
fn no_secret_is_told() {
    let secret = "rtsp://me:hush@cam/1?key=hush";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("door.url");
    std::fs::write(&file, secret).unwrap();
    for source in [format!("source = \"{secret}\""), format!("url_file = \"{}\"", file.display())] {
        let text = format!("[[camera]]\nname = \"a\"\n{source}\n");
        let config = parse_config("f", &text).unwrap();
        assert_eq!(config.cameras[0].address.reveal(), secret);
        let told = format!("{config:?} {:?}", describe(&config));
        assert!(told.contains("rtsp://cam/1") && !told.contains("hush"), "{told}");
    }
    // Nor where the line itself is at fault.
    let problem = parse_config("f", &format!("[[camera]]\nname = \"a\"\nsources = \"{secret}\"\n")).unwrap_err();
    assert!(problem.to_string().contains("line 3") && !problem.to_string().contains("hush"), "{problem}");
    let problem =
        parse_config("f", &format!("[[camera]]\nname = \"a\"\nroi = \"{secret}\"\nsource = \"x\"")).unwrap_err();
    assert!(!problem.to_string().contains("hush"), "{problem}");
}
