//! One clip's or stream's way put together: an engine for it alone.

use std::time::Instant;

use crate::cli::args::{ModelArgs, PictureArgs};
use crate::config::PictureSettings;
use crate::error::Result;
use crate::preprocess::{CropAt, Preprocessor};
use crate::pipeline::{Embedding, Engine};
use crate::recognition::{FrameStamp, Recognizer};
use crate::source::Picture;

/// A loaded bundle, ready for frames.
pub struct Pipeline {
    /// The bundle and its encoders.
    pub engine: Engine,
    /// How pictures are read and cut.
    pub picture: PictureSettings,
    /// Scores windows of embeddings.
    pub recognizer: Recognizer,
    /// Cuts pictures for the encoder.
    pub preprocessor: Preprocessor,
}

impl Pipeline {
    /// Opens the bundle and prepares its graphs.
    ///
    /// # Errors
    /// A flag that does not fit, or a bundle that cannot be used.
    pub fn load(model: &ModelArgs, picture: &PictureArgs) -> Result<Self> {
        let began = Instant::now();
        let picture = PictureSettings::new(picture)?;
        let mut engine = Engine::load(model)?;
        let recognizer = engine.recognizer()?;
        let preprocessor = engine.preprocessor(picture.fit, picture.roi)?;
        engine.spent.load = began.elapsed();
        Ok(Self { engine, picture, recognizer, preprocessor })
    }

    /// Encodes one crop of a picture.
    ///
    /// # Errors
    /// As [`Engine::embed`].
    pub fn embed(&mut self, picture: &Picture<'_>, at: CropAt, out: &mut Embedding) -> Result<()> {
        self.engine.embed(&mut self.preprocessor, picture, at, out)
    }

    /// Adds an embedding to the window.
    ///
    /// # Errors
    /// As [`Recognizer::push`].
    pub fn push(&mut self, stamp: FrameStamp, embedding: &Embedding) -> Result<()> {
        let began = Instant::now();
        self.recognizer.push(stamp, &embedding.video, embedding.own_attribute())?;
        self.engine.spent.recognise += began.elapsed();
        Ok(())
    }
}
