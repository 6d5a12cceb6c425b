//! Parses any text as bundle.toml; the result is a manifest, or an error of one line.
#![no_main]

use bike_edge::bundle::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problem) = Manifest::parse(text) {
        assert!(!problem.contains('\n'), "several lines: {problem}");
    }
});
