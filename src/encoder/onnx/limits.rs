//! How large a network may be. docs/bundle.md states the same numbers.

/// Bytes of one ONNX graph.
pub const GRAPH_BYTES: u64 = 2 << 30;
/// Embedding width, D and Da.
pub const WIDTH: usize = 4_096;
/// Positions of a text tower, N.
pub(crate) const TEXT_POSITIONS: usize = 512;
/// Side of a frame encoder's crop, S, in pixels.
pub(crate) const SIDE: usize = 1_024;
/// Nodes of a graph. BIKE's largest encoder has about 2,000.
pub(super) const NODES: usize = 100_000;
/// Bytes of a graph besides tensor data: names, nodes, attributes. BIKE's largest encoder has about 1 MB.
pub(super) const STRUCTURE_BYTES: usize = 16 << 20;
/// Dimensions of a tensor.
pub(super) const RANK: usize = 8;
/// Numbers in a tensor whose shape is a constant.
pub(super) const VOLUME: f64 = (1u64 << 28) as f64;
/// Largest constant repeat, pad, scale or count.
pub(super) const FACTOR: f64 = (1u64 << 16) as f64;
/// Bytes of all constants as f32.
pub(super) const CONSTANT_BYTES: u64 = 4 << 30;
/// Bytes of a constant that may be computed from smaller ones.
pub(super) const SMALL_CONSTANT_BYTES: f64 = (64u64 << 20) as f64;
/// A larger one may have this many times the bytes that it is computed from.
pub(super) const CONSTANT_GROWTH: f64 = 2.0;
/// Operations to compute all constants: some seconds on a board.
pub(super) const CONSTANT_OPERATIONS: f64 = 2e10;
/// Bytes of one value between two operators.
pub(super) const VALUE_BYTES: usize = 1 << 30;
