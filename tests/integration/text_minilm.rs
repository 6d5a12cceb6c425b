//! The text tower of the embedded bundle: tokens of the published tokenizer, embeddings of the published model.

use std::path::Path;

use bike_edge::bundle::{Bundle, BundleRef};
use bike_edge::text::{TextEncoder, WordPiece};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::support::tables::difference;

const DIM: usize = 384;

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/text").join(name)).expect("test data")
}

fn names() -> Vec<String> {
    String::from_utf8(data("names.txt")).expect("UTF-8").lines().map(str::to_owned).collect()
}

fn bundle() -> Bundle {
    Bundle::open(&BundleRef::Embedded).expect("the embedded bundle")
}

fn tower() -> TextEncoder {
    bundle().load_text(1).expect("loads").expect("a tower")
}

fn tokenizer() -> WordPiece {
    WordPiece::parse(bundle().file("tokenizer.txt").expect("a tokenizer")).expect("pieces")
}

/// A golden of tests/data/text/make_minilm.py.
fn golden(name: &str) -> Vec<f32> {
    let bytes = data("minilm.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("goldens");
    let tensor = tensors.tensor(name).expect("a golden");
    match tensor.dtype() {
        safetensors::Dtype::F16 => {
            tensor.data().as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
        }
        _ => tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    tokens: Vec<u32>,
}

#[test]
fn tokens_are_those_of_the_published_tokenizer() {
    let tokenizer = tokenizer();
    let goldens: Vec<Golden> = serde_json::from_slice(&data("wordpiece.json")).expect("goldens");
    assert_eq!((goldens.len(), tokenizer.vocabulary_size()), (2000, 30522));
    let wrong: Vec<_> = goldens
        .iter()
        .filter(|golden| tokenizer.encode(&golden.text) != golden.tokens)
        .map(|golden| format!("{:?}: {:?}, not {:?}", golden.text, tokenizer.encode(&golden.text), golden.tokens))
        .collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn embeddings_are_those_of_the_published_model() {
    let names = names();
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows = tower().encode_categories(&texts, &mut |_, _| {}).expect("encoded");
    let (stored, exact, mut words) = (golden("stored_category"), golden("exact_category"), golden("stored_words"));
    let mut cosines = 0.0;
    for (i, row) in rows.iter().enumerate() {
        let part = |all: &[f32]| all[i * DIM..][..DIM].to_vec();
        let apart = difference(row.category.clone(), part(&stored));
        assert!(apart < 1e-5, "{}: {apart}", names[i]);
        cosines += row.category.iter().zip(part(&exact)).map(|(a, b)| a * b).sum::<f32>();
        let count = row.words.len();
        assert!(difference(row.words.clone(), words[..count].to_vec()) < 1e-3, "{}", names[i]);
        assert!((row.word_weight * (count / DIM) as f32 - 1.0).abs() < 1e-6);
        words.drain(..count);
    }
    assert!(words.is_empty());
    // Weights of 8 bits change little.
    assert!(cosines / 50.0 > 0.999, "{}", cosines / 50.0);
}

#[test]
fn attribute_sentences_are_those_of_the_published_model() {
    let mut tower = tower();
    let sentences = [
        ["a cat", "a table", "a dog", "a kitchen", "water"],
        ["riding a bike", "a street", "a car", "a tree", "the sky"],
    ];
    for (phrases, expected) in sentences.iter().zip(golden("sentence").chunks(DIM)) {
        let mut row = vec![0.0; DIM];
        tower.encode_sentence(phrases, &mut row).expect("encoded");
        let apart = difference(row, expected.to_vec());
        assert!(apart < 1e-5, "{phrases:?}: {apart}");
    }
}

#[test]
fn a_text_has_the_same_rows_among_other_texts() {
    let mut tower = tower();
    let names = names();
    let mut texts: Vec<&str> = names.iter().map(String::as_str).collect();
    // Longer than a quarter and than half of a run.
    let (long, longer) = ("a man walks ".repeat(7), "someone repairs a bicycle in ".repeat(9));
    texts.extend([long.as_str(), longer.as_str()]);
    let together = tower.encode_categories(&texts, &mut |_, _| {}).expect("encoded");
    texts.reverse();
    let mut reversed = tower.encode_categories(&texts[..37], &mut |_, _| {}).expect("encoded");
    reversed.extend(tower.encode_categories(&texts[37..], &mut |_, _| {}).expect("encoded"));
    reversed.reverse();
    texts.reverse();
    for (i, text) in texts.iter().enumerate() {
        let alone = tower.encode_categories(&[text], &mut |_, _| {}).expect("encoded").remove(0);
        assert!(together[i] == alone && reversed[i] == alone, "{text}: not the same to the last bit");
    }
}

#[test]
fn hostile_texts_are_refused_or_encoded_in_bounded_time() {
    let mut tower = tower();
    let mut problem = |text: &str| match tower.encode_categories(&[text], &mut |_, _| {}) {
        Ok(rows) => {
            assert!(rows[0].category.iter().all(|x| x.is_finite()));
            String::new()
        }
        Err(e) => e.to_string(),
    };
    for text in ["word ".repeat(200_000), "x".repeat(1 << 20), "日".repeat(300_000), "!".repeat(1 << 20)] {
        let problem = problem(&text);
        // A word of a million letters is one unknown token.
        assert!(problem.is_empty() || problem.ends_with("tokens and 64 fit; shorten it"), "{}", problem.len());
        assert!(problem.len() < 1000);
    }
    for nothing in ["\u{200b}", "\u{7}\u{0}", "\u{fffd}"] {
        assert!(problem(nothing).contains("has no words that the text tower knows"), "{nothing:?}");
    }
    for text in ["[CLS]", "[MASK] [SEP]", "👩‍👩‍👧", "नमस्ते", "ภาษาไทย", "العربية", "한국어", "Ελληνικά"]
    {
        assert_eq!(problem(text), "", "{text}");
    }
}

#[test]
fn damaged_vocabularies_are_refused_with_their_line() {
    let problem = |text: &[u8]| WordPiece::parse(text).err().expect("should have been refused");
    assert!(problem(b"[CLS]\n\xff").contains("line 2 is not UTF-8"));
    assert!(problem(b"[UNK]\n[CLS]\n[SEP]\na\nb\na\n").contains("line 6, `a`, is there twice"));
    assert!(problem(b"[UNK]\n[SEP]\n").contains("no line [CLS]"));
    assert!(problem(format!("[UNK]\n{}", "a".repeat(2000)).as_bytes()).contains("line 2 has 2000 bytes"));
}

proptest! {
    #[test]
    fn any_text_has_known_tokens(text in "\\PC{0,80}|[\\x00-\\u{ffff}]{0,60}") {
        use std::sync::LazyLock;
        static TOKENIZER: LazyLock<WordPiece> = LazyLock::new(tokenizer);
        let tokens = TOKENIZER.encode(&text);
        prop_assert!(tokens.len() >= 2 && tokens.len() <= 2 + 3 * text.len());
        prop_assert!(tokens.iter().all(|token| (*token as usize) < TOKENIZER.vocabulary_size()));
    }
}
