//! Reads any bytes as an animated GIF.
#![no_main]

use bike_edge_fuzz::read_video;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| read_video(bytes));
