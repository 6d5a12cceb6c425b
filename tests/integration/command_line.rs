//! Answers, messages and exit codes of the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::clips::{CLIP, as_y4m};
use crate::support::program::{
    PROGRAM, bike_edge, bike_edge_with_stdin, json_lines, refused, stderr, stdout, successful,
};

fn answer(args: &[&str]) -> Value {
    json_lines(&successful(bike_edge(args))).remove(0)
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn classify_reports_categories_saliency_and_attributes() {
    let answer = answer(&["classify", CLIP, "--json", "--top", "3"]);
    assert_eq!(answer["schema"], 1);
    assert_eq!(answer["results"].as_array().unwrap().len(), 3);
    assert_eq!(answer["attributes"].as_array().unwrap().len(), 5);
    assert_eq!(answer["bundle"]["name"], "demo");
    let saliency = answer["saliency"].as_array().unwrap();
    let weight: f64 = saliency.iter().map(|point| point["weight"].as_f64().unwrap()).sum();
    assert!((weight - 1.0).abs() < 1e-5, "{weight}");
    let frames = answer["frames"].as_u64().unwrap();
    let sampled: Vec<u64> = saliency.iter().map(|point| point["frame"].as_u64().unwrap()).collect();
    let uniform: Vec<u64> = (0..8).map(|i| (frames as f64 / 8.0 * f64::from(i)) as u64).collect();
    assert_eq!(sampled, uniform);
}

#[test]
fn the_most_salient_frame_shows_the_category() {
    // The clip shows a cup of coffee, then a cat, then a rocket (tests/data/NOTICE.md).
    let third_of_clip = |category: &str| {
        let others = "typing on a keyboard,reading a book,a street";
        let answer = answer(&["classify", CLIP, "--json", "--categories", &format!("{category},{others}")]);
        assert_eq!(answer["results"][0]["label"], category);
        let saliency = answer["saliency"].as_array().unwrap().clone();
        let most = saliency.iter().max_by(|a, b| a["weight"].as_f64().partial_cmp(&b["weight"].as_f64()).unwrap());
        (3.0 * most.unwrap()["frame"].as_f64().unwrap() / answer["frames"].as_f64().unwrap()) as u32
    };
    assert_eq!(third_of_clip("drinking coffee"), 0);
    assert_eq!(third_of_clip("petting a cat"), 1);
    assert_eq!(third_of_clip("launching a rocket"), 2);
}

#[test]
fn raw_output_has_all_scores_and_the_embeddings_of_every_view() {
    let answer = answer(&["classify", CLIP, "--json", "--raw", "--views", "2", "--crops", "3"]);
    let categories = answer["labels"].as_array().unwrap().len();
    assert_eq!(answer["s_v"].as_array().unwrap().len(), categories);
    assert_eq!(answer["s_a"].as_array().unwrap().len(), categories);
    let embeddings = answer["frame_embeddings"].as_array().unwrap();
    assert_eq!((embeddings.len(), embeddings[0].as_array().unwrap().len()), (6, 8));
    assert_eq!(
        answer["frame_indices"][0], answer["frame_indices"][2],
        "crop by crop: the second crop begins with the first frame"
    );
    assert_ne!(embeddings[0], embeddings[2], "crops differ");
}

#[test]
fn with_lambda_1_no_attribute_score_is_reported() {
    let answer = answer(&["classify", CLIP, "--json", "--lambda", "1"]);
    assert!(answer["results"][0].get("score_attributes").is_none());
}

#[test]
fn a_pipe_gives_the_same_output_as_the_file() {
    let without_input_and_wall = |output: Output| {
        let mut found = json_lines(&successful(output));
        for line in &mut found {
            line.as_object_mut().unwrap().retain(|field, _| field != "input" && field != "wall");
        }
        found
    };
    let y4m = as_y4m(OsStr::new(CLIP));
    let file = without_input_and_wall(bike_edge(&["watch", CLIP, "--steps"]));
    let pipe = without_input_and_wall(bike_edge_with_stdin(&["watch", "-", "--steps"], &y4m));
    assert!(file.len() > 10);
    assert_eq!(file, pipe);
    let events = without_input_and_wall(bike_edge(&["watch", CLIP]));
    assert!(!events.is_empty() && events.len() < file.len());
    assert_eq!(events, without_input_and_wall(bike_edge_with_stdin(&["watch", "-"], &y4m)));

    let whole = |output: Output| json_lines(&output).remove(0)["results"].clone();
    assert_eq!(
        whole(bike_edge(&["classify", CLIP, "--json"])),
        whole(bike_edge_with_stdin(&["classify", "-", "--json"], &y4m))
    );
}

#[test]
fn a_pipe_longer_than_the_spool_is_refused() {
    let output = bike_edge_with_stdin(&["classify", "-", "--spool-limit", "64K"], &as_y4m(OsStr::new(CLIP)));
    refused(&output, 3, &["--spool-limit"]);
}

#[test]
fn a_window_is_full_after_its_length_in_steps() {
    let found = json_lines(&bike_edge(&["watch", CLIP, "--steps", "--window", "4", "--stride", "1"]));
    let full: Vec<bool> = found.iter().map(|line| line["full"].as_bool().unwrap()).collect();
    assert_eq!(full, [false, false, false, true, true, true, true, true]);
}

#[test]
fn any_text_can_be_a_category_and_one_that_is_nearly_a_known_name_is_reported() {
    let found = answer(&["classify", CLIP, "--json", "--categories", "A Bicycle, a cat"]);
    assert_eq!(found["results"].as_array().unwrap().len(), 2);
    let output = successful(bike_edge(&["classify", CLIP, "--categories", "ridng a bicycle,someone feeds a cat"]));
    assert!(
        stderr(&output).contains("`ridng a bicycle` is read as it is written; the bundle knows `riding a bicycle`")
    );
    assert!(!stderr(&output).contains("feeds"), "{output:?}");
    refused(&bike_edge(&["classify", CLIP, "--categories", "a cat,a cat"]), 2, &["a cat"]);
}

#[test]
fn flags_out_of_range_are_named() {
    for (flag, value) in [
        ("--window", "0"),
        ("--window", "65"),
        ("--lambda", "1.5"),
        ("--tau", "0"),
        ("--threads", "0"),
        ("--views", "0"),
        ("--crops", "2"),
        ("--roi", "1,2,3"),
        ("--spool-limit", "much"),
        ("--top", "0"),
    ] {
        refused(&bike_edge(&["classify", CLIP, flag, value]), 2, &[flag]);
    }
    refused(&bike_edge(&["watch", CLIP, "--stride", "-1"]), 2, &["--stride"]);
    refused(&bike_edge(&["classify", CLIP, "--roi", "300,200,100,100"]), 2, &["--roi", "320x240"]);
    refused(&bike_edge(&["classify", CLIP, "--crops", "3", "--fit", "pad"]), 2, &["--crops", "--fit"]);
}

#[test]
fn inputs_that_cannot_be_read_are_named() {
    let folder = temporary();
    refused(&bike_edge(&["classify", "no-such-clip.mp4"]), 3, &["no-such-clip.mp4"]);
    for (name, bytes) in [
        ("empty.mp4", &b""[..]),
        ("text.mp4", b"this is not a clip, in spite of its name\n"),
        ("cut.mp4", &std::fs::read(CLIP).unwrap()[..200]),
        ("huge.y4m", b"YUV4MPEG2 W99999 H99999 F25:1 C420\nFRAME\n"),
    ] {
        let path = file(folder.path(), name, bytes);
        refused(&bike_edge(&[OsStr::new("classify"), path.as_os_str()]), 3, &[name]);
    }
    refused(&bike_edge_with_stdin(&["classify", "-"], b""), 3, &["standard input"]);
}

/// Returns the boxes at the top level of an MP4 file: their type and their bytes, header included.
fn top_boxes(mp4: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let (mut boxes, mut rest) = (Vec::new(), mp4);
    while let Some((&size, _)) = rest.split_first_chunk::<4>() {
        let (whole, after) = rest.split_at(u32::from_be_bytes(size) as usize);
        boxes.push((whole[4..8].try_into().unwrap(), whole));
        rest = after;
    }
    boxes
}

#[test]
fn a_truncated_clip_is_classified_over_the_rest_if_its_index_comes_first() {
    let folder = temporary();
    let whole = std::fs::read(CLIP).unwrap();
    let boxes = top_boxes(&whole);
    let place = |kind: &[u8; 4]| boxes.iter().position(|(other, _)| other == kind).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "the index of the test clip comes first");
    let cut = &whole[..whole.len() * 3 / 4];
    let path = file(folder.path(), "cut.mp4", cut);
    let from_file = bike_edge(&[OsStr::new("classify"), path.as_os_str(), OsStr::new("--json")]);
    for output in [from_file, bike_edge_with_stdin(&["classify", "-", "--json"], cut)] {
        assert!(stderr(&output).contains("74 of 186 pictures are beyond the end of the file"), "{output:?}");
        let found = json_lines(&successful(output)).remove(0);
        assert_eq!((found["frames"].as_u64(), found["warnings"].as_array().map(Vec::len)), (Some(112), Some(1)));
    }

    // With the index at the end, the rest cannot be decoded.
    let mut index_last: Vec<u8> = Vec::new();
    boxes.iter().filter(|(kind, _)| kind != b"moov").for_each(|(_, bytes)| index_last.extend_from_slice(bytes));
    let cut = &index_last[..index_last.len() * 3 / 4];
    let path = file(folder.path(), "index_last.mp4", cut);
    refused(&bike_edge(&[OsStr::new("classify"), path.as_os_str()]), 3, &["index_last.mp4", "index (moov)"]);
    refused(&bike_edge_with_stdin(&["classify", "-"], cut), 3, &["standard input", "index (moov)"]);
}

