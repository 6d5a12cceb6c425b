//! Recognises actions in video on small boards, by BIKE (CVPR 2023): which action, when, and why.
//!
//! # Tutorial
//!
//! An [`Engine`](pipeline::Engine) is a loaded model. It holds a bundle (networks and tables, exported from a
//! checkpoint); `embedded` is the small bundle inside this crate. A [`ClipClassifier`](pipeline::ClipClassifier) scores
//! a whole clip as the paper does:
//!
//! ```
//! use bike_edge::pipeline::{ClipClassifier, ClipSpec, Engine, ModelSpec};
//! use bike_edge::recognition::top_n;
//!
//! let model = ModelSpec { bundle: "embedded".into(), threads: Some(1), ..ModelSpec::default() };
//! let mut classifier = ClipClassifier::new(Engine::load(&model)?, ClipSpec::default())?;
//! let scores = classifier.classify("tests/data/clip.mp4".as_ref(), &mut |_, _| {})?;
//!
//! let confidence = scores.average.confidence();
//! let (best, share) = top_n(&confidence, 1)[0];
//! println!("{}: {:.0} %", classifier.engine().categories()[best], 100.0 * share);
//! # assert_eq!(confidence.len(), classifier.engine().categories().len());
//! # assert!(share > 1.0 / confidence.len() as f64);
//! # Ok::<(), bike_edge::Error>(())
//! ```
//!
//! For a stream, a [`Session`](pipeline::Session) processes the frames and reports events with their start and end.
//! [`drive`](pipeline::drive) is the loop over the frames of a recording or a camera, and an
//! [`Observer`](pipeline::Observer) receives what it produces:
//!
//! ```
//! use bike_edge::pipeline::{
//!     Engine, ModelSpec, Observer, Session, SessionSpec, StreamRunner, StreamSource, Update, drive,
//! };
//! use bike_edge::source::{SourceOptions, open_stream};
//!
//! #[derive(Default)]
//! struct Counter {
//!     steps: usize,
//!     reports: usize,
//! }
//!
//! impl Observer for Counter {
//!     fn update(&mut self, update: Update<'_>) -> bike_edge::Result<()> {
//!         match update {
//!             Update::Step { step, .. } => {
//!                 self.steps += 1;
//!                 self.reports += step.events.len();
//!             }
//!             Update::EventsEnded { events, .. } => self.reports += events.len(),
//!             Update::ConnectionLost(_) => {}
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut engine = Engine::load_for_streams(&ModelSpec { threads: Some(1), ..ModelSpec::default() })?;
//! let session = Session::new(&engine, &SessionSpec::default())?;
//! let stream = open_stream("tests/data/clip.mp4".as_ref(), &SourceOptions::default())?;
//! let mut counter = Counter::default();
//! drive(&mut StreamRunner::new(session, StreamSource::Recorded(stream)), &mut engine, &mut counter)?;
//! assert!(counter.steps > 0);
//! # Ok::<(), bike_edge::Error>(())
//! ```
//!
//! The programs in `examples/` classify a clip, watch a stream, and score embeddings from other software. A crate that
//! depends on this one with `default-features = false` gets the library without the command line; the features `h264`
//! and `camera` add the H.264 decoder and V4L2 cameras.
//!
//! # Modules
//!
//! Data flows one way. Of these modules each one uses only earlier ones:
//!
//! - [`source`]: clips, streams and cameras become frames
//! - [`preprocess`]: a picture becomes a normalised crop `[3, S, S]`
//! - [`encoder`]: a crop becomes an embedding `[D]`
//! - [`recognition`]: a window of embeddings becomes scores, saliency and attributes
//! - [`events`]: scores over time become events
//! - [`output`]: answers and events become tables, JSON Lines and files
//!
//! [`pipeline`] joins them, with the model from a [`bundle`] and the load of this machine from [`health`], and
//! [`evaluation`] measures the results. [`text`] encodes texts as embeddings. Below all of them are [`picture`]
//! (pixels in memory), [`table`] (embedding tables), [`units`], [`io`] and [`error`].

pub mod bundle;
pub mod encoder;
pub mod error;
pub mod evaluation;
pub mod events;
pub mod health;
pub mod io;
pub mod output;
pub mod picture;
pub mod pipeline;
pub mod preprocess;
pub mod recognition;
pub mod source;
pub mod table;
pub mod text;
pub mod units;

pub use error::{Error, Result};
