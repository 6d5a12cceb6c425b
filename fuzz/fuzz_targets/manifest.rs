//! bundle.toml: any text ends in a manifest or one sentence.
#![no_main]

use bike_edge::bundle::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problem) = Manifest::parse(text) {
        assert!(!problem.contains('\n'), "several lines: {problem}");
    }
});
