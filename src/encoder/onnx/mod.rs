//! ONNX graphs: reading, checks, limits, and the passes that lead to a network that is ready to run.

mod constant_budget;
mod constants;
mod guard;
mod large_tensors;
pub mod limits;
pub(crate) mod load;
pub(crate) mod panic_guard;
mod refused_graphs;
pub(crate) mod shapes;

pub use guard::check_graph;
