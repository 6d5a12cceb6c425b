//! What bike-edge promises, one file a promise.

mod sources;
