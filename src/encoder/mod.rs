//! A crop becomes an embedding: the networks of a bundle, run by tract on the CPU.
//!
//! Nothing of tract is seen outside this folder. A graph's way, in [`load`]: decode, [`guard`] (what tract must not
//! see), [`shapes`], [`constants`] (weights stored small become f32 once), our own operators where tract's are slow
//! ([`ops`], [`qlinear`]), tract's own optimisation, then a kept state ([`runner`]).

mod caught;
mod composer;
mod constants;
mod cut;
mod dequantise;
mod device;
mod frame;
mod graph;
mod guard;
pub mod limits;
mod load;
mod ops;
mod qlinear;
mod runner;
mod shapes;
mod temporal;
mod tensors;
mod text;
mod traps;
mod weights;

pub use composer::Composer;
pub use device::{Compute, Device};
pub use frame::FrameEncoder;
pub use guard::check_graph;
pub use ops::{Precision, Pruning, force_kernel};
#[doc(hidden)]
pub use qlinear::IntegerProduct;
pub use temporal::TemporalHeader;
pub use text::{AttributeHead, TEXT_POSITIONS, TextTower};

use crate::error::Error;

/// How a network is loaded and run, and what to call it.
#[derive(Clone, Debug)]
pub struct EncoderOptions {
    /// Threads to compute with, at least 1.
    pub threads: usize,
    /// The bundle's name in errors.
    pub bundle: String,
    /// The graph's file name in errors.
    pub file: String,
    /// How attention and patch embedding of an int8 network are computed.
    pub precision: Precision,
    /// Whether rows that nobody reads are left out.
    pub pruning: Pruning,
    /// What to run on.
    pub device: Device,
}

impl EncoderOptions {
    /// `file` of `bundle` on that many threads of the CPU, otherwise as fast as it gets.
    pub fn new(threads: usize, bundle: impl Into<String>, file: impl Into<String>) -> Self {
        let (precision, pruning) = (Precision::default(), Pruning::default());
        Self { threads, bundle: bundle.into(), file: file.into(), precision, pruning, device: Device::Cpu }
    }

    /// An [`Error::Bundle`] about this graph.
    fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::bundle(self.bundle.clone(), format!("{}: {problem}", self.file))
    }
}
