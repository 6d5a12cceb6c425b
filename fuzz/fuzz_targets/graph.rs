//! Loads any bytes as an ONNX graph; the result is a network that runs, or an error of one line.
#![no_main]

use bike_edge::encoder::{EncoderOptions, FrameEncoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = EncoderOptions::new(1, "fuzz", "visual.onnx");
    if let Ok(mut encoder) = FrameEncoder::load(bytes, options) {
        let pixels = vec![0.5; 3 * encoder.size() * encoder.size()];
        let mut embedding = vec![0.0; encoder.dim()];
        drop(encoder.encode(&pixels, &mut embedding));
    }
});
