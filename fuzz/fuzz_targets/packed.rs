//! Opens any bytes as a packed bundle; the result is a bundle or an error. Tables and lists are parsed if hashes agree.
#![no_main]

use bike_edge::bundle::{Bundle, BundleRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = tempfile::NamedTempFile::new() else { return };
    if std::fs::write(file.path(), bytes).is_ok() {
        drop(Bundle::open(&BundleRef::Path(file.path().to_owned())));
    }
});