#[test]
fn one_bad_input_among_several_does_not_stop_the_others() {
    let output = bike_edge(&["classify", "no-such-clip.mp4", CLIP, "--json"]);
    refused(&output, 1, &["no-such-clip.mp4"]);
    assert_eq!(json_lines(&output).len(), 1);
}

#[test]
#[cfg(unix)]
fn names_need_not_be_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = temporary();
    let path = folder.path().join(OsStr::from_bytes(b"clip\xff.mp4"));
    std::fs::copy(CLIP, &path).unwrap();
    let output = successful(bike_edge(&[OsStr::new("classify"), path.as_os_str(), OsStr::new("--json")]));
    assert!(json_lines(&output)[0]["input"].as_str().unwrap().ends_with("clip\u{fffd}.mp4"));
}

#[test]
fn unusable_bundles_are_named() {
    refused(&bike_edge(&["classify", CLIP, "--bundle", "no-such-bundle"]), 4, &["no-such-bundle"]);
    let folder = temporary();
    refused(&bike_edge(&["bundle".as_ref(), "inspect".as_ref(), folder.path().as_os_str()]), 4, &["bundle.toml"]);
}

#[test]
fn the_embedded_bundle_unpacks_packs_and_verifies() {
    let folder = temporary();
    let (unpacked, packed) = (folder.path().join("demo"), folder.path().join("demo.bike"));
    let ok = |args: &[&OsStr]| successful(bike_edge(args));
    ok(&["bundle".as_ref(), "unpack".as_ref(), "embedded".as_ref(), unpacked.as_os_str()]);
    ok(&["bundle".as_ref(), "pack".as_ref(), unpacked.as_os_str(), packed.as_os_str()]);
    ok(&["bundle".as_ref(), "verify".as_ref(), packed.as_os_str()]);
    let again = bike_edge(&["bundle".as_ref(), "pack".as_ref(), unpacked.as_os_str(), packed.as_os_str()]);
    refused(&again, 5, &["demo.bike"]);
    let by = |bundle: &OsStr| {
        let output = ok(&["classify".as_ref(), CLIP.as_ref(), "--json".as_ref(), "--bundle".as_ref(), bundle]);
        json_lines(&output).remove(0)["results"].clone()
    };
    assert_eq!(by(packed.as_os_str()), by(unpacked.as_os_str()));
    assert_eq!(by(packed.as_os_str()), by("embedded".as_ref()));

    let table = unpacked.join("categories.safetensors");
    let mut bytes = std::fs::read(&table).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let output = bike_edge(&["bundle".as_ref(), "verify".as_ref(), unpacked.as_os_str()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stdout(&output).contains("FAIL  size and sha256 of categories.safetensors"), "{}", stdout(&output));
}

#[test]
fn the_lexicon_can_be_searched() {
    let output = bike_edge(&["bundle", "inspect", "--lexicon", "bicycle"]);
    assert!(stdout(&output).lines().count() > 1 && stdout(&output).lines().all(|line| line.contains("bicycle")));
}

#[test]
fn eval_counts_hits_and_failures() {
    let folder = temporary();
    std::fs::copy(CLIP, folder.path().join("a.mp4")).unwrap();
    file(folder.path(), "bad.mp4", b"no clip");
    let list = file(folder.path(), "list.csv", b"path,label\na.mp4,petting a cat\na.mp4,1\nbad.mp4,0\n");
    let report = folder.path().join("report.json");
    let categories = "petting a cat,typing on a keyboard,reading a book";
    let args: [&OsStr; 6] = [
        "eval".as_ref(),
        list.as_os_str(),
        "--categories".as_ref(),
        categories.as_ref(),
        "--json".as_ref(),
        report.as_os_str(),
    ];
    let output = bike_edge(&args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("bad.mp4"));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!((report["top1"].as_f64(), report["top5"].as_f64()), (Some(50.0), Some(100.0)));
    assert_eq!(report["failures"].as_array().unwrap().len(), 1);
    assert_eq!(report["answers"][0]["rank"], 1);
}

#[test]
fn bench_reports_each_stage() {
    let output = bike_edge(&["bench", "--json", "--runs", "3"]);
    let last: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    for stage in ["decode", "preprocess", "encode", "spotting", "attributes"] {
        let (median, p95) = (&last["stages"][stage]["median_ms"], &last["stages"][stage]["p95_ms"]);
        assert!(median.as_f64().unwrap() <= p95.as_f64().unwrap(), "{stage}");
    }
    assert!(last["fps"].as_f64().unwrap() > 0.0 && last["load_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn doctor_completions_and_man_pages_print() {
    let doctor = answer(&["doctor", "--json"]);
    assert!(doctor["threads"].as_u64().unwrap() >= 1);
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&bike_edge(&["completions", shell])).contains("bike-edge"));
    }
    assert!(stdout(&bike_edge(&["man"])).contains(".TH"));
    assert!(stdout(&bike_edge(&["man", "classify"])).contains("categories"));
    refused(&bike_edge(&["man", "nothing"]), 2, &["man nothing", "classify"]);
}

