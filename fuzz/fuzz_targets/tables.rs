//! Reads any bytes as a safetensors file of a bundle; the result is tables, or errors of one line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bike_edge::bundle::fuzz_tables(bytes));
