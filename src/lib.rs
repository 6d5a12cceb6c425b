//! bike-edge: which action is seen, when, and why, on small boards.
//!
//! A frame's way, left to right; each folder knows only those before it:
//!
//! - [`source`]: clips and streams become frames
//! - [`preprocess`]: a frame becomes a normalised crop `[3, S, S]`
//! - [`encoder`]: a crop becomes an embedding `[D]`
//! - [`text`]: any text becomes embeddings of the same space
//! - [`recognition`]: a window of embeddings becomes scores, saliency and attributes
//! - [`events`]: scores over time become events
//! - [`output`]: answers and events become a table or JSON Lines
//!
//! [`pipeline`] puts them together for a camera, and [`service`] does so for many, for weeks. Beside the way: [`bundle`]
//! (what the model is), [`config`] (what this board and user want), [`table`] (embedding tables used where they lie),
//! [`health`] (what this machine has), [`evaluation`] (how well events fit what was shown), [`stop`] (what signals ask),
//! [`error`], [`logging`]. [`cli`] is what was typed and [`commands`] what is done about it.

pub mod bundle;
pub mod cli;
pub mod commands;
pub mod config;
pub mod encoder;
pub mod error;
pub mod events;
pub mod preprocess;
pub mod health;
pub mod pipeline;
pub mod logging;
pub mod evaluation;
pub mod recognition;
pub mod service;
pub mod output;
pub mod source;
pub mod stop;
pub mod table;
pub mod text;

pub use error::{Error, Result};
