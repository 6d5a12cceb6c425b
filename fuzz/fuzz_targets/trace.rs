//! Reads any bytes as a recorded trace; the result is points in order, or an error of one line.
#![no_main]

use bike_edge::pipeline::TraceReader;
use bike_edge_fuzz::temporary;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = temporary(bytes) else { return };
    let Ok(mut trace) = TraceReader::open(file.path()) else { return };
    let mut last = -1.0;
    loop {
        match trace.next_point() {
            Ok(Some(point)) => {
                assert!(point.t > last, "times must rise");
                last = point.t;
            }
            Ok(None) => break,
            Err(e) => {
                assert!(!e.to_string().contains('\n'), "several lines: {e}");
                break;
            }
        }
    }
});
