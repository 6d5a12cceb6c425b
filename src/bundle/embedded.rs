//! The bundle inside the binary.

use crate::table::Bytes;

/// Aligned as a mapped file would be, so that tables can be used in place.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// The packed bundle that the build script checked.
static PACKED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/bundle.tar")));

/// The packed bundle.
pub(super) fn packed() -> Bytes {
    Bytes::from_static(&PACKED.0)
}
