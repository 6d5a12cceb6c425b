//! What cameras share: a loaded bundle and its encoders.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::any_text::AnyText;
use crate::bundle::{Bundle, BundleRef};
use crate::cli::args::ModelArgs;
use crate::config::{self, CategoryChoice, ModelSettings};
use crate::encoder::FrameEncoder;
use crate::error::Result;
use crate::preprocess::{CropAt, Fit, Preprocessor, Roi};
use crate::health::thread_cpu;
use crate::recognition::{AttributeScores, Compose, Header, Recognizer, Vocabulary};
use crate::source::{Picture, Seconds};

/// Seconds that a window spans by default: the models saw clips of this length.
const CLIP_S: Seconds = 10.0;

/// A loaded bundle, ready for frames of any number of cameras.
pub struct Engine {
    /// The bundle.
    pub bundle: Bundle,
    /// How the model is run.
    pub model: ModelSettings,
    /// Where the time went.
    pub spent: Spent,
    visual: FrameEncoder,
    attribute_visual: Option<FrameEncoder>,
    vocabulary: Vocabulary,
    with_attributes: bool,
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
    /// CPU time of this thread in cutting and encoding.
    pub cpu: Duration,
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

impl Engine {
    /// Opens the bundle and prepares its graphs.
    ///
    /// # Errors
    /// A flag that does not fit, or a bundle that cannot be used.
    pub fn load(model: &ModelArgs) -> Result<Self> {
        let began = Instant::now();
        let place = BundleRef::from(model.bundle.as_os_str());
        let (bundle, (model, encoders, vocabulary)) = Bundle::open_with(&place, |bundle| {
            let model = ModelSettings::new(model, &bundle.manifest)?;
            let visual = bundle.load_visual(model.compute())?;
            // Attributes of the video branch's own space cost next to nothing and are always said; an encoder of
            // their own is run only where they count.
            let own_encoder = bundle.attribute_visual().is_some();
            let with_attributes = bundle.lexicon().is_some() && (model.lambda < 1.0 || !own_encoder);
            let attribute_visual = if with_attributes { bundle.load_attribute_visual(model.compute())? } else { None };
            let vocabulary = vocabulary(bundle, &model)?;
            Ok((model, (visual, attribute_visual, with_attributes), vocabulary))
        })?;
        let (visual, attribute_visual, with_attributes) = encoders;
        let pixels = vec![0.0; 3 * visual.size() * visual.size()];
        let spent = Spent { load: began.elapsed(), ..Spent::default() };
        Ok(Self { bundle, model, spent, visual, attribute_visual, vocabulary, with_attributes, pixels })
    }

    /// Seconds between sampled frames: as asked for, or the bundle's for its own window, or as many as make the window
    /// span the clips that models saw.
    pub fn stride(&self, asked: Option<Seconds>) -> Seconds {
        let manifest = &self.bundle.manifest;
        let own_window = self.model.window == manifest.model.window;
        let default = manifest.defaults.stride_s.filter(|_| own_window);
        asked.or(default).unwrap_or(CLIP_S / self.model.window as Seconds)
    }

    /// Names of the categories it answers with, in the order of all scores.
    ///
    /// # Errors
    /// Categories that the bundle does not know.
    pub fn categories(&self) -> Result<Vec<String>> {
        Ok(self.vocabulary.names().to_vec())
    }

    /// What scores windows, for one camera.
    ///
    /// # Errors
    /// As [`recognizer`].
    pub fn recognizer(&self) -> Result<Recognizer> {
        recognizer(&self.bundle, &self.model, self.vocabulary.clone(), self.with_attributes)
    }

    /// What cuts pictures for the encoders, for one camera.
    ///
    /// # Errors
    /// A manifest that asks for what cannot be.
    pub fn preprocessor(&self, fit: Fit, roi: Option<Roi>) -> Result<Preprocessor> {
        Preprocessor::new(config::preprocess(&self.bundle.manifest), fit, roi)
    }

    /// Encodes a crop that was cut, `[3, S, S]`.
    ///
    /// # Errors
    /// A model that answers with what is no number.
    pub fn encode(&mut self, pixels: &[f32], out: &mut Embedding) -> Result<()> {
        let began = Instant::now();
        out.video.resize(self.visual.dim(), 0.0);
        self.visual.encode(pixels, &mut out.video)?;
        if let Some(encoder) = &mut self.attribute_visual {
            out.attribute.resize(encoder.dim(), 0.0);
            encoder.encode(pixels, &mut out.attribute)?;
        }
        self.spent.encode += began.elapsed();
        Ok(())
    }

    /// Cuts and encodes one crop of a picture.
    ///
    /// # Errors
    /// A region of interest outside the picture, or a model that answers with what is no number.
    pub fn embed(
        &mut self,
        preprocessor: &mut Preprocessor,
        picture: &Picture<'_>,
        at: CropAt,
        out: &mut Embedding,
    ) -> Result<()> {
        let (began, cpu_began) = (Instant::now(), thread_cpu());
        let mut pixels = std::mem::take(&mut self.pixels);
        let outcome = preprocessor.run(picture, at, &mut pixels).and_then(|()| {
            self.spent.preprocess += began.elapsed();
            self.encode(&pixels, out)
        });
        self.pixels = pixels;
        outcome?;
        if let (Some(began), Some(now)) = (cpu_began, thread_cpu()) {
            self.spent.cpu += now.saturating_sub(began);
        }
        Ok(())
    }
}

/// What scores windows, for the model's settings; without attributes lambda is 1.
///
/// # Errors
/// A bundle that cannot be used.
pub fn recognizer(
    bundle: &Bundle,
    model: &ModelSettings,
    vocabulary: Vocabulary,
    with_attributes: bool,
) -> Result<Recognizer> {
    let mut spec = model.recognition(&bundle.manifest);
    if !with_attributes {
        spec.lambda = 1.0;
    }
    let header = bundle.load_temporal(model.window, model.threads)?.map(|mut header| {
        Box::new(move |frames: &[f32], out: &mut [f32]| header.apply(frames, out)) as Box<dyn Header>
    });
    let lexicon = bundle.lexicon().filter(|_| with_attributes).cloned();
    let sentences: Option<Box<dyn Compose>> = match (spec.attribute_scores, &lexicon) {
        _ if spec.lambda == 1.0 => None,
        (AttributeScores::Tower, Some(lexicon)) => {
            Some(Box::new(AnyText::new(bundle, model.threads).sentences(Arc::clone(lexicon))?))
        }
        (AttributeScores::Composer, _) => bundle.load_composer(model.threads)?.map(|mut composer| {
            Box::new(move |phrases: &[f32], out: &mut [f32]| composer.compose(phrases, out)) as Box<dyn Compose>
        }),
        _ => None,
    };
    Recognizer::new(spec, vocabulary, lexicon, header, sentences)
}

/// The categories to choose from: any text where the bundle has a text tower, else what its tables know.
///
/// # Errors
/// Categories that the bundle does not know or its tower cannot read, or a tower that cannot be used.
fn vocabulary(bundle: &Bundle, model: &ModelSettings) -> Result<Vocabulary> {
    match &model.categories {
        CategoryChoice::Bundle => Ok(Vocabulary::from_categories(bundle.categories())),
        CategoryChoice::Names(names) if bundle.text().is_some() => {
            let mut text = AnyText::new(bundle, model.threads);
            Vocabulary::read(names, bundle.categories(), &mut |texts| text.categories(texts))
        }
        CategoryChoice::Names(names) => {
            Vocabulary::select(names, bundle.categories(), bundle.lexicon().map(Arc::as_ref))
        }
    }
}
