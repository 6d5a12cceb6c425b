//! Parses any bytes as tokenizer.txt; the result is a tokenizer that encodes any text, or an error of one line.
#![no_main]

use bike_edge::text::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &str)| {
    match Tokenizer::parse(input.0) {
        Ok(tokenizer) => assert!(tokenizer.encode(input.1).len() >= 2),
        Err(problem) => assert!(!problem.contains('\n'), "several lines: {problem}"),
    }
});
