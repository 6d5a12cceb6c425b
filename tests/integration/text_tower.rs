//! With a text tower, any text can be a category, and attribute sentences are encoded.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bike_edge::recognition::{
    FrameStamp, Phrases, RecognitionSpec, Recognizer, SentenceCache, SentenceEncoder, SentenceMethod, Vocabulary,
};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::bundle::{Builder, DIM, Folder, unit_f32};
use crate::support::onnx::{Onnx, f32_tensor, i64_tensor, int, value};
use crate::support::program::bike_edge;
use crate::support::tables::{categories, difference, lexicon, numbers, spec};

const PROMPTS: &str = "prompts = [\"This is a video about {}\", \"a photo of {}, up close\"]";
const ONE_PROMPT: &str = "prompts = [\"This is a video about {}\"]";
/// As in tests/data/text/make_tower.py.
const NAMES: [&str; 4] = ["a crème brûlée", "TOM &amp; JERRY", "日本語 42", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"];
const SENTENCES: [[&str; 2]; 3] = [["a", "c"], ["c", "a"], ["b", "f"]];

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/text/tower").join(name)).expect("test data")
}

fn golden(name: &str) -> Vec<f32> {
    let bytes = data("goldens.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("goldens");
    let tensor = tensors.tensor(name).expect("a golden");
    tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The small bundle with the small text tower, without trained heads.
fn with_tower() -> Builder {
    Builder::new()
        .manifest("attributes_top_k = 2", &format!("attributes_top_k = 2\n{PROMPTS}"))
        .file("text.onnx", data("text.onnx"))
        .file("tokenizer.txt", data("tokenizer.txt"))
}

fn with_heads() -> Builder {
    with_tower()
        .file("sentence_head.onnx", data("sentence_head.onnx"))
        .file("query_head.onnx", data("query_head.onnx"))
        .tensor("categories.safetensors", "category_attribute", unit_f32(&[3, DIM], 31))
        .tensor("lexicon.safetensors", "sentence_attribute", unit_f32(&[6, DIM], 32))
}

fn unit(mut row: Vec<f32>) -> Vec<f32> {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.iter_mut().for_each(|x| *x /= length);
    row
}

#[test]
fn categories_and_sentences_match_the_checkpoint() {
    for (builder, sentences) in [(with_tower(), "sentence"), (with_heads(), "sentence_attribute")] {
        let trained = sentences == "sentence_attribute";
        let mut text = builder.open().expect("opens").load_text(2).expect("loads").expect("a tower");
        let (category, words, attribute) = (golden("category"), golden("words"), golden("attribute"));
        for (i, name) in NAMES.iter().enumerate() {
            let rows = text.encode_categories(&[name], &mut |_, _| {}).expect("encoded").remove(0);
            let part = |all: &[f32], rows: usize| all[i * rows * DIM..][..rows * DIM].to_vec();
            assert!(difference(rows.category, part(&category, 1)) < 1e-5, "{name}");
            assert!(difference(rows.words, part(&words, 77)) < 1e-5, "{name}");
            assert_eq!(rows.attribute.is_some(), trained);
            if let Some(found) = rows.attribute {
                assert!(difference(found, part(&attribute, 1)) < 1e-5, "{name}");
            }
        }
        for (phrases, expected) in SENTENCES.iter().zip(golden(sentences).chunks(DIM)) {
            let mut row = vec![0.0; DIM];
            text.encode_sentence(phrases, &mut row).expect("encoded");
            assert!(difference(unit(row), expected.to_vec()) < 1e-5, "{phrases:?}");
        }
    }
}

#[test]
fn a_sentence_that_is_too_long_loses_its_last_phrases() {
    let builder = with_tower().manifest(PROMPTS, ONE_PROMPT);
    let mut text = builder.open().expect("opens").load_text(1).expect("loads").expect("a tower");
    let (mut cut, mut whole) = (vec![0.0; DIM], vec![0.0; DIM]);
    let long = "q ".repeat(70);
    text.encode_sentence(&["a", "c", &long], &mut cut).expect("encoded");
    text.encode_sentence(&["a", "c"], &mut whole).expect("encoded");
    assert_eq!(cut, whole);
    let refused = text.encode_sentence(&[&"q ".repeat(90)], &mut cut).expect_err("too long").to_string();
    assert!(refused.contains("tokens and 77 fit; shorten it"), "{refused}");
    let refused = text.encode_categories(&["fits", &long], &mut |_, _| {}).expect_err("too long").to_string();
    assert!(refused.contains("tokens and 77 fit"), "{refused}");
}

#[test]
fn listed_names_come_from_the_tables_and_other_texts_are_encoded_in_order() {
    let set = categories(3, 77, 8, 1);
    let names = ["Category 2", "new", " other text ", "category 0"].map(String::from);
    let mut requested = Vec::new();
    let vocabulary = Vocabulary::from_texts(&names, &set, None, &mut |texts| {
        requested = texts.iter().map(|text| (*text).to_owned()).collect();
        Ok(categories(texts.len(), 77, 8, 50))
    })
    .expect("encoded");
    assert_eq!(requested, ["new", "other text"]);
    assert_eq!(vocabulary.names(), ["category 2", "new", "other text", "category 0"]);
    let mut recognizer = Recognizer::new(spec(2), vocabulary, None, None, None).expect("fits");
    let mut all = Recognizer::new(spec(2), Vocabulary::from_categories(&set), None, None, None).expect("fits");
    let encoded = Vocabulary::from_categories(&categories(2, 77, 8, 50));
    let mut others = Recognizer::new(spec(2), encoded, None, None, None).expect("fits");
    let scores: Vec<Vec<f32>> = [&mut recognizer, &mut all, &mut others]
        .map(|recognizer| {
            recognizer.push(FrameStamp { time: 0.0, index: 0 }, &numbers(8, 7), None).expect("pushed");
            recognizer.scores().expect("scored").s_v.clone()
        })
        .to_vec();
    assert!(difference(scores[0].clone(), [scores[1][2], scores[2][0], scores[2][1], scores[1][0]].to_vec()) < 1e-6);
}

#[test]
fn texts_are_limited_in_number_length_and_characters() {
    let set = categories(3, 4, 8, 1);
    let refusal = |names: &[String]| {
        let vocabulary = Vocabulary::from_texts(names, &set, None, &mut |_| panic!("nothing should be encoded"));
        vocabulary.expect_err("should have been refused").to_string()
    };
    let many: Vec<String> = (0..1025).map(|i| format!("text {i}")).collect();
    assert!(refusal(&many).contains("at most 1024"));
    assert!(refusal(&["x".repeat(513)]).contains("512 bytes"));
    assert!(refusal(&["a\u{1b}[31m".into()]).contains("control character"));
    assert!(refusal(&["a".into(), "A ".into()]).contains("named twice"));
    assert!(refusal(&[]).contains("at least one"));
}

#[test]
fn a_cached_sentence_is_encoded_only_once() {
    let encoded = Arc::new(Mutex::new(Vec::new()));
    let counted = Arc::clone(&encoded);
    let encode = move |phrases: &[&str], out: &mut [f32]| {
        counted.lock().expect("not poisoned").push(phrases.join(","));
        out.fill(phrases.len() as f32);
        Ok(())
    };
    let mut sentences = SentenceCache::new(Arc::new(lexicon(400, 8, 2)), Box::new(encode));
    let mut sentence = |places: &[u32]| {
        let nearest: Vec<(u32, f32)> = places.iter().map(|place| (*place, 0.5)).collect();
        let mut out = [0.0; 8];
        sentences.encode_sentence(Phrases { nearest: &nearest, rows: &[] }, &mut out).expect("encoded");
        out[0]
    };
    assert_eq!([sentence(&[3, 1]), sentence(&[1, 3]), sentence(&[3, 1])], [2.0; 3]);
    let encoded = || encoded.lock().expect("not poisoned").clone();
    assert_eq!(encoded(), ["phrase 3,phrase 1", "phrase 1,phrase 3"], "the order matters");
    let others: f32 = (0..255).map(|place| sentence(&[place])).sum();
    assert_eq!(others, 255.0);
    sentence(&[3, 1]);
    assert_eq!(encoded().len(), 257, "the last 256 sentences are cached");
    sentence(&[1, 3]);
    assert_eq!(encoded().len(), 258, "no more are cached");
}

/// Runs `classify` on the test clip with this bundle.
fn classify(bundle: &Builder, more: &[&str]) -> Result<Value, String> {
    let folder = Folder::new();
    bundle.write(&folder.bundle());
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip.mp4");
    let place = folder.bundle();
    let mut args = vec![OsStr::new("classify"), clip.as_os_str(), OsStr::new("--bundle"), place.as_os_str()];
    args.extend(["--json", "--raw"].map(OsStr::new));
    args.extend(more.iter().map(OsStr::new));
    let output = bike_edge(&args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked") && !stderr.contains("internal error"), "{stderr}");
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).expect("JSON")),
        false => Err(stderr),
    }
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

#[test]
fn any_text_can_be_a_category_if_the_bundle_has_a_text_tower() {
    // A lexicon phrase is encoded like any other text, because the tables have it with less precision.
    let answer = classify(&with_tower(), &["--categories", "running,a crème brûlée,b"]).expect("answers");
    assert_eq!(answer["labels"], serde_json::json!(["running", "a crème brûlée", "b"]));
    let own = classify(&with_tower(), &[]).expect("answers");
    let (s_v, of_table) = (floats(&answer["s_v"]), floats(&own["s_v"]));
    assert!((s_v[0] - of_table[0]).abs() < 1e-6, "a category of the bundle is scored by its table");

    let refused = classify(&Builder::new(), &["--categories", "running,a crème brûlée"]).expect_err("no tower");
    assert!(refused.contains("a bundle exported with --keep-text accepts any text"), "{refused}");
    let long = "q ".repeat(90);
    let refused = classify(&with_tower(), &["--categories", &format!("running,{long}")]).expect_err("too long");
    assert!(refused.contains("--categories") && refused.contains("tokens and 77 fit; shorten it"), "{refused}");
}

#[test]
fn attributes_are_scored_by_the_requested_method() {
    let builder = with_tower().manifest(PROMPTS, ONE_PROMPT);
    let s_a = |builder: &Builder, how: &[&str]| classify(builder, how).map(|answer| floats(&answer["s_a"]));
    let by = |how: &str| s_a(&builder, &["--attributes", how]).expect("answers");
    let (tower, composer, mean, auto) = (by("tower"), by("composer"), by("mean"), by("auto"));
    assert_eq!(auto, composer, "auto is the choice of the bundle, which has a composer");
    assert!(difference(tower.clone(), composer) > 1e-3 && difference(tower.clone(), mean) > 1e-3);
    let stated = builder.clone().manifest("[preprocess]", "attribute_scores = \"tower\"\n[preprocess]");
    assert_eq!(s_a(&stated, &[]).expect("answers"), tower);

    let answer = classify(&builder, &["--attributes", "tower"]).expect("answers");
    let phrases: Vec<&str> = answer["attributes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|a| a["phrase"].as_str().expect("a phrase"))
        .collect();
    let mut text = builder.open().expect("opens").load_text(1).expect("loads").expect("a tower");
    let mut sentence = vec![0.0; DIM];
    text.encode_sentence(&phrases, &mut sentence).expect("encoded");
    let rows = crate::support::bundle::unit_rows(&[3, DIM], 11);
    let expected = rows.chunks(DIM).map(|row| row.iter().zip(&unit(sentence.clone())).map(|(a, b)| a * b).sum());
    assert!(difference(tower, expected.collect::<Vec<f32>>()) < 1e-5);

    let refused = s_a(&Builder::new(), &["--attributes", "tower"]).expect_err("no tower");
    assert!(refused.contains("has no text.onnx") && refused.contains("--keep-text"), "{refused}");
}

#[test]
fn trained_heads_score_new_categories_too() {
    let answer = classify(&with_heads(), &["--attributes", "tower", "--categories", "running,new"]).expect("answers");
    assert_eq!(floats(&answer["s_a"]).len(), 2);
    let refused = classify(&with_heads(), &["--attributes", "mean"]).expect_err("another space");
    assert!(refused.contains("trained heads"), "{refused}");
}

/// The message with which an otherwise good bundle with another text.onnx is refused.
fn refusal_of(graph: &Onnx) -> String {
    let bundle = with_tower().file("text.onnx", graph.encode());
    classify(&bundle, &["--categories", "new"]).expect_err("should have been refused")
}

fn gathering(tokens: i64, positions: i64, width: i64) -> Onnx {
    let rows = numbers((tokens * width) as usize, 3);
    let mut graph = Onnx::new(&[1, positions], &[1, positions, width])
        .tensor(f32_tensor("table", &[tokens, width], &rows))
        .node("Gather", &["table", "x"], &["y"]);
    let mut input = value("x", &[1, positions]);
    if let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    {
        tensor.elem_type = tract_onnx::pb::tensor_proto::DataType::Int64 as i32;
    }
    graph.graph().input = vec![input];
    graph
}

#[test]
fn towers_that_cannot_be_used_are_named() {
    let good = classify(&with_tower().file("text.onnx", gathering(600, 77, 8).encode()), &["--categories", "new"]);
    assert!(good.is_ok(), "{good:?}");
    let refused = |graph: &Onnx, words: &[&str]| {
        let problem = refusal_of(graph);
        for word in words.iter().chain(&["text.onnx"]) {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    };
    refused(&gathering(600, 64, 8), &["is [1, 64], but must be [1, 77]"]);
    refused(&gathering(600, 77, 9), &["[1, 77, 9]", "must be [1, 77, 8]"]);
    refused(&gathering(100, 77, 8), &["cannot be run"]);
    let floats = Onnx::new(&[1, 77], &[1, 77, 8])
        .tensor(i64_tensor("axes", &[2]))
        .tensor(i64_tensor("eight", &[1, 77, 8]))
        .node("Unsqueeze", &["x", "axes"], &["row"])
        .node("Expand", &["row", "eight"], &["y"]);
    refused(&floats, &["not i64"]);
    let mut zeros = gathering(600, 77, 8);
    zeros.graph().node[0].output = vec!["z".into()];
    let zeros = zeros.node("Sub", &["z", "z"], &["y"]);
    refused(&zeros, &["zeros or numbers that are not finite"]);
    let mut random = gathering(600, 77, 8);
    random.graph().node[0].output = vec!["z".into()];
    let mut random = random.node("RandomNormalLike", &["z"], &["y"]);
    random.graph().node[1].attribute = vec![int("dtype", 1)];
    refused(&random, &["random"]);
}

#[test]
fn parts_that_do_not_fit_the_tower_are_named() {
    let refused = |builder: &Builder, words: &[&str]| {
        let problem = classify(builder, &["--categories", "new"]).expect_err("should have been refused");
        for word in words {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    };
    let mut without = with_tower();
    without.files.remove("tokenizer.txt");
    refused(&without, &["tokenizer.txt is not listed", "text.onnx needs it"]);
    refused(&with_tower().file("tokenizer.txt", "t h\nx"), &["tokenizer.txt: line 2, `x`, is not two pieces"]);
    refused(&with_tower().manifest(PROMPTS, ""), &["model.prompts is missing"]);
    refused(&with_tower().manifest(PROMPTS, "prompts = [\"a video\"]"), &["model.prompts[0] needs {} once"]);
    refused(&with_tower().manifest(PROMPTS, "prompts = [\"{} and {}\"]"), &["model.prompts[0] needs {} once"]);
    let many = format!("prompts = [{}]", "\"{}\", ".repeat(129));
    refused(&with_tower().manifest(PROMPTS, &many), &["129 prompts, but at most 128 are allowed"]);
    refused(&with_tower().file("query_head.onnx", data("query_head.onnx")), &["sentence_head.onnx is not listed"]);
    let mut no_query = with_heads();
    no_query.files.remove("query_head.onnx");
    refused(&no_query, &["query_head.onnx is not listed"]);
    let only_heads = with_heads().without_tensor("categories.safetensors", "category_attribute");
    refused(&only_heads, &["category_attribute"]);
    let mut only_table = with_heads();
    only_table.files.remove("query_head.onnx");
    only_table.files.remove("sentence_head.onnx");
    refused(&only_table, &["category_attribute"]);
}

#[test]
fn verify_and_inspect_cover_the_text_tower() {
    let folder = Folder::new();
    with_heads().write(&folder.bundle());
    let place = folder.bundle();
    let command = |name: &str| {
        let output = bike_edge(&[OsStr::new("bundle"), OsStr::new(name), place.as_os_str()]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let verified = command("verify");
    for check in ["tokenizer.txt", "text.onnx loads", "text.onnx runs", "attribute sentences"] {
        assert!(verified.contains(check), "{verified}");
    }
    assert!(command("inspect").contains("any text can be a category"));
    let output =
        bike_edge(&[OsStr::new("bundle"), OsStr::new("pack"), place.as_os_str(), folder.path("packed").as_os_str()]);
    assert!(output.status.success(), "{output:?}");
    let packed = bike_edge::bundle::Bundle::open(&bike_edge::bundle::BundleRef::Path(folder.path("packed")));
    assert!(packed.expect("opens").load_text(1).expect("loads").is_some());
}

#[test]
fn a_missing_scorer_of_attributes_is_refused() {
    let spec = RecognitionSpec { lambda: 0.5, sentence_method: SentenceMethod::Tower, ..spec(2) };
    let vocabulary = Vocabulary::from_categories(&categories(3, 4, 8, 1));
    let refused = Recognizer::new(spec, vocabulary, Some(Arc::new(lexicon(9, 8, 2))), None, None);
    assert!(refused.err().expect("should have been refused").to_string().contains("text.onnx"));
}
