//! Parses any bytes as what ffmpeg writes to standard error; times never go back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bike_edge::source::fuzz_ffmpeg_log(bytes));
