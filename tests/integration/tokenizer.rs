//! The tokens of a text match those of the exporter's tokenizer.

use std::path::Path;

use bike_edge::text::Tokenizer;
use proptest::prelude::*;
use serde::Deserialize;

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/text").join(name)).expect("test data")
}

fn tokenizer() -> Tokenizer {
    Tokenizer::parse(&data("tokenizer.txt")).expect("merges")
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    tokens: Vec<u32>,
}

#[test]
fn tokens_match_the_exporter() {
    let tokenizer = tokenizer();
    let goldens: Vec<Golden> = serde_json::from_slice(&data("tokens.json")).expect("goldens");
    assert!(goldens.len() > 300, "{} texts", goldens.len());
    let wrong: Vec<String> = goldens
        .iter()
        .filter(|golden| tokenizer.encode(&golden.text) != golden.tokens)
        .map(|golden| {
            format!(
                "{:?} ({}): {:?}, not {:?}",
                golden.text,
                golden.text.escape_unicode(),
                tokenizer.encode(&golden.text),
                golden.tokens
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn texts_are_padded_to_77_tokens_and_never_cut() {
    let tokenizer = tokenizer();
    let end = tokenizer.vocabulary_size() as i64 - 1;
    let fitting = tokenizer.tokenize(&"1".repeat(75), 77).expect("fits");
    assert_eq!((fitting.len(), fitting[0], fitting[76]), (77, end - 1, end));
    let padded = tokenizer.tokenize("a cat", 77).expect("fits");
    assert_eq!(padded.len(), 77);
    assert!(padded.iter().skip_while(|token| **token != end).skip(1).all(|token| *token == 0));
    let refused = tokenizer.tokenize(&"1".repeat(76), 77).expect_err("too long").to_string();
    assert!(refused.ends_with("takes 78 tokens and 77 fit; shorten it"), "{refused}");
    let long = tokenizer.tokenize(&"1".repeat(100_000), 77).expect_err("too long").to_string();
    assert!(long.len() < 300, "a long text is shortened in the message");
}

#[test]
fn damaged_merges_are_refused_with_their_line() {
    let refusal = |text: &str| Tokenizer::parse(text.as_bytes()).err().expect("should have been refused");
    assert!(refusal("").contains("no merges"));
    assert!(refusal("t h\nth e</w>\nq\n").contains("line 3, `q`, is not two pieces"));
    assert!(refusal("t h e\n").contains("line 1"));
    assert!(refusal("t  h\n").contains("line 1"));
    assert!(refusal("th e\n").contains("line 1 merges `th`, which no earlier line produces"));
    assert!(refusal("t h\nt h\n").contains("line 2 produces `t h` again"));
    assert!(refusal(&format!("{} a\n", "x".repeat(2000))).contains("line 1 has 2002 bytes"));
    assert!(Tokenizer::parse(b"t h\n\xff\xfe\n").err().expect("refused").contains("line 2 is not UTF-8"));
    // The number of merges is limited.
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    let mut many = String::new();
    for a in &letters {
        for b in &letters {
            many += &format!("{a} {b}\n");
        }
    }
    for a in &letters {
        for b in &letters {
            for c in &letters {
                many += &format!("{a}{b} {c}\n");
            }
        }
    }
    let pairs = many.lines().count();
    assert!(Tokenizer::parse(many.as_bytes()).is_ok(), "{pairs} merges are read");
    for a in &letters {
        many.extend(letters.iter().flat_map(|b| letters.iter().map(move |c| format!("{a}{b}{c} x\n"))));
    }
    assert!(refusal(&many).contains("more than 262144 merges"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_tokens(text in ".{0,60}|[&#;<|>a-z0-9'\\u{1b}\\[\\u{301}]{0,60}") {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode(&text);
        let end = tokenizer.vocabulary_size() as u32 - 1;
        prop_assert_eq!((tokens[0], tokens[tokens.len() - 1]), (end - 1, end));
        prop_assert!(tokens.iter().all(|token| *token <= end));
        prop_assert_eq!(tokenizer.encode(&format!("  {text}\t")), tokens, "surrounding spaces do not matter");
    }

    #[test]
    fn any_bytes_are_parsed_or_refused_in_one_sentence(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "([a-d]{1,2} [a-d]{1,2}\n){0,20}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            if let Err(problem) = Tokenizer::parse(bytes) {
                prop_assert!(!problem.contains('\n') && problem.len() < 3000, "{}", problem);
            }
        }
    }
}
