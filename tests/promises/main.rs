//! What bike-edge promises, one module a promise.

mod bad_bundles;
mod bad_graphs;
mod bundles;
mod network_goldens;
mod support;
