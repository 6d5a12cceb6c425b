//! Parses any bytes as the configuration of H.264 in MP4 (avcC), as parameter sets, slices and samples.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bike_edge::source::fuzz_h264(bytes));
