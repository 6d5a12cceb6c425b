//! The networks of a bundle: a crop becomes an embedding. ONNX graphs are run by tract, with our own operators on the
//! CPU and with tract's on a GPU.
//!
//! No type of tract is visible outside this folder. Each folder uses only those after it:
//!
//! - `networks`: the frame encoder, temporal header, composer and text tower, and the devices that they run on
//! - `onnx`: reads a graph, refuses what tract must not read or computes wrongly, and prepares it to run
//! - `ops`: operators that replace tract's where those are slow, and the pass that inserts them
//! - `cpu`: compute kernels by instruction set, and the thread pool

mod cpu;
mod networks;
mod onnx;
mod ops;

pub use cpu::choice::{Precision, force_kernel, int8_kernel_name};
#[doc(hidden)]
pub use cpu::int8_weights::IntegerProduct;
pub use networks::{
    AttributeHead, Composer, Compute, Device, EncoderOptions, FrameEncoder, TemporalHeader, TextInput, TextTower,
};
pub use onnx::{check_graph, limits};
pub use ops::Pruning;
