//! The main path put together: picture, crop, embedding, recognition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::any_text::AnyText;
use crate::bundle::{Bundle, BundleRef};
use crate::cli::args::{ModelArgs, PictureArgs};
use crate::config::{self, CategoryChoice, ModelSettings, PictureSettings};
use crate::encoder::FrameEncoder;
use crate::error::Result;
use crate::frame::{CropAt, Preprocessor};
use crate::recognition::{AttributeScores, Compose, FrameStamp, Header, Recognizer, Vocabulary};
use crate::source::Picture;

/// A loaded bundle, ready for frames.
pub struct Pipeline {
    /// The bundle.
    pub bundle: Bundle,
    /// How the model is run.
    pub model: ModelSettings,
    /// How pictures are read and cut.
    pub picture: PictureSettings,
    /// Scores windows of embeddings.
    pub recognizer: Recognizer,
    /// Where the time went.
    pub spent: Spent,
    preprocessor: Preprocessor,
    visual: FrameEncoder,
    attribute_visual: Option<FrameEncoder>,
    pixels: Vec<f32>,
}

/// Time spent a stage since the last reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Opening the bundle and preparing its graphs.
    pub load: Duration,
    /// Picture to crop.
    pub preprocess: Duration,
    /// Crop to embedding.
    pub encode: Duration,
    /// Embeddings to scores.
    pub recognise: Duration,
}

/// A frame's embeddings.
#[derive(Clone, Debug, Default)]
pub struct Embedding {
    /// `[D]`, the video branch's.
    pub video: Vec<f32>,
    /// `[Da]`, the attribute branch's where it has an encoder of its own, else empty.
    pub attribute: Vec<f32>,
}

impl Embedding {
    /// The attribute branch's embedding where it differs from the video branch's.
    pub fn own_attribute(&self) -> Option<&[f32]> {
        (!self.attribute.is_empty()).then_some(self.attribute.as_slice())
    }
}

impl Pipeline {
    /// Opens the bundle and prepares its graphs.
    ///
    /// # Errors
    /// A flag that does not fit, or a bundle that cannot be used.
    pub fn load(model: &ModelArgs, picture: &PictureArgs) -> Result<Self> {
        let began = Instant::now();
        let picture = PictureSettings::new(picture)?;
        let bundle = Bundle::open(&BundleRef::from(model.bundle.as_os_str()))?;
        let model = ModelSettings::new(model, &bundle.manifest)?;
        let visual = bundle.load_visual(model.compute())?;
        // Attributes of the video branch's own space cost next to nothing and are always said; an encoder of their
        // own is run only where they count.
        let own_encoder = bundle.attribute_visual().is_some();
        let with_attributes = bundle.lexicon().is_some() && (model.lambda < 1.0 || !own_encoder);
        let attribute_visual = if with_attributes { bundle.load_attribute_visual(model.compute())? } else { None };
        let mut text = AnyText::new(&bundle, model.threads);
        let vocabulary = vocabulary(&bundle, &model, &mut text)?;
        let recognizer = recognizer(&bundle, &model, vocabulary, with_attributes.then_some(text))?;
        let preprocessor = Preprocessor::new(config::preprocess(&bundle.manifest), picture.fit, picture.roi)?;
        let pixels = vec![0.0; 3 * visual.size() * visual.size()];
        let spent = Spent { load: began.elapsed(), ..Spent::default() };
        Ok(Self { bundle, model, picture, recognizer, spent, preprocessor, visual, attribute_visual, pixels })
    }

    /// Encodes one crop of a picture.
    ///
    /// # Errors
    /// A region of interest outside the picture, or a model that answers with what is no number.
    pub fn embed(&mut self, picture: &Picture<'_>, at: CropAt, out: &mut Embedding) -> Result<()> {
        let began = Instant::now();
        self.preprocessor.run(picture, at, &mut self.pixels)?;
        let cropped = Instant::now();
        out.video.resize(self.visual.dim(), 0.0);
        self.visual.encode(&self.pixels, &mut out.video)?;
        if let Some(encoder) = &mut self.attribute_visual {
            out.attribute.resize(encoder.dim(), 0.0);
            encoder.encode(&self.pixels, &mut out.attribute)?;
        }
        self.spent.preprocess += cropped - began;
        self.spent.encode += cropped.elapsed();
        Ok(())
    }

    /// Adds an embedding to the window.
    ///
    /// # Errors
    /// As [`Recognizer::push`].
    pub fn push(&mut self, stamp: FrameStamp, embedding: &Embedding) -> Result<()> {
        let began = Instant::now();
        self.recognizer.push(stamp, &embedding.video, embedding.own_attribute())?;
        self.spent.recognise += began.elapsed();
        Ok(())
    }
}

/// The categories to choose from: any text where the bundle has a text tower, else what its tables know.
///
/// # Errors
/// Categories that the bundle does not know or its tower cannot read, or a tower that cannot be used.
fn vocabulary(bundle: &Bundle, model: &ModelSettings, text: &mut AnyText) -> Result<Vocabulary> {
    match &model.categories {
        CategoryChoice::Bundle => Ok(Vocabulary::from_categories(bundle.categories())),
        CategoryChoice::Names(names) if bundle.text().is_some() => {
            Vocabulary::read(names, bundle.categories(), &mut |texts| text.categories(texts))
        }
        CategoryChoice::Names(names) => {
            Vocabulary::select(names, bundle.categories(), bundle.lexicon().map(Arc::as_ref))
        }
    }
}

/// What scores windows, for the model's settings; `text` is there where attributes are wanted, and without them lambda
/// is 1.
///
/// # Errors
/// A bundle that cannot be used.
pub fn recognizer(
    bundle: &Bundle,
    model: &ModelSettings,
    vocabulary: Vocabulary,
    text: Option<AnyText>,
) -> Result<Recognizer> {
    let mut spec = model.recognition(&bundle.manifest);
    if text.is_none() {
        spec.lambda = 1.0;
    }
    let header = bundle.load_temporal(model.window, model.threads)?.map(|mut header| {
        Box::new(move |frames: &[f32], out: &mut [f32]| header.apply(frames, out)) as Box<dyn Header>
    });
    let lexicon = bundle.lexicon().filter(|_| text.is_some()).cloned();
    let sentences: Option<Box<dyn Compose>> = match (spec.attribute_scores, lexicon.clone(), text) {
        _ if spec.lambda == 1.0 => None,
        (AttributeScores::Tower, Some(lexicon), Some(text)) => Some(Box::new(text.sentences(lexicon)?)),
        (AttributeScores::Composer, ..) => bundle.load_composer(model.threads)?.map(|mut composer| {
            Box::new(move |phrases: &[f32], out: &mut [f32]| composer.compose(phrases, out)) as Box<dyn Compose>
        }),
        _ => None,
    };
    Recognizer::new(spec, vocabulary, lexicon, header, sentences)
}