#[test]
#[cfg(unix)]
fn a_reader_that_closes_the_pipe_is_not_an_error() {
    let script = format!("'{}' watch '{CLIP}' --steps --stride 0.1; echo $? >&2", PROGRAM);
    let output = Command::new("sh").args(["-c", &format!("{{ {script}; }} | head -n 1")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "0");
}

#[test]
fn eval_skips_clips_without_a_category_with_a_warning() {
    let folder = temporary();
    std::fs::copy(CLIP, folder.path().join("a.mp4")).unwrap();
    let list = file(folder.path(), "list.csv", b"path,label\na.mp4,petting a cat\na.mp4,\na.mp4,-\n");
    let report = folder.path().join("report.json");
    let args = [OsStr::new("eval"), list.as_os_str(), OsStr::new("--json"), report.as_os_str()];
    let output = successful(bike_edge(&args));
    assert!(stderr(&output).contains("warning: 2 clips show none of the categories"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!((report["clips"].as_u64(), report["answers"].as_array().map(Vec::len)), (Some(1), Some(1)));
}

#[test]
fn man_pages_keep_the_lines_of_examples() {
    let page = successful(bike_edge(&["man", "watch"]));
    // Without the escapes of roff, each example is a separate line.
    let text = stdout(&page).replace("\\&", "").replace("\\-", "-");
    for example in [
        "  bike-edge watch clip.mp4 --on 0.5 --min-length 3",
        "  bike-edge watch clip.mp4 --thresholds thresholds.toml",
    ] {
        assert!(text.lines().any(|line| line.starts_with(example)), "`{example}` is not a line of:\n{text}");
    }
    let program = successful(bike_edge(&["man"]));
    assert!(stdout(&program).replace("\\-", "-").contains("\n\\&  bike-edge doctor "), "{}", stdout(&program));
}

#[test]
fn a_silent_pipe_is_refused_with_the_flag_of_its_timeout() {
    // The pipe stays open and nothing is written to it.
    let mut child = Command::new(PROGRAM)
        .args(["watch", "-", "--io-timeout", "0.3"])
        .env_remove("RUST_LOG")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = child.stdin.take().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    refused(&output, 3, &["standard input", "no data arrived for 0.3 s", "--io-timeout"]);
}

#[test]
fn doctor_prints_the_kernel_of_int8_networks() {
    let kernel = answer(&["doctor", "--json"])["int8_kernel"].as_str().unwrap().to_owned();
    assert!(!kernel.is_empty());
    let text = successful(bike_edge(&["doctor"]));
    let line = stdout(&text).lines().find_map(|line| line.strip_prefix("int8 kernel")).unwrap();
    assert_eq!(line.trim(), kernel);
}
