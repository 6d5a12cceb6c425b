//! Parses any bytes as tokenizer.txt of either kind; the result is a tokenizer that encodes any text, or an error of one
//! line.
#![no_main]

use bike_edge::text::{Tokenizer, WordPiece};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &str)| {
    match Tokenizer::parse(input.0) {
        Ok(tokenizer) => assert!(tokenizer.encode(input.1).len() >= 2),
        Err(problem) => assert!(!problem.contains('\n'), "several lines: {problem}"),
    }
    match WordPiece::parse(input.0) {
        Ok(tokenizer) => {
            let tokens = tokenizer.encode(input.1);
            assert!(tokens.len() >= 2 && tokens.iter().all(|token| (*token as usize) < tokenizer.vocabulary_size()));
        }
        Err(problem) => assert!(!problem.contains('\n'), "several lines: {problem}"),
    }
});
