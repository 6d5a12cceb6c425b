//! From a window of frame embeddings to scores, saliency and attributes.

pub mod vocabulary;
