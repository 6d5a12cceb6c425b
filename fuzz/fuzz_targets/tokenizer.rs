//! tokenizer.txt and a text: any merges are read or refused in one sentence, and any text has tokens.
#![no_main]

use bike_edge::text::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &str)| {
    match Tokenizer::parse(input.0) {
        Ok(tokenizer) => assert!(tokenizer.encode(input.1).len() >= 2),
        Err(problem) => assert!(!problem.contains('\n'), "several lines: {problem}"),
    }
});
