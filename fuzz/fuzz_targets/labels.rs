//! Reads any bytes as a list of labelled clips; the result is clips, or an error of one line.
#![no_main]

use std::path::Path;

use bike_edge::evaluation::read_labelled_clips;
use bike_edge_fuzz::temporary;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = temporary(bytes) else { return };
    let categories = ["cooking", "walking a dog", "2"].map(str::to_owned);
    match read_labelled_clips(file.path(), Some(Path::new("/clips")), &categories) {
        Ok(clips) => assert!(clips.iter().all(|clip| clip.categories.iter().all(|category| *category < 3))),
        Err(e) => assert!(!e.to_string().contains('\n'), "several lines: {e}"),
    }
});
