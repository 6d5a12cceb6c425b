//! A crop becomes an embedding: ONNX networks run by tract, with our own operators where tract's are slow.

pub mod network;
pub(crate) mod ops;
pub(crate) mod qlinear;

pub use ops::{Precision, Pruning};
