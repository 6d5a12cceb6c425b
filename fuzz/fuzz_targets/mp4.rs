//! Reads any bytes as MP4. Mutations change, remove and repeat boxes and keep the sizes of boxes consistent.
#![no_main]

use bike_edge_fuzz::boxes::mutate_boxes;
use bike_edge_fuzz::read_video;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| read_video(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Some inputs are not mutated by boxes, so that sizes are wrong too.
    if seed % 4 == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    match mutate_boxes(&data[..size], seed) {
        Some(changed) if changed.len() <= max_size => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
