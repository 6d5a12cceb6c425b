//! Embedding tables used where they lie: in a mapped file, in the binary, or on the heap.

mod bytes;
mod rows;

pub use bytes::Bytes;
pub use rows::{Dtype, Rows, Table};
