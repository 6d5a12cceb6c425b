//! Reads any bytes as the configuration of the service; the result is settings, or an error of one line.
#![no_main]

#[path = "../../src/config/mod.rs"]
#[allow(dead_code, unused_imports, reason = "only the reading of a configuration is used here")]
mod config;

use bike_edge_fuzz::temporary;
use config::{Credentials, read_service_settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = temporary(bytes) else { return };
    if let Err(e) = read_service_settings(file.path(), &Credentials::for_check()) {
        assert!(!e.to_string().contains('\n'), "several lines: {e}");
    }
});
