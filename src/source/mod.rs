//! Where frames come from: recorded clips and streams.
//!
//! A [`Clip`] is recorded and can be asked for any of its frames; a [`Stream`] only moves forward. Both hand
//! out a [`Frame`] that borrows the decoder's own picture, so that nothing is converted that is not sampled.

mod picture;

pub use picture::{Frame, Matrix, Picture, Pixels, Rotation, Seconds, Subsampling};
